import json
import math
import os
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny_dataset
from conftest import ROOT

from deeplab_tf import backbones, distribution, training
from deeplab_tf import run as runs
from deeplab_tf.config import Config
from deeplab_tf.data.pipeline import make_train_dataset
from deeplab_tf.errors import UserError
from deeplab_tf.train_state import TrainState, batch_norm_momentum
from deeplab_tf.train_step import make_steps

SMALL = {
    "model.backbone": "resnet_18",  # the fewest layers to trace
    "model.aspp_channels": 16,
    "model.decoder_channels": 16,
    "model.low_level_channels": 8,
    "model.atrous_rates": (2, 4),
    "data.crop_size": (65, 65),
    "optimizer.learning_rate": 0.05,
    "train.batch_size": 4,
    "train.steps": 12,
    "train.log_steps": 1,
    "train.checkpoint_steps": 2,
    "train.eval_steps": 6,
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    return str(folder), tiny_dataset.write(folder)


@pytest.fixture(scope="module")
def config(dataset):
    return Config().replace({**SMALL, "data.dataset_dir": dataset[0]})


@pytest.fixture(scope="module")
def finished(config, tmp_path_factory):
    """The folder of an undisturbed run."""
    folder = tmp_path_factory.mktemp("finished")
    training.train(config, str(folder))
    return folder


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
        *flags,
    ]


def metrics(run_dir):
    lines = (run_dir / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def assert_same_weights(one, other):
    """Every tensor of the last training states is equal, bit for bit.

    But for how many checkpoints were written: a run that was stopped wrote one more.
    """
    first, second = (
        tf.train.load_checkpoint(str(folder / "checkpoints")) for folder in (one, other)
    )
    names = set(first.get_variable_to_shape_map())
    assert names == set(second.get_variable_to_shape_map())
    other_course = {
        "_CHECKPOINTABLE_OBJECT_GRAPH",
        "save_counter/.ATTRIBUTES/VARIABLE_VALUE",
    }
    for name in names - other_course:
        np.testing.assert_array_equal(
            first.get_tensor(name), second.get_tensor(name), err_msg=name
        )


def test_a_run_leaves_what_the_contract_names(finished, config):
    run = runs.open_run(str(finished))
    assert run.config == config
    assert {"tensorflow", "keras", "command", "devices", "strategy"} <= set(
        run.provenance
    )
    steps = [line["step"] for line in metrics(finished) if "loss" in line]
    assert steps == list(range(1, 13))
    evaluated = [line["step"] for line in metrics(finished) if "miou" in line]
    assert evaluated == [6, 12]
    assert list((finished / "events").iterdir())
    assert runs.weights_path(finished, "best") != runs.weights_path(finished, "latest")


def test_loss_falls(finished):
    losses = [line["loss"] for line in metrics(finished) if "loss" in line]
    assert np.mean(losses[-3:]) < np.mean(losses[:3])


def test_killed_and_resumed_equals_undisturbed(finished, config, tmp_path):
    process = subprocess.Popen(command(config, tmp_path), cwd=ROOT)
    deadline = time.monotonic() + 120
    log = tmp_path / "metrics.jsonl"
    while not log.exists() or len(log.read_text().splitlines()) < 5:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "checkpoints" / "ckpt-12.index").exists()
    subprocess.run(command(config, tmp_path), cwd=ROOT, check=True)
    assert_same_weights(finished, tmp_path)
    assert [line["step"] for line in metrics(tmp_path) if "loss" in line] == list(
        range(1, 13)
    )


def test_another_config_is_refused_with_the_difference(finished, config):
    other = config.replace({"optimizer.learning_rate": 0.1})
    before = (finished / "run.json").read_bytes()
    with pytest.raises(UserError, match=r"optimizer\.learning_rate: 0\.05 -> 0\.1"):
        training.train(other, str(finished))
    assert (finished / "run.json").read_bytes() == before


@pytest.fixture
def float64():
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_dtype_policy("float32")


def five_steps(config, info, strategy):
    keras.utils.set_random_seed(0)
    with strategy.scope():
        state = TrainState(config, info)
    steps = make_steps(strategy, state, config, info)
    replicas = strategy.num_replicas_in_sync
    batches = iter(
        strategy.distribute_datasets_from_function(
            lambda _: make_train_dataset(config, info, replicas=replicas)
        )
    )
    losses = [float(steps(batches, tf.constant(1))["loss"]) for _ in range(5)]
    return losses, [np.array(v) for v in state.model.get_weights()]


def assert_two_mirrored_equal_one(config, info):
    # Dropout masks belong to a replica; everything else is the same arithmetic.
    # At the rate of the other tests rounding errors grow tenfold in a step.
    config = config.replace({"model.dropout": 0.0, "optimizer.learning_rate": 0.007})
    mirrored = config.replace({"train.strategy": "mirrored", "train.num_devices": 2})
    two = distribution.make_strategy(mirrored.train)
    assert two.num_replicas_in_sync == 2
    one = distribution.make_strategy(config.train)
    losses, weights = five_steps(config, info, one)
    mirrored_losses, mirrored_weights = five_steps(mirrored, info, two)
    np.testing.assert_allclose(losses, mirrored_losses, rtol=1e-5)
    for ours, theirs in zip(weights, mirrored_weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_two_mirrored_devices_equal_one(config, dataset):
    frozen = config.replace({"train.batch_norm": "frozen"})
    assert_two_mirrored_equal_one(frozen, dataset[1])


def test_two_mirrored_devices_equal_one_with_synchronised_batch_norm(
    config, dataset, float64
):
    """In float64: a fresh network of 60 batch norms makes 1e-7 grow to 1e-2.

    That is so on one device too, where a picture brighter by a millionth changes
    gradients by percents; float64 leaves the growth and takes away its cause.
    """
    assert_two_mirrored_equal_one(config, dataset[1])


def test_too_many_devices_and_odd_batches_are_refused(config):
    for name, value in (("train.num_devices", 7), ("train.batch_size", 3)):
        wanted = {"train.strategy": "mirrored", "train.num_devices": 2, name: value}
        with pytest.raises(UserError, match=name):
            distribution.make_strategy(config.replace(wanted).train)


def test_weight_decay_acts_on_kernels_alone(config, dataset):
    """With a picture of nothing but void, decay is all that moves the weights."""
    config = config.replace(
        {"optimizer.weight_decay": 0.1, "train.batch_norm": "frozen"}
    )
    strategy = tf.distribute.get_strategy()
    state = TrainState(config, dataset[1])
    steps = make_steps(strategy, state, config, dataset[1])
    before = [np.array(v) for v in state.model.trainable_variables]
    void = tf.fill([4, 65, 65], tiny_dataset.VOID)
    batch = {"image": tf.random.uniform([4, 65, 65, 3], 0, 255), "labels": void}
    told = steps(iter(tf.data.Dataset.from_tensors(batch)), tf.constant(1))
    assert float(told["loss"]) == 0.0
    for variable, old in zip(state.model.trainable_variables, before, strict=True):
        decays = variable.path.endswith("kernel") and "depthwise" not in variable.path
        factor = 1 - 0.05 * 0.1 if decays else 1.0
        np.testing.assert_allclose(
            variable, old * factor, rtol=1e-6, err_msg=variable.path
        )


def test_a_run_that_diverges_rolls_back_and_then_explains_itself(config, tmp_path):
    changes = {"optimizer.learning_rate": 1e30, "train.rollbacks": 2}
    with pytest.raises(UserError, match=r"norm (nan|inf) at step \d+, after 2 returns"):
        training.train(config.replace(changes), str(tmp_path))
    reports = sorted((tmp_path / "post_mortem").glob("*/report.json"))
    assert len(reports) == 3
    report = json.loads(reports[0].read_text())
    assert "learning rate is too high" in report["likely_cause"]
    assert all(e["filename"].startswith("train_") for e in report["examples"])


def test_batch_norm_momentum_fits_the_length_of_the_run():
    released = backbones.get_spec("xception_65").batch_norm_momentum
    model = {"model.backbone": "xception_65"}
    for steps in (100, 1000, 10_000):
        config = Config().replace({**model, "train.steps": steps})
        momentum = batch_norm_momentum(config)
        assert momentum**steps == pytest.approx(math.exp(-20), rel=10)
    config = Config().replace({**model, "train.steps": 1_000_000})
    assert batch_norm_momentum(config) == released
    config = Config().replace({**model, "train.batch_norm_momentum": 0.5})
    assert batch_norm_momentum(config) == 0.5


@pytest.mark.parametrize(
    ("crop", "rates", "named"),
    [
        ((513, 513), (6, 12, 18), []),
        ((257, 257), (6, 12, 18), [18]),
        ((257, 513), (3, 6, 9), []),
        ((129, 129), (6, 12, 18), [12, 18]),
    ],
)
def test_rates_that_a_crop_cannot_train_are_named(crop, rates, named):
    config = Config().replace({"data.crop_size": crop, "model.atrous_rates": rates})
    messages = training.untrained_rates(config)
    assert len(messages) == bool(named)
    for message in messages:
        assert f"model.atrous_rates {', '.join(map(str, named))} reach" in message


def test_a_damaged_checkpoint_is_named(finished, config, tmp_path):
    import shutil

    shutil.copytree(finished, tmp_path / "run")
    damaged = tmp_path / "run" / "checkpoints" / "ckpt-12.data-00000-of-00001"
    damaged.write_bytes(damaged.read_bytes()[:1000])
    with pytest.raises(UserError, match="ckpt-12: is damaged"):
        training.train(config, str(tmp_path / "run"))


def test_a_corrupt_shard_is_named(config, tmp_path):
    tiny_dataset.write(tmp_path)
    shard = tmp_path / "train-00001-of-00003.tfrecord"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 0xFF
    shard.write_bytes(content)
    config = config.replace({"data.dataset_dir": os.fspath(tmp_path)})
    with pytest.raises(UserError, match="train-00001-of-00003"):
        training.train(config, str(tmp_path / "run"))
