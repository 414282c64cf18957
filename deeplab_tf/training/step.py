"""One training step on tf.distribute: gradients, their checks, the update."""

from collections.abc import Callable, Iterator

import keras
import tensorflow as tf

from deeplab_tf.config import Config
from deeplab_tf.data.dataset_info import DatasetInfo
from deeplab_tf.network.deeplab import weight_decay_variables
from deeplab_tf.training import distribution, recipe
from deeplab_tf.training.losses.pixels import total_loss
from deeplab_tf.training.optimizers import DECOUPLED
from deeplab_tf.training.train_state import TrainState

Batch = dict[str, tf.Tensor]
Gradients = list[tf.Tensor]
Terms = dict[str, tuple[tf.Tensor, tf.Tensor]]  # name -> sum, count
Steps = Callable[[Iterator[Batch], tf.Tensor], dict[str, tf.Tensor]]

_SUM = tf.distribute.ReduceOp.SUM
# mixed_float16: after so many good steps in a row the loss scale is tried twice as
# large, as Keras' LossScaleOptimizer does.
_GROW_LOSS_SCALE_AFTER = 2000


def make_steps(
    strategy: tf.distribute.Strategy,
    state: TrainState,
    config: Config,
    info: DatasetInfo,
) -> Steps:
    """Returns a tf.function that takes several steps.

    The loss of each term is its mean over the global batch, however that is spread
    over replicas or parts (`train.accumulate_steps`). Weight decay adds decay * w to
    a kernel's gradient, which is that of decay / 2 * sum w^2. A step whose loss or
    gradients are not finite changes nothing but `state.step`, `state.bad_steps`,
    `state.last_bad_step` and `state.loss_scale`.

    Returns:
      (iterator over distributed batches, number of steps) -> {"loss",
      "gradient_norm"}: scalars of the last step.
    """
    compute = GradientComputer(strategy, state, config, info)
    run = compute
    if _uses_xla(config, strategy):
        run = tf.function(compute, jit_compile=True)

    statistics = [v.value for v in state.model.non_trainable_weights]

    def one(batch: Batch) -> dict[str, tf.Tensor]:
        # The forward pass moves the statistics before anybody knows of NaN.
        before = [tf.identity(variable) for variable in statistics]
        logs, gradients = strategy.run(run, (batch,))
        logs = {key: _first(strategy, value) for key, value in logs.items()}
        finite = tf.math.is_finite(logs["loss"] + logs["gradient_norm"])
        tf.cond(
            finite,
            lambda: _take(strategy, state, config, gradients),
            lambda: _skip(state, statistics, before),
        )
        state.step.assign_add(1)
        return logs

    @tf.function
    def steps(iterator: Iterator[Batch], count: tf.Tensor) -> dict[str, tf.Tensor]:
        logs = one(next(iterator))
        for _ in tf.range(count - 1):
            logs = one(next(iterator))
        return logs

    return steps


def _take(
    strategy: tf.distribute.Strategy,
    state: TrainState,
    config: Config,
    gradients: Gradients,
) -> tf.Tensor:
    """Moves the weights by finite gradients."""

    def apply(gradients: Gradients) -> None:
        state.optimizer.apply(gradients, state.model.trainable_variables)

    strategy.run(apply, (gradients,))
    _average(state, config.train.ema_decay)
    state.bad_steps.assign(0)
    grows = state.optimizer.iterations % _GROW_LOSS_SCALE_AFTER == 0
    if config.train.precision == "mixed_float16":
        state.loss_scale.assign(state.loss_scale * tf.where(grows, 2.0, 1.0))
    return tf.constant(True)


def _skip(
    state: TrainState, statistics: list[keras.Variable], before: list[tf.Tensor]
) -> tf.Tensor:
    """Takes back what the forward pass moved, and counts the bad step."""
    for variable, value in zip(statistics, before, strict=True):
        variable.assign(value)
    # A float16 overflow is mended by a smaller scale and counts as bad only when
    # there is none left.
    last = state.loss_scale <= 1.0
    state.bad_steps.assign_add(tf.cast(last, tf.int64))
    state.last_bad_step.assign(tf.where(last, state.step + 1, state.last_bad_step))
    state.loss_scale.assign(tf.maximum(state.loss_scale / 2.0, 1.0))
    return tf.constant(False)


class GradientComputer:
    """The part of a step that runs in each replica: loss and gradients."""

    def __init__(
        self,
        strategy: tf.distribute.Strategy,
        state: TrainState,
        config: Config,
        info: DatasetInfo,
    ) -> None:
        self._state, self._settings = state, config
        self._loss = recipe.make_objective(config, info)
        self._replicas = strategy.num_replicas_in_sync
        own = config.optimizer.name not in DECOUPLED
        self._decay = recipe.weight_decay(config) if own else 0.0
        self._decayed = {
            id(variable) for variable in weight_decay_variables(state.model)
        }

    def __call__(self, batch: Batch) -> tuple[dict[str, tf.Tensor], Gradients]:
        """A replica's batch -> loss and gradients of the global batch."""
        parts = self._settings.train.accumulate_steps
        if parts == 1:
            loss, gradients = self._whole(batch)
        else:
            loss, gradients = self._in_parts(batch, parts)
        gradients = self._all_reduce(_times(gradients, 1.0 / self._state.loss_scale))
        gradients = [
            gradient + self._decay * variable.value
            if id(variable) in self._decayed
            else gradient
            for gradient, variable in zip(gradients, self._variables(), strict=True)
        ]
        norm = tf.linalg.global_norm(gradients)
        limit = self._settings.optimizer.clip_norm
        if limit:
            factor = limit / tf.maximum(norm, limit)
            gradients = _times(gradients, factor)
        loss = self._all_reduce([loss])[0]
        return {"loss": loss, "gradient_norm": tf.cast(norm, tf.float32)}, gradients

    def _whole(self, batch: Batch) -> tuple[tf.Tensor, Gradients]:
        with tf.GradientTape() as tape:
            terms = self._terms(batch)
            counts = self._counts([count for _, count in terms.values()])
            loss = total_loss(terms, self._settings.loss, counts)
            scaled = loss * self._state.loss_scale
        return loss, tape.gradient(scaled, self._values())

    def _in_parts(self, batch: Batch, parts: int) -> tuple[tf.Tensor, Gradients]:
        """Adds up the gradients of each term's sum; the counts are known at the end.

        So the result is that of the whole batch, whatever the parts hold. Each term
        beyond the first costs a further backward pass.
        """
        totals: dict[str, Gradients] = {}
        for part in _split(batch, parts):
            with tf.GradientTape(persistent=True) as tape:
                terms = self._terms(part)
                # The mean over what a term counts, pixels or pictures, keeps float16
                # gradients in range.
                sizes = {
                    name: tf.stop_gradient(tf.maximum(count, 1.0))
                    for name, (_, count) in terms.items()
                }
                scaled = {
                    name: total * self._state.loss_scale / sizes[name]
                    for name, (total, _) in terms.items()
                }
            for name, (total, count) in terms.items():
                gradients = tape.gradient(scaled[name], self._values())
                new = [total, count, *_times(gradients, sizes[name])]
                totals[name] = _sum_of(totals.get(name), new)
            del tape
        counts = self._counts([values[1] for values in totals.values()])
        factors = self._settings.loss.terms.values()
        loss, added = tf.constant(0.0), None
        for values, count, factor in zip(totals.values(), counts, factors, strict=True):
            loss += factor * values[0] / count
            added = _sum_of(added, _times(values[2:], factor / count))
        return loss, added or []

    def _terms(self, batch: Batch) -> Terms:
        logits = self._state.model(batch["image"], training=True)
        steps = tf.cast(self._settings.train.steps, tf.float32)
        return self._loss(
            logits, batch["labels"], tf.cast(self._state.step, tf.float32) / steps
        )

    def _counts(self, counts: list[tf.Tensor]) -> list[tf.Tensor]:
        return [tf.stop_gradient(tf.maximum(c, 1.0)) for c in self._all_reduce(counts)]

    def _all_reduce(self, values: list[tf.Tensor]) -> list[tf.Tensor]:
        if self._replicas == 1:
            return values
        context = tf.distribute.get_replica_context()
        # Stopped: see layers.sum_over_replicas.
        return context.all_reduce(_SUM, [tf.stop_gradient(value) for value in values])

    def _variables(self) -> list[keras.Variable]:
        return self._state.model.trainable_variables

    def _values(self) -> list[tf.Variable]:
        return [variable.value for variable in self._variables()]


def _split(batch: Batch, parts: int) -> list[Batch]:
    split = {key: tf.split(value, parts) for key, value in batch.items()}
    return [{key: split[key][i] for key in split} for i in range(parts)]


def _times(gradients: Gradients, factor: tf.Tensor) -> Gradients:
    return [gradient * tf.cast(factor, gradient.dtype) for gradient in gradients]


def _sum_of(one: Gradients | None, other: Gradients) -> Gradients:
    if one is None:
        return other
    return [a + b for a, b in zip(one, other, strict=True)]


def _average(state: TrainState, decay: float) -> None:
    """Moves the average of the weights towards them."""
    if not decay:
        return
    pairs = zip(
        state.model.trainable_variables,
        state.evaluated.trainable_variables,
        strict=True,
    )
    for trained, average in pairs:
        mixed = average.value * decay + tf.cast(trained.value, average.dtype) * (
            1 - decay
        )
        average.value.assign(mixed)


def _first(strategy: tf.distribute.Strategy, value: tf.Tensor) -> tf.Tensor:
    """A value that is the same in all replicas."""
    return strategy.experimental_local_results(value)[0]


def _uses_xla(config: Config, strategy: tf.distribute.Strategy) -> bool:
    if config.train.xla == "auto":
        return distribution.has_accelerator() and strategy.num_replicas_in_sync == 1
    return config.train.xla == "on"
