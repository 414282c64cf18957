"""One device, mirrored devices and worker processes take the same steps. Minutes long.

A fresh network makes a rounding error of float32 grow a hundred thousand times in
twenty steps, on one device as on two. So runs that are spread differently are compared
in float64, which takes away the cause and leaves what is compared; runs that must be
the same bit for bit are float32.
"""

import json
import os
import subprocess
import time

import numpy as np
import pytest
import tiny_dataset
from training_runs import (
    SMALL,
    assert_same_weights,
    command,
    last_states,
    last_step,
    launch,
    losses,
    run,
    start,
    wait_for_lines,
)

from deeplab_tf.config import Config

pytestmark = pytest.mark.slow

STEADY = {
    **SMALL,
    "model.dropout": 0.0,  # its masks belong to a replica
    "optimizer.learning_rate": 0.005,
    "optimizer.clip_norm": 1.0,
    "train.ema_decay": 0.9,
    "train.steps": 20,
    "train.eval_steps": 10,
    "train.checkpoint_steps": 5,
}
PARTS = {"train.accumulate_steps": 2}
FROZEN = {"train.batch_norm": "frozen"}
SPREADS = {
    "one_device": lambda config, folder: command(config, folder),
    "mirrored": lambda config, folder: command(
        config.replace({"train.strategy": "mirrored", "train.num_devices": 2}), folder
    ),
    "two_workers": lambda config, folder: launch(config, folder),
}


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    tiny_dataset.write(folder)
    return Config().replace({**STEADY, "data.dataset_dir": str(folder)})


@pytest.fixture(scope="module")
def float64(tmp_path_factory):
    """The environment of a process whose Keras computes in float64."""
    folder = tmp_path_factory.mktemp("keras")
    settings = {"floatx": "float64", "backend": "tensorflow"}
    (folder / "keras.json").write_text(json.dumps(settings))
    return {**os.environ, "KERAS_HOME": str(folder)}


@pytest.fixture(scope="module")
def synchronised(config, float64, tmp_path_factory):
    folder = tmp_path_factory.mktemp("synchronised")
    run(command(config, folder), float64)
    return folder


@pytest.fixture(scope="module")
def frozen(config, float64, tmp_path_factory):
    folder = tmp_path_factory.mktemp("frozen")
    run(command(config.replace(FROZEN), folder), float64)
    return folder


def largest_differences(one, other):
    """Relative ones of losses and final weights, printed; a tensor's to its largest."""
    first, second = losses(one), losses(other)
    assert [step for step, _ in first] == list(range(1, 21))
    assert [step for step, _ in second] == list(range(1, 21))
    by_loss = max(
        abs(a - b) / abs(a) for (_, a), (_, b) in zip(first, second, strict=True)
    )
    by_weight = max(
        float(np.max(np.abs(a - b)) / (np.max(np.abs(a)) + 1e-6))
        for name, a, b in last_states(one, other)
        if name.startswith(("weights/", "trained/"))
    )
    print(f"largest relative difference: losses {by_loss:.1e}, weights {by_weight:.1e}")
    return by_loss, by_weight


@pytest.mark.parametrize("spread", ["mirrored", "two_workers"])
def test_synchronised_batch_norm(spread, config, synchronised, float64, tmp_path):
    run(SPREADS[spread](config, tmp_path), float64)
    assert max(largest_differences(synchronised, tmp_path)) < 1e-5


@pytest.mark.parametrize("spread", SPREADS)
def test_parts_of_half_the_batch(spread, config, frozen, float64, tmp_path):
    run(SPREADS[spread](config.replace({**FROZEN, **PARTS}), tmp_path), float64)
    assert max(largest_differences(frozen, tmp_path)) < 1e-5


@pytest.fixture(scope="module")
def two_workers(config, tmp_path_factory):
    """An undisturbed run."""
    folder = tmp_path_factory.mktemp("two_workers")
    run(launch(config, folder))
    return folder


def workers_of(process):
    """Their process numbers, in their order."""
    found = subprocess.run(
        ["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True
    )
    return sorted(map(int, found.stdout.split()))


@pytest.mark.parametrize("worker", [0, 1])
def test_a_killed_worker_is_noticed_and_a_restarted_group_loses_nothing(
    worker, config, two_workers, tmp_path
):
    process = start(launch(config, tmp_path, restarts=1))
    wait_for_lines(tmp_path, 8, process)
    then = time.monotonic()
    os.kill(workers_of(process)[worker], 9)
    _, told = process.communicate()
    assert process.wait() == 0
    print(f"{time.monotonic() - then:.0f} s to notice, start and end\n{told[-3000:]}")
    assert "a worker is gone" in told
    assert_same_weights(two_workers, tmp_path)


def test_sigterm_saves_the_very_step_of_two_workers(config, two_workers, tmp_path):
    process = start(launch(config, tmp_path))
    wait_for_lines(tmp_path, 7, process)
    process.terminate()
    _, told = process.communicate()
    assert process.wait() == 128 + 15
    step = last_step(tmp_path)
    assert f"stopped by SIGTERM after step {step}, which is saved" in told
    assert 7 <= step < 20
    assert losses(tmp_path)[-1][0] == step
    run(launch(config, tmp_path))
    assert_same_weights(two_workers, tmp_path)
