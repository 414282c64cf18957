"""What a run does about steps whose loss is not finite: tell, go back, give up."""

import pathlib

from absl import logging

from deeplab_tf.errors import UserError
from deeplab_tf.runs import Run
from deeplab_tf.training.post_mortem import write_post_mortem
from deeplab_tf.training.train_state import TrainState

# So many steps in a row that are not finite are no accident of one picture.
_BAD_STEPS = 3
_REPORTS = 20  # of a run; with more of them it is known what is wrong


class Recovery:
    """Looks at the state after each call of the step function.

    The step itself leaves the weights alone where its loss or gradients are not
    finite. The first such step of a row is reported in RUN/post_mortem; the third
    takes the run back to its last checkpoint at half the rate.

    Args:
      run: the run.
      state: of this process.
      reports: whether this process writes the run folder.
    """

    def __init__(self, run: Run, state: TrainState, reports: bool) -> None:
        self._run, self._state, self._reports = run, state, reports
        self._folder = run.path / "post_mortem"

    def examine(self, before: int, step: int, told: dict[str, float]) -> None:
        """Does what is needed after the steps before + 1 .. step.

        Args:
          before, step: as above.
          told: loss and gradient norm of the last of them.

        Raises:
          UserError: the run went back as often as it may.
        """
        bad = int(self._state.last_bad_step.numpy())
        in_a_row = int(self._state.bad_steps.numpy())
        began = in_a_row <= step - before  # in this call
        if bad > before and began and self._reports:
            self._report(bad, told)
        if in_a_row >= _BAD_STEPS:
            self._roll_back(step, told)

    def _report(self, step: int, told: dict[str, float]) -> None:
        if self._folder.exists() and len(list(self._folder.iterdir())) >= _REPORTS:
            return
        folder, cause = write_post_mortem(self._run, self._state, step, told)
        logging.warning(
            f"step {step}: the loss or its gradient is not finite; the step is left "
            f"out. Likely cause: {cause}. See {folder}"
        )

    def _roll_back(self, step: int, told: dict[str, float]) -> None:
        state, count = self._state, int(self._state.rollbacks.numpy()) + 1
        if count > self._run.config.train.rollbacks:
            raise UserError(_given_up(self._run, step, told, self._folder))
        rate = float(state.rate_factor.numpy()) / 2
        best = float(state.best_miou.numpy())
        path = state.restore_newest(self._run.path)
        # The data go on; what the state holds of this run's course stays.
        state.step.assign(step)
        state.bad_steps.assign(0)
        state.rollbacks.assign(count)
        state.rate_factor.assign(rate)
        state.best_miou.assign(best)
        logging.warning(
            f"step {step}: loss {told['loss']}; back to the weights of {path} at "
            f"{rate:g} of the learning rate ({count} of "
            f"{self._run.config.train.rollbacks} times)"
        )


def _given_up(run: Run, step: int, told: dict[str, float], folder: pathlib.Path) -> str:
    return (
        f"loss {told['loss']:g} with a gradient of norm {told['gradient_norm']:g} at "
        f"step {step}, after "
        f"{run.config.train.rollbacks} returns to a checkpoint at lower rates. See "
        f"{folder}. Lower --optimizer.learning_rate (now "
        f"{run.config.optimizer.learning_rate}), add --optimizer.warmup_steps or "
        "--optimizer.clip_norm=1, in a new --run_dir."
    )
