import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny_dataset
from test_training import SMALL

from deeplab_tf.config import Config
from deeplab_tf.data.pipeline import make_train_dataset
from deeplab_tf.train_state import TrainState
from deeplab_tf.train_step import make_steps

ONE = tf.distribute.get_strategy()


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    return str(folder), tiny_dataset.write(folder)


@pytest.fixture(scope="module")
def config(dataset):
    """Frozen batch norm and a small rate: nothing that makes rounding errors grow."""
    frozen = {"train.batch_norm": "frozen", "model.dropout": 0.0}
    return Config().replace(
        {
            **SMALL,
            **frozen,
            "data.dataset_dir": dataset[0],
            "optimizer.learning_rate": 0.01,
        }
    )


class Trial:
    """A training of a few steps on batches that the test chooses."""

    def __init__(self, config, info):
        keras.utils.set_random_seed(0)
        self.state = TrainState(config, info)
        self.steps = make_steps(ONE, self.state, config, info)
        self.start = self.weights()

    def take(self, batches):
        dataset = tf.data.Dataset.from_generator(
            lambda: batches,
            output_signature={
                "image": tf.TensorSpec(batches[0]["image"].shape, tf.float32),
                "labels": tf.TensorSpec(batches[0]["labels"].shape, tf.int32),
            },
        )
        iterator = iter(dataset)
        return [self.steps(iterator, tf.constant(1)) for _ in batches]

    def weights(self):
        return [np.array(v) for v in self.state.model.trainable_variables]


def batches(config, info, count):
    stream = make_train_dataset(config, info).as_numpy_iterator()
    return [
        {key: value.copy() for key, value in batch.items()}
        for batch in itertools.islice(stream, count)
    ]


@pytest.fixture(scope="module")
def plain(config, dataset):
    """Losses of three plain steps, and the weights after them."""
    trial = Trial(config, dataset[1])
    told = trial.take(batches(config, dataset[1], 3))
    return [float(t["loss"]) for t in told], trial.weights()


def assert_close(one, other, rtol=1e-5, atol=1e-6):
    for first, second in zip(one, other, strict=True):
        np.testing.assert_allclose(first, second, rtol=rtol, atol=atol)


def test_parts_of_a_batch_add_up_to_the_whole(config, dataset):
    """With clipping and an average of the weights on, and unequal void in the parts."""
    config = config.replace({"optimizer.clip_norm": 1.0, "train.ema_decay": 0.9})
    data = batches(config, dataset[1], 3)
    for batch in data:
        batch["labels"][:2, 10:] = tiny_dataset.VOID
    whole = Trial(config, dataset[1])
    parts = Trial(config.replace({"train.accumulate_steps": 2}), dataset[1])
    losses = [float(told["loss"]) for told in whole.take(data)]
    np.testing.assert_allclose(
        [float(told["loss"]) for told in parts.take(data)], losses, rtol=1e-5
    )
    assert_close(whole.weights(), parts.weights())
    assert_close(
        whole.state.evaluated.get_weights(), parts.state.evaluated.get_weights()
    )


def test_clipping_bounds_the_step(config, dataset):
    limit = 0.01
    config = config.replace({"optimizer.clip_norm": limit, "optimizer.momentum": 0.0})
    trial = Trial(config, dataset[1])
    (told,) = trial.take(batches(config, dataset[1], 1))
    moved = zip(trial.start, trial.weights(), strict=True)
    length = np.sqrt(sum(((a - b) ** 2).sum() for a, b in moved))
    assert float(told["gradient_norm"]) > limit
    np.testing.assert_allclose(length, 0.01 * limit, rtol=1e-3)


def test_average_of_the_weights_is_the_recursion(config, dataset):
    config = config.replace({"train.ema_decay": 0.7})
    trial = Trial(config, dataset[1])
    average = trial.start
    for batch in batches(config, dataset[1], 3):
        trial.take([batch])
        average = [
            0.7 * a + 0.3 * w for a, w in zip(average, trial.weights(), strict=True)
        ]
    assert_close(
        [np.array(v) for v in trial.state.evaluated.trainable_variables], average
    )


def test_a_step_that_is_not_finite_changes_nothing(config, dataset):
    config = config.replace({"train.batch_norm": "train", "train.ema_decay": 0.5})
    trial = Trial(config, dataset[1])
    good, bad = batches(config, dataset[1], 2)
    bad["image"][0, 3, 3] = np.inf
    trial.take([good])
    before = trial.state.model.get_weights(), trial.state.evaluated.get_weights()
    count = int(trial.state.optimizer.iterations)
    (told,) = trial.take([bad])
    # ReLU may turn NaN into 0, so that the loss does not show what the gradients do.
    assert not np.isfinite(float(told["loss"]) + float(told["gradient_norm"]))
    assert_close(before[0], trial.state.model.get_weights(), rtol=0, atol=0)
    assert_close(before[1], trial.state.evaluated.get_weights(), rtol=0, atol=0)
    assert int(trial.state.optimizer.iterations) == count
    assert int(trial.state.step) == 2
    assert int(trial.state.bad_steps) == 1
    (told,) = trial.take([good])
    assert np.isfinite(float(told["loss"]))
    assert int(trial.state.bad_steps) == 0


def test_rate_factors_reach_backbone_and_biases(config, dataset):
    plain = config.replace({"optimizer.momentum": 0.0, "optimizer.weight_decay": 0.0})
    factors = {"optimizer.backbone_factor": 0.5, "optimizer.bias_factor": 2.0}
    data = batches(config, dataset[1], 1)
    one, other = Trial(plain, dataset[1]), Trial(plain.replace(factors), dataset[1])
    one.take(data)
    other.take(data)
    variables = one.state.model.trainable_variables
    moves = [
        [b - a for a, b in zip(trial.start, trial.weights(), strict=True)]
        for trial in (one, other)
    ]
    seen = set()
    for variable, first, second in zip(variables, *moves, strict=True):
        factor = 0.5 if variable.path.startswith("resnet_18.") else 1.0
        factor *= 2.0 if variable.path.endswith("/bias") else 1.0
        np.testing.assert_allclose(second, first * factor, atol=1e-7)
        seen.add(factor)
    assert seen == {0.5, 1.0, 2.0}


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_stays_close_and_keeps_float32_weights(
    config, dataset, plain, precision
):
    trial = Trial(config.replace({"train.precision": precision}), dataset[1])
    told = trial.take(batches(config, dataset[1], 3))
    np.testing.assert_allclose([float(t["loss"]) for t in told], plain[0], rtol=0.03)
    assert {v.dtype for v in trial.state.model.weights} == {"float32"}
    assert keras.config.dtype_policy().name == "float32"


def test_several_steps_in_a_call_are_the_same_steps(config, dataset, plain):
    trial = Trial(config, dataset[1])
    trial.steps(iter(make_train_dataset(config, dataset[1])), tf.constant(3))
    assert_close(trial.weights(), plain[1])
    assert int(trial.state.step) == 3
