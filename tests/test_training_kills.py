"""Runs of one device that are killed, stopped and starved. Minutes long."""

import os
import random
import signal
import time

import pytest
import tiny_dataset
from training_runs import (
    SMALL,
    assert_same_weights,
    command,
    last_step,
    losses,
    metrics,
    run,
    start,
    wait_for_lines,
)

from deeplab_tf.config import Config

pytestmark = pytest.mark.slow

STEPS = 150
KILLS = 20


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    tiny_dataset.write(folder)
    settings = {
        **SMALL,
        "data.crop_size": (33, 33),
        "train.ema_decay": 0.9,
        "train.steps": STEPS,
        "train.eval_steps": STEPS // 2,
        "train.checkpoint_steps": 3,
    }
    return Config().replace({**settings, "data.dataset_dir": str(folder)})


@pytest.fixture(scope="module")
def undisturbed(config, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    run(command(config, folder))
    return folder


def test_sigterm_saves_the_very_step_and_the_run_goes_on(config, undisturbed, tmp_path):
    process = start(command(config, tmp_path))
    wait_for_lines(tmp_path, 7, process)
    process.terminate()
    _, told = process.communicate()
    assert process.wait() == 128 + signal.SIGTERM
    step = last_step(tmp_path)
    assert f"stopped by SIGTERM after step {step}, which is saved" in told
    assert 7 <= step < STEPS
    assert losses(tmp_path)[-1][0] == step
    run(command(config, tmp_path))
    assert_same_weights(undisturbed, tmp_path)


def lines(folder):
    path = folder / "metrics.jsonl"
    return len(path.read_text().splitlines()) if path.exists() else 0


def test_twenty_random_kills_lose_nothing(config, undisturbed, tmp_path):
    rng = random.Random(0)
    moments = []
    for _ in range(KILLS):
        process = start(command(config, tmp_path))
        # At any moment of start-up, or after some steps.
        resumed = (last_step(tmp_path) if lines(tmp_path) else 0) + 1
        wait_for_lines(tmp_path, min(resumed + rng.randrange(8), STEPS - 1), process)
        time.sleep(rng.uniform(0, 0.3))
        process.kill()
        process.communicate()
        moments.append(lines(tmp_path))
    print(f"killed after {moments} lines")
    assert last_step(tmp_path) < STEPS
    run(command(config, tmp_path))
    assert_same_weights(undisturbed, tmp_path)
    assert losses(tmp_path) == losses(undisturbed)
    assert len(metrics(tmp_path)) == STEPS + 2


def test_a_stalled_input_ends_in_a_clear_error(config, tmp_path):
    """Shards become pipes that nobody writes to, as on a file system that hangs."""
    tiny_dataset.write(tmp_path)
    # Longer than the first step, which traces.
    stalled = {"data.dataset_dir": str(tmp_path), "train.stall_seconds": 40}
    process = start(command(config.replace(stalled), tmp_path / "run"))
    wait_for_lines(tmp_path / "run", 3, process)
    for shard in tmp_path.glob("train-*.tfrecord"):
        shard.unlink()
        os.mkfifo(shard)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "no training step for 40 s (train.stall_seconds)" in told
    assert "Traceback" not in told
