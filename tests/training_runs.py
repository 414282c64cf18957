"""Training runs as users start them, for tests of what they leave and survive."""

import json
import subprocess
import sys
import time

import numpy as np
import tensorflow as tf
from conftest import ROOT

from deeplab_tf.config import Config

SMALL = {
    "model.backbone": "resnet_18",  # the fewest layers to trace
    "model.context": "none",
    "model.decoder_strides": (),
    "data.crop_size": (65, 65),
    "optimizer.learning_rate": 0.05,
    "train.batch_size": 4,
    "train.steps": 12,
    "train.log_steps": 1,
    "train.checkpoint_steps": 2,
    "train.eval_steps": 6,
}


def command(config, run_dir):
    flags = [
        f"--{name}={','.join(map(str, value)) if isinstance(value, tuple) else value}"
        for name, value in config.leaves().items()
        if value != Config().leaves()[name]
    ]
    return [
        sys.executable,
        "-m",
        "deeplab_tf.train",
        f"--run_dir={run_dir}",
        "--noauto",
        *flags,
    ]


def launch(config, run_dir, restarts=0):
    """The same, by two worker processes."""
    start = [sys.executable, "-m", "deeplab_tf.launch", "--workers=2"]
    return [*start, f"--restarts={restarts}", "--", *command(config, run_dir)[3:]]


def run(arguments, env=None):
    subprocess.run(arguments, cwd=ROOT, env=env, check=True)


def start(arguments, env=None):
    return subprocess.Popen(
        arguments, cwd=ROOT, env=env, stderr=subprocess.PIPE, text=True
    )


def metrics(run_dir):
    lines = (run_dir / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def losses(run_dir):
    """By step, in the order of the file."""
    return [(line["step"], line["loss"]) for line in metrics(run_dir) if "loss" in line]


def wait_for_lines(run_dir, count, process):
    """Until metrics.jsonl has that many."""
    path = run_dir / "metrics.jsonl"
    deadline = time.monotonic() + 300
    while not path.exists() or len(path.read_text().splitlines()) < count:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)


def last_step(run_dir):
    return int(tf.train.latest_checkpoint(run_dir / "checkpoints").rsplit("-", 1)[1])


def last_states(one, other):
    """Yields name and both values of each tensor of the last training states.

    But for how many checkpoints were written: a run that was stopped wrote one more.
    """
    first, second = (
        tf.train.load_checkpoint(str(folder / "checkpoints")) for folder in (one, other)
    )
    names = set(first.get_variable_to_shape_map())
    assert names == set(second.get_variable_to_shape_map())
    for name in names - {
        "_CHECKPOINTABLE_OBJECT_GRAPH",
        "save_counter/.ATTRIBUTES/VARIABLE_VALUE",
    }:
        yield name, first.get_tensor(name), second.get_tensor(name)


def assert_same_weights(one, other):
    """Every tensor of the last training states is equal, bit for bit."""
    for name, first, second in last_states(one, other):
        np.testing.assert_array_equal(first, second, err_msg=name)
