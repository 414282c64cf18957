"""The training loop: steps, evaluations, checkpoints, resuming, recovery."""

import contextlib
import pathlib
from collections.abc import Iterator, Sequence

import keras
import tensorflow as tf

from deeplab_tf import runs
from deeplab_tf.config import Config
from deeplab_tf.data import dataset_info, reading
from deeplab_tf.data.pipeline import make_train_dataset
from deeplab_tf.errors import UserError
from deeplab_tf.evaluation import evaluate
from deeplab_tf.files import Json
from deeplab_tf.inference.predictor import make_predictor
from deeplab_tf.network import backbones
from deeplab_tf.runs import Run, saving
from deeplab_tf.training import (
    distribution,
    initialization,
    interruption,
    locking,
    precision,
    preflight,
    tracking,
    weight_sources,
)
from deeplab_tf.training.log import RunLog
from deeplab_tf.training.post_mortem import weights_not_finite
from deeplab_tf.training.recovery import Recovery
from deeplab_tf.training.step import Batch, Steps, make_steps
from deeplab_tf.training.train_state import TrainState


def train(
    config: Config,
    run_dir: str,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    *,
    restart: bool = False,
) -> Json:
    """Trains, or goes on with training, until `config.train.steps`.

    Args:
      config: the run; `data.dataset_dir` must be given.
      run_dir: folder that `deeplab_tf.run` describes; made where missing.
      callbacks: of Keras. A batch is a call of `train.steps_per_call` steps; an epoch
        goes from one evaluation to the next, whose logs are "loss", "val_miou" and
        "val_pixel_accuracy" (of several workers the first alone has epochs). Their
        `model` is the one that is trained; `model.stop_training` ends the run, its
        state saved. Keras guesses no direction of "val_miou": give mode="max".
      restart: deletes what the folder holds of a run before.

    Returns:
      The last evaluation's scores, empty where there was none.

    Raises:
      UserError: the data set, the folder or a setting is not usable, a tracker is not
        installed, another process trains there, a shard is damaged, or the loss is not
        finite any more.
    """
    tracking.require(config.train.callbacks)
    info = dataset_info.load(config.data.dataset_dir)
    strategy = distribution.make_strategy(config.train)
    is_chief = distribution.is_chief(strategy)
    with locking.locked(run_dir) if is_chief else contextlib.nullcontext():
        if restart:
            if is_chief:
                runs.clear(run_dir)
            distribution.make_agreement(strategy)(True)  # the others wait for it
        config = weight_sources.resolve(runs.as_begun(config, run_dir), info)
        config = precision.resolve(config)
        run = runs.start_run(run_dir, config, info, strategy)
        state = _start(run, strategy)
        if is_chief:
            preflight.tell(config, info, state, strategy)
        with RunLog(run, state.step_number, is_chief) as log:
            return _Loop(run, strategy, state, log, callbacks).run()


def _start(run: Run, strategy: tf.distribute.Strategy) -> TrainState:
    """The state of the run's newest checkpoint, or that before its first step."""
    keras.utils.set_random_seed(run.config.train.seed)
    with strategy.scope():
        state = TrainState(run.config, run.info)
    if not _failed_before_its_first_step(run.path) and state.restore_newest(run.path):
        if distribution.is_chief(strategy):
            preflight.tell_longer(run, state.step_number)
    elif run.config.train.init_checkpoint:
        initialization.start_from(state.model, run)
        state.refresh_evaluated(first=True)
        _require_finite(state, run)
    return state


def _failed_before_its_first_step(path: pathlib.Path) -> bool:
    """Whether nothing lies there but what is written before there is a run."""
    later = [p for p in (path / "checkpoints").glob("ckpt-*.*") if p.stem != "ckpt-0"]
    return not (path / runs.RUN_FILE).exists() and not later


def _require_finite(state: TrainState, run: Run) -> None:
    broken = weights_not_finite(state.model, run.info)
    if broken:
        raise UserError(
            f"train.init_checkpoint={run.config.train.init_checkpoint}: not finite: "
            f"{', '.join(broken)}."
        )


class _Loop:
    """What goes on between the first and the last step of this process."""

    def __init__(
        self,
        run: Run,
        strategy: tf.distribute.Strategy,
        state: TrainState,
        log: RunLog,
        callbacks: Sequence[keras.callbacks.Callback],
    ) -> None:
        self._run, self._strategy, self._state, self._log = run, strategy, state, log
        self._settings = run.config.train
        self._chief = distribution.is_chief(strategy)
        self._recovery = Recovery(run, state, self._chief)
        self._result: Json = {}
        self._written = False  # run.json, with what this process was given
        self._saved = (-1, 0)  # step and rollbacks of the last checkpoint
        self._callbacks = keras.callbacks.CallbackList(
            list(callbacks), model=state.model, add_history=False, add_progbar=False
        )
        evaluates = self._chief and self._settings.eval_steps
        self._predict = make_predictor(state.evaluated) if evaluates else None
        self._folder = run.path / "checkpoints"
        if self._chief:
            saving.remove_half_written(self._folder)
            saving.remove_half_written(run.path / "best")

    def run(self) -> Json:
        """Goes on to the last step; returns the last evaluation."""
        state, settings = self._state, self._settings
        if state.step_number == 0:
            self._save(0)  # where a rollback goes before the first checkpoint
        batches = self._batches()
        steps = make_steps(self._strategy, state, self._run.config, self._run.info)
        agree = distribution.make_agreement(self._strategy)
        self._callbacks.on_train_begin()
        self._begin_epoch()
        with (
            interruption.stop_noticed() as stop,
            interruption.stall_watch(settings.stall_seconds) as alive,
        ):
            stopped = False
            while state.step_number < settings.steps and not stopped:
                self._call(steps, batches)
                alive()
                try:
                    interrupted, stopped = agree(
                        bool(stop.number), self._stop_training()
                    )
                except tf.errors.OpError as error:  # nobody answers
                    raise self._explain(error) from error
                if interrupted:
                    self._save(state.step_number)
                    raise interruption.InterruptedRunError(
                        state.step_number, stop.number
                    )
            if stopped:
                self._save(state.step_number)
        self._callbacks.on_train_end()
        return self._result

    def _call(self, steps: Steps, batches: Iterator[Batch]) -> None:
        before = self._state.step_number
        count = self._call_length(before)
        self._callbacks.on_train_batch_begin(before)
        self._log.profile(before)
        try:
            told = steps(batches, tf.constant(count))
            told = {key: float(value) for key, value in told.items()}
        except reading.UNREADABLE as error:
            raise self._explain(error) from error
        step = before + count
        if self._chief and not self._written:
            runs.save(self._run)  # only now is it a run: the first step has worked
            self._written = True
        self._callbacks.on_train_batch_end(step - 1, told)
        self._recovery.examine(before, step, told)
        last = step == self._settings.steps
        if step % self._settings.log_steps == 0 or last:
            self._log.step(step, told | {"learning_rate": self._state.learning_rate()})
        self._log.advance(step, told["loss"])
        every = self._settings.eval_steps
        if every and (step % every == 0 or last):
            self._evaluate(step, told["loss"])
        # Not in a row of bad steps, whose cause may be in the weights.
        due = step % self._settings.checkpoint_steps == 0
        if (due and not self._state.bad_steps.numpy()) or last:
            self._save(step)

    def _call_length(self, step: int) -> int:
        """Steps up to the next at which the host has something to do."""
        settings = self._settings
        wanted = settings.steps_per_call or (
            10 if distribution.has_accelerator() else 1
        )
        marks = (settings.log_steps, settings.checkpoint_steps, settings.eval_steps)
        ends = [every - step % every for every in marks if every]
        return min(wanted, settings.steps - step, *ends)

    def _evaluate(self, step: int, loss: float) -> None:
        state, data = self._state, self._run.config.data
        state.refresh_evaluated()
        if self._predict is None:
            return
        result = evaluate.evaluate(
            self._predict, data.dataset_dir, self._run.info, data.eval_split
        )
        miou = result["miou"]
        if miou is not None and miou > state.best_miou.numpy():
            state.best_miou.assign(miou)
            saving.save_best(self._run.path, state.evaluated, step)
        self._log.evaluation(step, result, self._predict)
        scores = {f"val_{key}": result[key] for key in ("miou", "pixel_accuracy")}
        epoch = (step - 1) // self._settings.eval_steps
        self._callbacks.on_epoch_end(epoch, {"loss": loss, **scores})
        self._begin_epoch()
        self._result = result

    def _begin_epoch(self) -> None:
        """Tells the callbacks; epochs are counted from 0 and end with evaluations."""
        step, every = self._state.step_number, self._settings.eval_steps
        if self._predict is not None and step < self._settings.steps:
            self._callbacks.on_epoch_begin(step // every)

    def _save(self, step: int) -> None:
        self._state.refresh_evaluated()
        state = (step, int(self._state.rollbacks.numpy()))
        if not self._chief or state == self._saved:
            return
        self._saved = state
        keep = self._settings.keep_checkpoints
        saving.write_checkpoint(self._state.checkpoint, self._folder, step, keep)

    def _explain(self, error: Exception) -> Exception:
        if isinstance(error, reading.DAMAGED):
            data = self._run.config.data
            return reading.explain(
                error, data.dataset_dir, self._run.info, data.train_split
            )
        gone = tf.errors.UnavailableError, tf.errors.AbortedError
        if isinstance(error, gone) or "Collective ops is aborted" in str(error):
            return UserError(
                f"a worker is gone ({type(error).__name__}); start the group again to "
                "resume from the last checkpoint."
            )
        return error

    def _stop_training(self) -> bool:
        """Whether a callback has had enough."""
        return bool(getattr(self._state.model, "stop_training", False))

    def _batches(self) -> Iterator[Batch]:
        config, info, start = self._run.config, self._run.info, self._state.step_number
        replicas = self._strategy.num_replicas_in_sync

        def make(context: tf.distribute.InputContext) -> tf.data.Dataset:
            return make_train_dataset(
                config,
                info,
                fill=backbones.get_spec(config.model.backbone).mean,
                start_step=start,
                workers=context.num_input_pipelines,
                worker=context.input_pipeline_id,
                replicas=replicas,
            )

        return iter(self._strategy.distribute_datasets_from_function(make))
