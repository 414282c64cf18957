"""Runs of real processes: workers, kills, signals. Minutes long."""

import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf
import tiny_dataset
from conftest import ROOT
from test_training import SMALL, assert_same_weights, command, metrics

from deeplab_tf.config import Config

pytestmark = pytest.mark.slow

# Nothing that makes rounding errors grow, so that 1e-5 says something.
STEADY = {
    **SMALL,
    "model.dropout": 0.0,
    "optimizer.learning_rate": 0.001,
    "optimizer.clip_norm": 1.0,
    "train.ema_decay": 0.9,
    "train.steps": 20,
    "train.eval_steps": 10,
    "train.checkpoint_steps": 5,
}


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    tiny_dataset.write(folder)
    return Config().replace({**STEADY, "data.dataset_dir": str(folder)})


@pytest.fixture(scope="module")
def undisturbed(config, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    subprocess.run(command(config, folder), cwd=ROOT, check=True)
    return folder


def launch(config, run_dir, workers=2, restarts=0):
    train = command(config, run_dir)[3:]
    start = [sys.executable, "-m", "deeplab_tf.launch", f"--workers={workers}"]
    return [*start, f"--restarts={restarts}", "--", *train]


def wait_for_lines(path, count, process):
    deadline = time.monotonic() + 300
    while not path.exists() or len(path.read_text().splitlines()) < count:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)


def assert_close_runs(one, other, tolerance):
    losses = [
        [line["loss"] for line in metrics(folder) if "loss" in line]
        for folder in (one, other)
    ]
    assert len(losses[0]) == 20
    np.testing.assert_allclose(*losses, rtol=tolerance)
    first, second = (
        tf.train.load_checkpoint(str(folder / "checkpoints")) for folder in (one, other)
    )
    for name in first.get_variable_to_shape_map():
        if name.startswith("weights/"):
            np.testing.assert_allclose(
                first.get_tensor(name),
                second.get_tensor(name),
                rtol=tolerance,
                atol=tolerance,
                err_msg=name,
            )


def test_two_worker_processes_equal_one(config, undisturbed, tmp_path):
    subprocess.run(launch(config, tmp_path), cwd=ROOT, check=True)
    assert_close_runs(undisturbed, tmp_path, 1e-5)


def test_a_worker_killed_and_the_group_restarted_equals_undisturbed(config, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run(launch(config, whole), cwd=ROOT, check=True)
    process = subprocess.Popen(launch(config, killed, restarts=1), cwd=ROOT)
    wait_for_lines(killed / "metrics.jsonl", 8, process)
    workers = subprocess.run(
        ["pgrep", "-P", str(process.pid)], capture_output=True, text=True
    )
    subprocess.run(["kill", "-KILL", workers.stdout.split()[1]], check=True)
    assert process.wait() == 0
    assert_same_weights(whole, killed)


def test_sigterm_saves_the_very_step_and_the_run_goes_on(config, undisturbed, tmp_path):
    process = subprocess.Popen(
        command(config, tmp_path), cwd=ROOT, stderr=subprocess.PIPE, text=True
    )
    wait_for_lines(tmp_path / "metrics.jsonl", 7, process)
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate()
    assert process.returncode == 128 + signal.SIGTERM
    step = int(tf.train.latest_checkpoint(tmp_path / "checkpoints").rsplit("-", 1)[1])
    assert f"stopped by SIGTERM after step {step}" in told
    assert step >= 7
    subprocess.run(command(config, tmp_path), cwd=ROOT, check=True)
    assert_same_weights(undisturbed, tmp_path)


def test_twenty_random_kills_lose_nothing(config, undisturbed, tmp_path):
    rng = random.Random(0)
    kills = 0
    while kills < 20:
        process = subprocess.Popen(
            command(config, tmp_path), cwd=ROOT, stderr=subprocess.DEVNULL
        )
        try:
            process.wait(timeout=rng.uniform(2, 15))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            kills += 1
        else:
            break  # done before the twentieth
    subprocess.run(command(config, tmp_path), cwd=ROOT, check=True)
    assert_same_weights(undisturbed, tmp_path)
