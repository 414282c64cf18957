"""The training loop on tf.distribute: one step, one loop, checkpoint, resume."""

import math
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

from deeplab_tf import backbones, distribution, evaluation, initialization
from deeplab_tf import run as runs
from deeplab_tf.config import Config
from deeplab_tf.data import info as dataset_info
from deeplab_tf.data import records
from deeplab_tf.data.info import DatasetInfo
from deeplab_tf.data.pipeline import make_train_dataset
from deeplab_tf.errors import UserError
from deeplab_tf.inference import make_predictor
from deeplab_tf.model import build_model, weight_decay_variables
from deeplab_tf.objective import make_objective
from deeplab_tf.optimizers import DECOUPLED, make_optimizer
from deeplab_tf.run import Run
from deeplab_tf.run_log import RunLog
from deeplab_tf.schedules import Schedule

Batch = dict[str, tf.Tensor]

# A moving average forgets half of what it began with in about 0.7 / (1 - decay)
# steps. With 20 / steps for 1 - decay it forgets all but 2e-9 of it in the run.
_FORGETTING = 20.0


def train(config: Config, run_dir: str) -> dict[str, Any]:
    """Trains, or goes on with training, until `config.train.steps`.

    Args:
      config: the run; `data.dataset_dir` must be given.
      run_dir: folder that `deeplab_tf.run` describes; made where missing.

    Returns:
      The last evaluation's scores, empty where there was none.

    Raises:
      UserError: the data set, the folder or a setting is not usable, a shard is
        damaged, or the loss is not finite any more.
    """
    info = dataset_info.load(config.data.dataset_dir)
    strategy = distribution.make_strategy(config.train)
    run = runs.start_run(run_dir, config, info, strategy)
    keras.utils.set_random_seed(config.train.seed)
    with strategy.scope():
        state = TrainState(config, info)
    state.restore(run.path)
    if config.train.init_checkpoint and not state.step_number:
        initialization.start_from(state.model, run)
    with RunLog(run, state.step_number) as log:
        return _loop(run, strategy, state, log)


class TrainState:
    """All that a training step changes: weights, optimiser, dropout seeds, best mIoU.

    Everything here is in the checkpoint, so that a resumed run goes on bit for bit.
    """

    def __init__(self, config: Config, info: DatasetInfo) -> None:
        self.model = build_model(
            config.model,
            info.num_classes,
            channels=info.channels,
            batch_norm_momentum=batch_norm_momentum(config),
            freeze_batch_norm=config.train.freeze_batch_norm,
        )
        settings = config.optimizer
        self.learning_rate = Schedule(
            settings.schedule,
            learning_rate=settings.learning_rate,
            steps=config.train.steps,
            warmup_steps=settings.warmup_steps,
            power=settings.power,
        )
        self.optimizer = make_optimizer(
            settings.name,
            learning_rate=self.learning_rate,
            momentum=settings.momentum,
            weight_decay=weight_decay(config),
            variables=self.model.trainable_variables,
            decayed=weight_decay_variables(self.model),
            arguments=settings.arguments,
        )
        self.best_miou = tf.Variable(-1.0, trainable=False, dtype=tf.float64)
        weights = {id(v) for v in self.model.weights}
        seeds = [v.value for v in self.model.variables if id(v) not in weights]
        self.weights = runs.weights(self.model)
        # Seeds by order: their names count up within a process.
        self.checkpoint = tf.train.Checkpoint(
            weights=self.weights.weights,
            seeds=seeds,
            optimizer={v.path: v.value for v in self.optimizer.variables},
            best_miou=self.best_miou,
        )

    @property
    def step_number(self) -> int:
        """Steps done."""
        return int(self.optimizer.iterations.numpy())

    def restore(self, run_path: pathlib.Path) -> None:
        """Restores the latest checkpoint of the run, where there is one.

        Raises:
          UserError: the checkpoint is damaged.
        """
        path = tf.train.latest_checkpoint(run_path / "checkpoints")
        if path is None:
            return
        try:
            self.checkpoint.read(path).assert_existing_objects_matched()
        except (tf.errors.OpError, AssertionError, ValueError, IndexError) as error:
            raise UserError(
                f"{path}: is damaged; delete its files to resume from the checkpoint "
                f"before ({str(error).strip().splitlines()[0]})."
            ) from None


def batch_norm_momentum(config: Config) -> float:
    """The decay of the moving statistics for the run's length.

    The released 0.9997 needs some 30,000 steps to forget the initial statistics; a
    shorter run evaluated with them is ruined (mIoU near 0).
    """
    if config.train.batch_norm_momentum is not None:
        return config.train.batch_norm_momentum
    released = backbones.get_spec(config.model.backbone).batch_norm_momentum
    return max(0.5, min(released, 1.0 - _FORGETTING / config.train.steps))


def weight_decay(config: Config) -> float:
    """The decay that is set, or the backbone's released value."""
    decay = config.optimizer.weight_decay
    if decay is None:
        return backbones.get_spec(config.model.backbone).weight_decay
    return decay


def make_train_step(
    strategy: tf.distribute.Strategy,
    state: TrainState,
    config: Config,
    info: DatasetInfo,
) -> Callable[[Batch], tf.Tensor]:
    """Returns a tf.function: a distributed batch -> the loss before the step.

    The loss is the mean over the valid pixels of the global batch; weight decay adds
    decay * w to a kernel's gradient, which is that of decay / 2 * sum w^2.
    """
    model, optimizer = state.model, state.optimizer
    loss_function = make_objective(config.loss, info, config.data.train_split)
    factors = config.loss.factors
    decay = 0.0 if config.optimizer.name in DECOUPLED else weight_decay(config)
    # Replicas' gradients are summed, so each adds its part of the decay.
    decay /= strategy.num_replicas_in_sync
    decayed = {id(variable) for variable in weight_decay_variables(model)}

    def replica_step(batch: Batch) -> tf.Tensor:
        variables = model.trainable_variables
        replica = tf.distribute.get_replica_context()
        with tf.GradientTape() as tape:
            logits = model(batch["image"], training=True)
            progress = tf.cast(optimizer.iterations, tf.float32) / config.train.steps
            loss = tf.constant(0.0)
            for name, (total, count) in loss_function(
                logits, batch["labels"], progress
            ).items():
                counted = replica.all_reduce(tf.distribute.ReduceOp.SUM, count)
                mean = total / tf.maximum(tf.stop_gradient(counted), 1.0)
                loss += factors[name] * mean
        gradients = tape.gradient(loss, [v.value for v in variables])
        gradients = [
            gradient + decay * variable.value if id(variable) in decayed else gradient
            for gradient, variable in zip(gradients, variables, strict=True)
        ]
        optimizer.apply(gradients, variables)
        return loss

    @tf.function
    def step(batch: Batch) -> tf.Tensor:
        losses = strategy.run(replica_step, (batch,))
        return strategy.reduce(tf.distribute.ReduceOp.SUM, losses, axis=None)

    return step


def _loop(
    run: Run, strategy: tf.distribute.Strategy, state: TrainState, log: RunLog
) -> dict[str, Any]:
    config, settings = run.config, run.config.train
    batches = _batches(run, strategy, state.step_number)
    step_function = make_train_step(strategy, state, config, run.info)
    predict = make_predictor(state.model) if settings.eval_steps else None
    checkpoints = tf.train.CheckpointManager(
        state.checkpoint, run.path / "checkpoints", settings.keep_checkpoints
    )
    result: dict[str, Any] = {}
    for step in range(state.step_number + 1, settings.steps + 1):
        loss = float(step_function(next(batches)))
        if not math.isfinite(loss):
            raise UserError(_not_finite(run, step, loss))
        last = step == settings.steps
        if step % settings.log_steps == 0 or last:
            log.step(step, loss, float(state.learning_rate(step - 1)))
        log.advance(step, loss)
        if predict and (step % settings.eval_steps == 0 or last):
            result = _evaluate(run, predict, state, log, step)
        if step % settings.checkpoint_steps == 0 or last:
            checkpoints.save(step)
    return result


def _evaluate(
    run: Run, predict: Any, state: TrainState, log: RunLog, step: int
) -> dict[str, Any]:
    data = run.config.data
    result = evaluation.evaluate(predict, data.dataset_dir, run.info, data.eval_split)
    if result["miou"] > state.best_miou.numpy():
        state.best_miou.assign(result["miou"])
        best = tf.train.CheckpointManager(state.weights, run.path / "best", 1)
        best.save(step)
    log.evaluation(step, result, predict)
    return result


def _batches(
    run: Run, strategy: tf.distribute.Strategy, start_step: int
) -> Iterator[Batch]:
    config = run.config
    dataset = make_train_dataset(config, run.info, start_step=start_step)
    try:
        yield from strategy.experimental_distribute_dataset(dataset)
    except tf.errors.OpError as error:
        paths = dataset_info.shard_paths(
            config.data.dataset_dir, run.info, config.data.train_split
        )
        raise records.describe_read_error(error, paths) from error


def _not_finite(run: Run, step: int, loss: float) -> str:
    return (
        f"the loss is {loss} at step {step}; nothing after the last checkpoint in "
        f"{run.path / 'checkpoints'} is kept. Lower --optimizer.learning_rate "
        f"(now {run.config.optimizer.learning_rate}) or add "
        "--optimizer.warmup_steps, in a new --run_dir."
    )
