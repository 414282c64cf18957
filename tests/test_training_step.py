import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny_dataset
from training_runs import SMALL

from deeplab_tf.config import Config
from deeplab_tf.data.pipeline import make_train_dataset
from deeplab_tf.training import distribution
from deeplab_tf.training.step import GradientComputer, make_steps
from deeplab_tf.training.train_state import TrainState

pytestmark = pytest.mark.usefixtures("shallow_resnet")

FILL = (127.5,) * 3  # the mean of most backbones

RATE = 0.002
ONE = tf.distribute.get_strategy()


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    return str(folder), tiny_dataset.write(folder)


@pytest.fixture(scope="module")
def config(dataset):
    """Frozen batch norm and a small rate: nothing that makes rounding errors grow."""
    return Config().replace(
        {
            **SMALL,
            "data.dataset_dir": dataset[0],
            # Keeps the logits small, where batch norm does not.
            "model.decoder_strides": (4,),
            "model.decoder_channels": 16,
            "model.low_level_channels": 8,
            "train.batch_norm": "frozen",
            "model.dropout": 0.0,
            "optimizer.learning_rate": RATE,
            "optimizer.weight_decay": 0.1,
        }
    )


class Trial:
    """A training of a few steps on batches that the test chooses.

    It is traced once; `restart` makes it a new one.
    """

    def __init__(self, config, info):
        keras.utils.set_random_seed(0)
        self.state = TrainState(config, info)
        self.steps = make_steps(ONE, self.state, config, info)
        self.start = self.weights()
        variables = [*self.state.model.weights, *self.state.evaluated.weights]
        variables += self.state.optimizer.variables
        counters = [self.state.step, self.state.bad_steps, self.state.last_bad_step]
        self._kept = [(v, np.array(v)) for v in [*variables, *counters]]

    def restart(self):
        for variable, value in self._kept:
            variable.assign(value)
        return self

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
    stream = make_train_dataset(config, info, fill=FILL).as_numpy_iterator()
    return [
        {key: value.copy() for key, value in batch.items()}
        for batch in itertools.islice(stream, count)
    ]


@pytest.fixture(scope="module")
def data(config, dataset):
    return batches(config, dataset[1], 3)


@pytest.fixture(scope="module")
def plain_trial(config, dataset):
    return Trial(config, dataset[1])


@pytest.fixture(scope="module")
def plain(plain_trial, data):
    """Losses of three plain steps, and the weights after the first and the last."""
    told = plain_trial.restart().take(data[:1])
    first = plain_trial.weights()
    told += plain_trial.take(data[1:])
    assert np.isfinite(plain_trial.weights()[0]).all()
    return [float(t["loss"]) for t in told], first, plain_trial.weights()


@pytest.fixture(scope="module")
def clipped_trial(config, dataset):
    """Gradients clipped at 1, and an average of the weights."""
    changes = {"optimizer.clip_norm": 1.0, "train.ema_decay": 0.7}
    return Trial(config.replace(changes), dataset[1])


def assert_close(one, other, rtol=1e-5, atol=1e-6):
    for first, second in zip(one, other, strict=True):
        np.testing.assert_allclose(first, second, rtol=rtol, atol=atol)


def test_parts_of_a_batch_add_up_to_the_whole(config, dataset, data, clipped_trial):
    """With clipping and an average of the weights on, and unequal void in the parts."""
    whole = clipped_trial.restart()
    changes = {"optimizer.clip_norm": 1.0, "train.ema_decay": 0.7}
    changes["train.accumulate_steps"] = 2
    parts = Trial(config.replace(changes), dataset[1])
    uneven = [{**batch, "labels": batch["labels"].copy()} for batch in data]
    for batch in uneven:
        batch["labels"][:2, 10:] = tiny_dataset.VOID
    course = [float(told["loss"]) for told in whole.take(uneven)]
    np.testing.assert_allclose(
        [float(told["loss"]) for told in parts.take(uneven)], course, rtol=1e-5
    )
    assert_close(whole.weights(), parts.weights())
    assert_close(
        whole.state.evaluated.get_weights(), parts.state.evaluated.get_weights()
    )


def test_clipping_bounds_the_step(clipped_trial, data):
    (told,) = clipped_trial.restart().take(data[:1])
    moved = zip(clipped_trial.start, clipped_trial.weights(), strict=True)
    length = np.sqrt(sum(((a - b) ** 2).sum() for a, b in moved))
    assert float(told["gradient_norm"]) > 1.0
    np.testing.assert_allclose(length, RATE * 1.0, rtol=1e-3)


def test_average_of_the_weights_is_the_recursion(clipped_trial, data):
    average = clipped_trial.restart().start
    for batch in data:
        clipped_trial.take([batch])
        average = [
            0.7 * a + 0.3 * w
            for a, w in zip(average, clipped_trial.weights(), strict=True)
        ]
    averaged = clipped_trial.state.evaluated.trainable_variables
    assert_close([np.array(v) for v in averaged], average)


def test_weight_decay_acts_on_kernels_alone(plain_trial):
    """With a picture of nothing but void, decay is all that moves the weights."""
    void = np.full([4, 65, 65], tiny_dataset.VOID, np.int32)
    image = np.random.default_rng(0).uniform(0, 255, [4, 65, 65, 3]).astype(np.float32)
    (told,) = plain_trial.restart().take([{"image": image, "labels": void}])
    assert float(told["loss"]) == 0.0
    variables = plain_trial.state.model.trainable_variables
    for variable, old in zip(variables, plain_trial.start, strict=True):
        decays = variable.path.endswith("kernel") and "depthwise" not in variable.path
        factor = 1 - RATE * 0.1 if decays else 1.0
        np.testing.assert_allclose(
            variable, old * factor, rtol=1e-6, err_msg=variable.path
        )


def test_a_step_that_is_not_finite_changes_nothing(config, dataset, data):
    config = config.replace({"train.batch_norm": "train", "train.ema_decay": 0.5})
    trial = Trial(config, dataset[1])
    good, bad = data[0], {**data[1], "image": data[1]["image"].copy()}
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
    assert int(trial.state.last_bad_step) == 2
    (told,) = trial.take([good])
    assert np.isfinite(float(told["loss"]))
    assert int(trial.state.bad_steps) == 0
    assert int(trial.state.last_bad_step) == 2


def test_rate_factors_reach_backbone_and_biases(config, dataset, data, plain):
    factors = {"optimizer.backbone_factor": 0.5, "optimizer.bias_factor": 2.0}
    trial = Trial(config.replace(factors), dataset[1])
    trial.take(data[:1])
    seen = set()
    for variable, old, usual, new in zip(
        trial.state.model.trainable_variables,
        trial.start,
        plain[1],
        trial.weights(),
        strict=True,
    ):
        factor = 0.5 if variable.path.startswith("resnet_18.") else 1.0
        factor *= 2.0 if variable.path.endswith("/bias") else 1.0
        np.testing.assert_allclose(new - old, (usual - old) * factor, atol=1e-6)
        seen.add(factor)
    assert seen == {0.5, 1.0, 2.0}


@pytest.mark.parametrize(
    "precision",
    ["mixed_float16", pytest.param("mixed_bfloat16", marks=pytest.mark.slow)],
)
def test_mixed_precision_stays_close_and_keeps_float32_weights(
    config, dataset, data, plain, precision
):
    trial = Trial(config.replace({"train.precision": precision}), dataset[1])
    told = trial.take(data[:1])
    while not int(trial.state.optimizer.iterations):  # the loss scale overflowed
        assert int(trial.state.step) < 10
        trial.take(data[:1])
    told += trial.take(data[1:])
    np.testing.assert_allclose([float(t["loss"]) for t in told], plain[0], rtol=0.03)
    assert {v.dtype for v in trial.state.model.weights} == {"float32"}
    assert keras.config.dtype_policy().name == "float32"


def test_float16_keeps_gradients_of_regions_whatever_the_parts(config, dataset, data):
    """Dice sums over pictures: divided by the pixels it would vanish in float16."""
    changes = {"loss.terms": "dice", "train.precision": "mixed_float16"}
    config = config.replace({**changes, "optimizer.weight_decay": 0.0})
    keras.utils.set_random_seed(0)
    state = TrainState(config, dataset[1])
    state.loss_scale.assign(256.0)
    batch = {key: tf.constant(value) for key, value in data[0].items()}
    norms = []
    for parts in (1, 2):
        settings = config.replace({"train.accumulate_steps": parts})
        logs, _ = GradientComputer(ONE, state, settings, dataset[1])(batch)
        norms.append(float(logs["gradient_norm"]))
    np.testing.assert_allclose(norms[1], norms[0], rtol=0.02)


def test_several_steps_in_a_call_are_the_same_steps(
    config, dataset, plain, plain_trial
):
    stream = iter(make_train_dataset(config, dataset[1], fill=FILL))
    plain_trial.restart().steps(stream, tf.constant(3))
    assert_close(plain_trial.weights(), plain[2])
    assert int(plain_trial.state.step) == 3


def test_two_mirrored_devices_take_the_same_steps(config, dataset, plain):
    """With synchronised batch norm and by processes: test_distributed."""
    mirrored = {"train.strategy": "mirrored", "train.num_devices": 2}
    config = config.replace(mirrored)
    two = distribution.make_strategy(config.train)
    assert two.num_replicas_in_sync == 2
    keras.utils.set_random_seed(0)
    with two.scope():
        state = TrainState(config, dataset[1])
    steps = make_steps(two, state, config, dataset[1])
    stream = iter(
        two.distribute_datasets_from_function(
            lambda _: make_train_dataset(config, dataset[1], fill=FILL, replicas=2)
        )
    )
    course = [float(steps(stream, tf.constant(1))["loss"]) for _ in range(3)]
    np.testing.assert_allclose(course, plain[0], rtol=1e-5)
    weights = [np.array(v) for v in state.model.trainable_variables]
    assert_close(weights, plain[2], rtol=1e-5, atol=1e-5)
