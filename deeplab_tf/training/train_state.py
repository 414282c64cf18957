"""All that a training step changes, and how it is kept."""

import dataclasses
import pathlib

import keras
import tensorflow as tf

from deeplab_tf import runs
from deeplab_tf.config import Config
from deeplab_tf.data.dataset_info import DatasetInfo
from deeplab_tf.errors import UserError
from deeplab_tf.network import backbones
from deeplab_tf.network.deeplab import build_model, weight_decay_variables
from deeplab_tf.network.quantized import quantize
from deeplab_tf.training.optimizers import make_optimizer
from deeplab_tf.training.schedules import Schedule

# A moving average forgets half of what it began with in about 0.7 / (1 - decay)
# steps. With 20 / steps for 1 - decay it forgets all but 2e-9 of it in the run.
_FORGETTING = 20.0
_SMALL_BATCH = 8
_FIRST_LOSS_SCALE = 2.0**15


class TrainState:
    """Weights, optimiser, dropout seeds, averages, counters.

    Everything here but `last_bad_step` is in the checkpoint, so that a resumed run
    goes on bit for bit.

    Attributes:
      model: the network that is trained.
      evaluated: the network that is evaluated: `model`, or where an average of the
        weights is kept a second one that holds it after `refresh_evaluated`.
      optimizer, learning_rate: as the config says; see `rate_factor`.
      step: batches taken from the data; the optimiser's own count leaves out those
        that were skipped.
      rate_factor: on the learning rate; a rollback halves it.
      bad_steps: how many in a row, up to now, were skipped.
      last_bad_step: the last of them in this process, counted from 1; 0: none.
      rollbacks: how many there were.
      loss_scale: of mixed_float16; 1 elsewhere.
      best_miou: of the evaluations so far, -1 before the first.
    """

    def __init__(self, config: Config, info: DatasetInfo) -> None:
        self._config, self._info = config, info
        self.model = self._build(config.train.precision)
        self.rate_factor = _counter(1.0, tf.float32)
        schedule = make_schedule(config)
        self.optimizer = make_optimizer(
            config.optimizer.name,
            learning_rate=_Scaled(schedule, self.rate_factor),
            momentum=config.optimizer.momentum,
            weight_decay=weight_decay(config),
            variables=self.model.trainable_variables,
            decayed=weight_decay_variables(self.model),
            rate_factors=rate_factors(config, self.model),
            arguments=config.optimizer.arguments,
        )
        self.step = _counter(0, tf.int64)
        self.bad_steps = _counter(0, tf.int64)
        self.last_bad_step = _counter(0, tf.int64)
        self.rollbacks = _counter(0, tf.int64)
        self.best_miou = _counter(-1.0, tf.float64)
        half = config.train.precision == "mixed_float16"
        self.loss_scale = _counter(_FIRST_LOSS_SCALE if half else 1.0, tf.float32)
        self.averaging = config.train.ema_decay > 0
        self.evaluated = self._build("float32") if self.averaging else self.model
        self.refresh_evaluated(first=True)
        self.checkpoint = tf.train.Checkpoint(**self._kept())

    @property
    def step_number(self) -> int:
        """Batches taken so far."""
        return int(self.step.numpy())

    def learning_rate(self) -> float:
        """The rate of the next step."""
        return float(self.optimizer.learning_rate)

    def refresh_evaluated(self, first: bool = False) -> None:
        """Brings what is not averaged, the moving statistics, up to date."""
        if not self.averaging:
            return
        pairs = zip(self.model.weights, self.evaluated.weights, strict=True)
        for trained, evaluated in pairs:
            if first or not trained.trainable:
                evaluated.assign(trained)

    def restore(self, path: str) -> None:
        """Restores a training state.

        Raises:
          UserError: the checkpoint is damaged or of another program.
        """
        try:
            status = self.checkpoint.read(path)
            status.assert_existing_objects_matched()
            status.expect_partial()  # how many were written is left to the manager
        except (tf.errors.OpError, AssertionError, ValueError, IndexError) as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(
                f"{path}: is damaged; delete its files to resume from the checkpoint "
                f"before ({reason})."
            ) from None

    def _build(self, precision: str) -> keras.Model:
        config, before = self._config, keras.config.dtype_policy()
        if precision != "float32":  # else tests may choose a policy of their own
            keras.config.set_dtype_policy(precision)
        try:
            model = build_model(
                config.model,
                self._info.num_classes,
                channels=self._info.channels,
                batch_norm_momentum=batch_norm_momentum(config),
                freeze_batch_norm=batch_norm_mode(config)[0] == "frozen",
            )
        finally:
            keras.config.set_dtype_policy(before)
        return model if config.train.quantize == "none" else quantize.quantize(model)

    def _kept(self) -> dict:
        model = self.model
        weights = {id(v) for v in model.weights}
        counters = [
            "step",
            "rate_factor",
            "bad_steps",
            "rollbacks",
            "loss_scale",
            "best_miou",
        ]
        kept = {
            # What load_model reads: the average, where there is one.
            "weights": runs.weights(self.evaluated).weights,
            # Seeds by order: their names count up within a process.
            "seeds": [v.value for v in model.variables if id(v) not in weights],
            "optimizer": {v.path: v.value for v in self.optimizer.variables},
            "counters": {name: getattr(self, name) for name in counters},
        }
        if self.averaging:
            kept["trained"] = runs.weights(model).weights
        return kept


class _Scaled(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule times a variable."""

    def __init__(self, schedule: Schedule, factor: tf.Variable) -> None:
        super().__init__()
        self._schedule, self._factor = schedule, factor

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        return self._schedule(step) * self._factor


def make_schedule(config: Config) -> Schedule:
    """The learning rate of the config, before any rollback."""
    settings = dataclasses.asdict(config.optimizer)
    names = (
        *("learning_rate", "warmup_steps", "power", "end_learning_rate"),
        *("decay_steps", "decay_factor"),
    )
    options = {name: settings[name] for name in names}
    return Schedule(config.optimizer.schedule, steps=config.train.steps, **options)


def weight_decay(config: Config) -> float:
    """The decay that is set, or the backbone's released value."""
    decay = config.optimizer.weight_decay
    if decay is None:
        return backbones.get_spec(config.model.backbone).weight_decay
    return decay


def rate_factors(config: Config, model: keras.Model) -> list[float]:
    """Factors on the learning rate, one for each trainable variable; [] if all 1."""
    settings = config.optimizer
    if settings.backbone_factor == settings.bias_factor == 1.0:
        return []
    backbone = f"{config.model.backbone}."  # its layers' names begin so
    return [
        (settings.backbone_factor if variable.path.startswith(backbone) else 1.0)
        * (settings.bias_factor if variable.path.endswith("/bias") else 1.0)
        for variable in model.trainable_variables
    ]


def batch_norm_momentum(config: Config) -> float:
    """The decay of the moving statistics for the run's length.

    The released 0.9997 needs some 30,000 steps to forget the initial statistics; a
    shorter run evaluated with them is ruined (mIoU near 0).
    """
    if config.train.batch_norm_momentum is not None:
        return config.train.batch_norm_momentum
    released = backbones.get_spec(config.model.backbone).batch_norm_momentum
    return max(0.5, min(released, 1.0 - _FORGETTING / config.train.steps))


def batch_norm_mode(config: Config) -> tuple[str, str]:
    """("train" or "frozen", why)."""
    train = config.train
    if train.quantize != "none":
        return "frozen", "it is part of the quantised kernels"
    if train.batch_norm != "auto":
        return train.batch_norm, "as set"
    if config.model.normalization != "batch":
        return "train", "group norm keeps no statistics"
    part = train.batch_size // train.accumulate_steps
    if part >= _SMALL_BATCH:
        return "train", f"{part} pictures give usable statistics"
    if train.init_checkpoint:
        return "frozen", f"{part} pictures are too few, and the weights bring their own"
    return "train", (
        f"there are no trained statistics to keep, though {part} pictures are few: "
        "consider --model.normalization=group"
    )


def _counter(value: float, dtype: tf.DType) -> tf.Variable:
    return tf.Variable(
        value,
        trainable=False,
        dtype=dtype,
        aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
    )


def latest(run_path: pathlib.Path) -> str | None:
    """The last training state of a run folder, None where there is none."""
    return tf.train.latest_checkpoint(run_path / "checkpoints")
