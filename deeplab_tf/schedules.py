"""Learning rates as functions of the step."""

from collections.abc import Callable, Mapping

import tensorflow as tf

Schedule = Callable[[tf.Tensor], tf.Tensor]


def poly(progress: tf.Tensor, power: float) -> tf.Tensor:
    """(1 - progress)^power, the schedule of DeepLab (Chen et al. 2018, section 4)."""
    return (1.0 - progress) ** power


def constant(progress: tf.Tensor, power: float) -> tf.Tensor:
    """1 throughout."""
    del power
    return tf.ones_like(progress)


SCHEDULES: Mapping[str, Callable[[tf.Tensor, float], tf.Tensor]] = {
    "poly": poly,
    "constant": constant,
}


def make_schedule(
    name: str, *, learning_rate: float, steps: int, warmup_steps: int, power: float
) -> Schedule:
    """Returns step -> learning rate.

    Args:
      name: a key of SCHEDULES.
      learning_rate: the rate at the end of the warm-up.
      steps: length of the run; the course begins after the warm-up.
      warmup_steps: the rate rises linearly over these; step 0 has the first part of
        it, not 0, for a step at rate 0 would be lost.
      power: of the poly schedule.
    """
    course = SCHEDULES[name]

    def rate(step: tf.Tensor) -> tf.Tensor:
        step = tf.cast(step, tf.float32)
        warm = tf.minimum(1.0, (step + 1.0) / max(1, warmup_steps))
        length = max(1, steps - warmup_steps)
        progress = tf.clip_by_value((step - warmup_steps) / length, 0.0, 1.0)
        return learning_rate * warm * course(progress, power)

    return rate
