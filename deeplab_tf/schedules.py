"""Learning rates as functions of the step."""

from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf


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


@keras.saving.register_keras_serializable("deeplab_tf")
class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """A linear warm-up, then the course of that name.

    Args:
      name: a key of SCHEDULES.
      learning_rate: the rate at the end of the warm-up.
      steps: length of the run; the course begins after the warm-up.
      warmup_steps: the rate rises linearly over these. Step 0 has the first part of
        it, not 0: a step at rate 0 would be lost.
      power: of the poly schedule.
    """

    def __init__(
        self,
        name: str,
        *,
        learning_rate: float,
        steps: int,
        warmup_steps: int = 0,
        power: float = 0.9,
    ) -> None:
        super().__init__()
        self.name = name
        self.settings = {
            "learning_rate": learning_rate,
            "steps": steps,
            "warmup_steps": warmup_steps,
            "power": power,
        }

    def __call__(self, step: Any) -> tf.Tensor:
        """The rate of a step, counted from 0."""
        settings = self.settings
        warmup = settings["warmup_steps"]
        step = tf.cast(step, tf.float32)
        warm = tf.minimum(1.0, (step + 1.0) / max(1, warmup))
        progress = (step - warmup) / max(1, settings["steps"] - warmup)
        course = SCHEDULES[self.name](
            tf.clip_by_value(progress, 0.0, 1.0), settings["power"]
        )
        return settings["learning_rate"] * warm * course

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {"name": self.name, **self.settings}
