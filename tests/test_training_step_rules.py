"""What a step does to its state, on a network of two convolutions."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from deeplab_tf.config import Config
from deeplab_tf.data.dataset_info import DatasetInfo, Split
from deeplab_tf.network import backbones
from deeplab_tf.network.layers.batch_norm import BatchNormalization
from deeplab_tf.training import recipe, step, train_state
from deeplab_tf.training.train_state import TrainState

ONE = tf.distribute.get_strategy()
VOID = 255
INFO = DatasetInfo(
    name="made_up",
    class_names=("ground", "red", "blue"),
    splits={"train": Split(num_examples=4, shards=("train-00000-of-00001.tfrecord",))},
)
BACKBONE = "resnet_18"
SETTINGS = {
    "model.backbone": BACKBONE,
    "model.dropout": 0.0,
    "optimizer.learning_rate": 0.1,
    "optimizer.schedule": "constant",
    "optimizer.momentum": 0.0,
    "optimizer.weight_decay": 0.0,
    "train.batch_norm": "train",
    "train.batch_size": 4,
    "train.steps": 8,
}


def network(
    model, num_classes, *, channels, batch_norm_momentum, freeze_batch_norm, **options
):
    """In place of `build_model`, with its kinds of layers and names."""
    image = keras.Input((None, None, channels))
    x = keras.layers.Conv2D(4, 1, name=f"{model.backbone}.conv", use_bias=False)(image)
    x = BatchNormalization(
        momentum=batch_norm_momentum, frozen=freeze_batch_norm, name="norm"
    )(x)
    x = keras.layers.Dropout(model.dropout, name="dropout")(x)
    x = keras.layers.Conv2D(num_classes, 1, name="logits", dtype="float32")(x)
    return keras.Model(image, x)


@pytest.fixture(autouse=True)
def _small_network(monkeypatch):
    monkeypatch.setattr(train_state, "build_model", network)
    keras.utils.set_random_seed(0)


def batch(seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.choice([0, 1, 2, VOID], (4, 5, 6), p=[0.4, 0.3, 0.1, 0.2])
    labels[:2, :4] = VOID  # the parts of the batch differ in what counts
    return {
        "image": rng.normal(size=(4, 5, 6, 3)).astype(np.float32),
        "labels": labels.astype(np.int32),
    }


class Trial:
    def __init__(self, **changes):
        changes = {key.replace("__", "."): value for key, value in changes.items()}
        self.config = Config().replace({**SETTINGS, **changes})
        self.state = TrainState(self.config, INFO)
        self.steps = step.make_steps(ONE, self.state, self.config, INFO)

    def take(self, *batches):
        return [self._one(iter(tf.data.Dataset.from_tensors(b))) for b in batches]

    def _one(self, iterator):
        logs = self.steps(iterator, tf.constant(1))
        return {key: float(value) for key, value in logs.items()}

    def weights(self):
        return [np.array(v) for v in self.state.model.trainable_variables]


BAD = {**batch(), "image": np.full((4, 5, 6, 3), np.inf, np.float32)}


def test_the_loss_scale_grows_after_as_many_good_steps(monkeypatch):
    monkeypatch.setattr(step, "_GROW_LOSS_SCALE_AFTER", 2)
    trial = Trial(train__precision="mixed_float16")
    trial.state.loss_scale.assign(8.0)
    scales = []
    for _ in range(5):
        trial.take(batch())
        scales.append(float(trial.state.loss_scale))
    assert scales == [8, 16, 16, 32, 32]


def test_the_loss_scale_is_left_alone_elsewhere(monkeypatch):
    monkeypatch.setattr(step, "_GROW_LOSS_SCALE_AFTER", 1)
    trial = Trial()
    trial.take(batch(), batch())
    assert float(trial.state.loss_scale) == 1.0


def test_an_overflow_halves_the_scale_and_counts_only_at_the_last():
    trial = Trial(train__precision="mixed_float16")
    trial.state.loss_scale.assign(4.0)
    seen = []
    for _ in range(4):
        trial.take(BAD)
        counters = (trial.state.loss_scale, trial.state.bad_steps)
        seen.append(tuple(float(counter) for counter in counters))
    assert seen == [(2, 0), (1, 0), (1, 1), (1, 2)]
    assert int(trial.state.last_bad_step) == 4
    assert int(trial.state.step) == 4
    assert int(trial.state.optimizer.iterations) == 0


def test_a_bad_step_changes_nothing_and_a_good_one_ends_the_row():
    trial = Trial(train__ema_decay=0.5)
    trial.take(batch())
    before = [np.array(w) for w in trial.state.model.weights]
    trial.take(BAD, BAD)
    for old, new in zip(before, trial.state.model.weights, strict=True):
        np.testing.assert_array_equal(old, new)
    assert int(trial.state.bad_steps) == 2
    assert int(trial.state.last_bad_step) == 3
    trial.take(batch())
    assert int(trial.state.bad_steps) == 0
    assert int(trial.state.step) == 4


TERMS = {"cross_entropy": 0.25, "dice": 3.0, "focal": 2.0}


@pytest.mark.parametrize("parts", [1, 2])
def test_each_term_has_its_factor_over_its_own_count(parts):
    """Against the definition: the loss, and the step that its gradient takes."""
    changes = {"train__accumulate_steps": parts, "train__batch_norm": "frozen"}
    trial = Trial(loss__terms=TERMS, **changes)
    data = batch()
    model, start = trial.state.model, trial.weights()
    objective = recipe.make_objective(trial.config, INFO)
    with tf.GradientTape() as tape:
        found = objective(model(data["image"]), data["labels"], 0.0)
        wanted = sum(
            TERMS[name] * total / count for name, (total, count) in found.items()
        )
    gradients = tape.gradient(wanted, [v.value for v in model.trainable_variables])
    (logs,) = trial.take(data)
    assert logs["loss"] == pytest.approx(float(wanted), rel=1e-5)
    assert logs["gradient_norm"] == pytest.approx(
        float(tf.linalg.global_norm(gradients)), rel=1e-4
    )
    for old, new, gradient in zip(start, trial.weights(), gradients, strict=True):
        np.testing.assert_allclose(new, old - 0.1 * gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("done", [0, 2, 4, 7])
def test_progress_of_the_run_reaches_the_loss(done):
    changes = {"loss__top_k": 0.25, "loss__top_k_ramp": 0.5}
    trial = Trial(train__batch_norm="frozen", **changes)
    trial.state.step.assign(done)
    data = batch()
    objective = recipe.make_objective(trial.config, INFO)
    ((total, count),) = objective(
        trial.state.model(data["image"]), data["labels"], done / 8
    ).values()
    (logs,) = trial.take(data)
    assert logs["loss"] == pytest.approx(float(total / count), rel=1e-5)


VOIDS = {**batch(), "labels": np.full((4, 5, 6), VOID, np.int32)}


@pytest.mark.parametrize("name", ["sgd", "adamw", "lion"])
def test_decay_is_taken_once_and_from_kernels_alone(name):
    """Nothing counts but the decay, where every pixel is void."""
    decay, rate = 0.5, 0.1
    trial = Trial(optimizer__name=name, optimizer__weight_decay=decay)
    start = trial.weights()
    trial.take(VOIDS)
    for variable, old in zip(trial.state.model.trainable_variables, start, strict=True):
        factor = 1 - rate * decay if variable.path.endswith("kernel") else 1.0
        np.testing.assert_allclose(variable, old * factor, rtol=1e-5)


@pytest.mark.parametrize("limit", [1e-3, 1e6])
def test_gradients_are_clipped_to_a_norm_and_never_stretched(limit):
    trial, free = Trial(optimizer__clip_norm=limit), Trial()
    for variable, value in zip(
        free.state.model.weights, trial.state.model.weights, strict=True
    ):
        variable.assign(value)
    start = trial.weights()
    (logs,), _ = trial.take(batch()), free.take(batch())
    factor = min(1.0, limit / logs["gradient_norm"])
    for old, new, usual in zip(start, trial.weights(), free.weights(), strict=True):
        np.testing.assert_allclose(
            new - old, (usual - old) * factor, rtol=1e-2, atol=1e-7
        )


def test_the_evaluated_network_is_the_average_with_fresh_statistics():
    trial = Trial(train__ema_decay=0.75)
    state = trial.state
    average = trial.weights()
    for seed in range(3):
        trial.take(batch(seed))
        average = [
            0.75 * old + 0.25 * new
            for old, new in zip(average, trial.weights(), strict=True)
        ]
    moving = [np.array(v) for v in state.evaluated.non_trainable_variables]
    state.refresh_evaluated()
    for wanted, found in zip(average, state.evaluated.trainable_variables, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-7)
    norms = [model.get_layer("norm") for model in (state.model, state.evaluated)]
    np.testing.assert_array_equal(norms[0].moving_mean, norms[1].moving_mean)
    assert not any(np.array_equal(norms[1].moving_mean, value) for value in moving)


@pytest.mark.parametrize("decay", [0.0, 0.5])
def test_a_restored_state_goes_on_bit_for_bit(tmp_path, decay):
    """With the masks of dropout, which no checkpoint of Keras' weights has."""
    changes = {"model__dropout": 0.5, "train__ema_decay": decay}
    changes["optimizer__momentum"] = 0.9
    trial = Trial(**changes)
    trial.take(batch(0), batch(1))
    trial.state.rate_factor.assign(0.5)
    path = trial.state.checkpoint.write(str(tmp_path / "state"))
    course = trial.take(batch(2), batch(3))
    keras.utils.set_random_seed(7)
    other = Trial(**changes)
    other.take(batch(4))
    other.state.restore(path)
    assert other.take(batch(2), batch(3)) == course
    for kind in ("model", "evaluated"):
        one, two = (getattr(part.state, kind).weights for part in (trial, other))
        for first, second in zip(one, two, strict=True):
            np.testing.assert_array_equal(first, second)


def test_the_rate_is_the_schedules_times_the_factor():
    trial = Trial()
    assert trial.state.learning_rate() == pytest.approx(0.1)
    trial.state.rate_factor.assign(0.25)
    assert trial.state.learning_rate() == pytest.approx(0.025)


@pytest.mark.parametrize("factors", [(1.0, 1.0), (0.5, 2.0), (2.0, 2.0)])
def test_rate_factors_go_by_name(factors):
    backbone, bias = factors
    trial = Trial(optimizer__backbone_factor=backbone, optimizer__bias_factor=bias)
    found = recipe.rate_factors(trial.config, trial.state.model)
    wanted = {
        f"{BACKBONE}.conv/kernel": backbone,
        "norm/gamma": 1.0,
        "norm/beta": 1.0,
        "logits/kernel": 1.0,
        "logits/bias": bias,
    }
    paths = [v.path for v in trial.state.model.trainable_variables]
    assert dict(zip(paths, found or [1.0] * len(paths), strict=True)) == wanted


@pytest.mark.parametrize("name", backbones.MODULES)
def test_decay_is_the_backbones_where_none_is_set(name):
    config = Config().replace({"model.backbone": name})
    assert recipe.weight_decay(config) == backbones.get_spec(name).weight_decay
    config = config.replace({"optimizer.weight_decay": 0.0})
    assert recipe.weight_decay(config) == 0.0


@pytest.mark.parametrize(
    ("batch_size", "parts", "start", "mode"),
    [
        (8, 1, "run", "train"),
        (7, 1, "run", "frozen"),
        (16, 2, "run", "train"),
        (16, 4, "run", "frozen"),
        (4, 1, "", "train"),
    ],
)
def test_batch_norm_trains_where_a_part_is_large_enough(batch_size, parts, start, mode):
    config = Config().replace(
        {
            "train.batch_size": batch_size,
            "train.accumulate_steps": parts,
            "train.init_checkpoint": start,
        }
    )
    assert recipe.batch_norm_mode(config)[0] == mode


@pytest.mark.parametrize(
    ("steps", "wanted"), [(30, 0.5), (1000, 1 - 20 / 1000), (10**6, 0.997)]
)
def test_statistics_forget_within_the_run(steps, wanted):
    config = Config().replace({"train.steps": steps})
    assert recipe.batch_norm_momentum(config) == pytest.approx(wanted)
