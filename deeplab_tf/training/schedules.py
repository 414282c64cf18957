"""Learning rates as functions of the step."""

import math
from collections.abc import Callable, Mapping

import keras
import tensorflow as tf

from deeplab_tf.config import Optimizer


def poly(progress: tf.Tensor, settings: Optimizer, length: int) -> tf.Tensor:
    """(1 - progress)^power, the schedule of DeepLab (Chen et al. 2018, section 4)."""
    del length
    return (1.0 - progress) ** settings.power


def cosine(progress: tf.Tensor, settings: Optimizer, length: int) -> tf.Tensor:
    """Half a cosine from 1 to 0 (Loshchilov and Hutter 2017)."""
    del settings, length
    return 0.5 * (1.0 + tf.cos(math.pi * progress))


def step(progress: tf.Tensor, settings: Optimizer, length: int) -> tf.Tensor:
    """decay_factor to the number of whole decay_steps since the warm-up."""
    # Half a step guards the floor against the rounding of progress.
    drops = tf.floor((progress * length + 0.5) / settings.decay_steps)
    return settings.decay_factor**drops


def constant(progress: tf.Tensor, settings: Optimizer, length: int) -> tf.Tensor:
    """1 throughout."""
    del settings, length
    return tf.ones_like(progress)


Course = Callable[[tf.Tensor, Optimizer, int], tf.Tensor]
SCHEDULES: Mapping[str, Course] = {
    "poly": poly,
    "cosine": cosine,
    "step": step,
    "constant": constant,
}


def learning_rate(settings: Optimizer, steps: int, step: int | tf.Tensor) -> tf.Tensor:
    """The rate of a step: a linear warm-up, then the course that the settings name.

    Args:
      settings: the course and its numbers.
      steps: length of the run; the course begins after the warm-up.
      step: number of the step, counted from 0. Step 0 has the first part of the
        warm-up, not 0: a step at rate 0 would be lost.
    """
    warmup = settings.warmup_steps
    length = steps - warmup
    step = tf.cast(step, tf.float32)
    warm = tf.minimum(1.0, (step + 1.0) / max(1, warmup))
    progress = tf.clip_by_value((step - warmup) / max(1, length), 0.0, 1.0)
    falls = settings.schedule in ("poly", "cosine")
    end = settings.end_learning_rate if falls else 0.0
    course = SCHEDULES[settings.schedule](progress, settings, length)
    return warm * (end + (settings.learning_rate - end) * course)


class RunSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """The rate as a function of the batches taken, times a factor.

    Not of the optimiser's own count, which leaves out skipped steps and goes back with
    a rollback: the rate would then end above the end of its course.

    Args:
      settings, steps: those of `learning_rate`.
      step: batches taken so far.
      factor: that a rollback lowers.
    """

    def __init__(
        self, settings: Optimizer, steps: int, step: tf.Variable, factor: tf.Variable
    ) -> None:
        super().__init__()
        self._settings, self._steps = settings, steps
        self._step, self._factor = step, factor

    def __call__(self, iterations: tf.Tensor) -> tf.Tensor:
        """The rate of the next step."""
        del iterations
        return learning_rate(self._settings, self._steps, self._step) * self._factor
