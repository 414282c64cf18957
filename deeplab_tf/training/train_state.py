"""All that a training step changes, and how it is kept."""

import pathlib

import keras
import tensorflow as tf
from absl import logging

from deeplab_tf.config import Config
from deeplab_tf.data.dataset_info import DatasetInfo
from deeplab_tf.errors import UserError
from deeplab_tf.network.deeplab import build_model, weight_decay_variables
from deeplab_tf.network.quantized import quantize
from deeplab_tf.runs import saving
from deeplab_tf.training import recipe
from deeplab_tf.training.optimizers import make_optimizer
from deeplab_tf.training.schedules import RunSchedule

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
      step: batches taken from the data, of which the learning rate is a function; the
        optimiser's own count leaves out those that were skipped.
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
        self.step = _counter(0, tf.int64)
        self.rate_factor = _counter(1.0, tf.float32)
        self.optimizer = make_optimizer(
            config.optimizer,
            learning_rate=RunSchedule(
                config.optimizer, config.train.steps, self.step, self.rate_factor
            ),
            weight_decay=recipe.weight_decay(config),
            variables=self.model.trainable_variables,
            decayed=weight_decay_variables(self.model),
            rate_factors=recipe.rate_factors(config, self.model),
        )
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
            status = self.checkpoint.read(saving.for_tensorflow(path))
            status.assert_existing_objects_matched()
            status.expect_partial()  # how many were written is left to the manager
        except (tf.errors.OpError, AssertionError, ValueError, IndexError) as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(f"{path}: is damaged ({reason})") from None

    def restore_newest(self, run_path: pathlib.Path) -> str | None:
        """Restores the newest state of a run folder that can be read.

        Returns:
          Its path; None where there is none, nor a trace of one.

        Raises:
          UserError: there are checkpoints, but none can be read.
        """
        folder, damaged = run_path / "checkpoints", []
        for path in saving.checkpoint_paths(folder):
            try:
                self.restore(path)
            except UserError as error:
                damaged.append(str(error))
                continue
            for message in damaged:
                logging.warning(f"{message}; skipped for {path}")
            return path
        traces = [*damaged, *map(str, folder.glob("ckpt-*.*"))]
        if traces:
            raise UserError(
                f"{folder}: holds checkpoints, but none that can be read: {traces[0]}. "
                "--restart deletes the run and trains it from step 0."
            )
        return None

    def _build(self, precision: str) -> keras.Model:
        config, before = self._config, keras.config.dtype_policy()
        if precision != "float32":  # else tests may choose a policy of their own
            keras.config.set_dtype_policy(precision)
        try:
            model = build_model(
                config.model,
                self._info.num_classes,
                channels=self._info.channels,
                batch_norm_momentum=recipe.batch_norm_momentum(config),
                freeze_batch_norm=recipe.batch_norm_mode(config)[0] == "frozen",
                frozen_stride=config.train.frozen_stride,
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
            "weights": saving.weights(self.evaluated).weights,
            # Seeds by order: their names count up within a process.
            "seeds": [v.value for v in model.variables if id(v) not in weights],
            "optimizer": {v.path: v.value for v in self.optimizer.variables},
            "counters": {name: getattr(self, name) for name in counters},
        }
        if self.averaging:
            kept["trained"] = saving.weights(model).weights
        return kept


def _counter(value: float, dtype: tf.DType) -> tf.Variable:
    return tf.Variable(
        value,
        trainable=False,
        dtype=dtype,
        aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
    )
