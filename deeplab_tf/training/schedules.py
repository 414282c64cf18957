"""Learning rates as functions of the step."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf

Settings = dict[str, float]
_DEFAULTS: Settings = {
    "power": 0.9,
    "end_learning_rate": 0.0,
    "decay_steps": 2000,
    "decay_factor": 0.1,
}


def poly(progress: tf.Tensor, settings: Settings) -> tf.Tensor:
    """(1 - progress)^power, the schedule of DeepLab (Chen et al. 2018, section 4)."""
    return (1.0 - progress) ** settings["power"]


def cosine(progress: tf.Tensor, settings: Settings) -> tf.Tensor:
    """Half a cosine from 1 to 0 (Loshchilov and Hutter 2017)."""
    del settings
    return 0.5 * (1.0 + tf.cos(math.pi * progress))


def step(progress: tf.Tensor, settings: Settings) -> tf.Tensor:
    """decay_factor to the number of whole decay_steps since the warm-up."""
    length = settings["steps"] - settings["warmup_steps"]
    # Half a step guards the floor against the rounding of progress.
    drops = tf.floor((progress * length + 0.5) / settings["decay_steps"])
    return settings["decay_factor"] ** drops


def constant(progress: tf.Tensor, settings: Settings) -> tf.Tensor:
    """1 throughout."""
    del settings
    return tf.ones_like(progress)


SCHEDULES: Mapping[str, Callable[[tf.Tensor, Settings], tf.Tensor]] = {
    "poly": poly,
    "cosine": cosine,
    "step": step,
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
      **options: power (0.9) of poly; end_learning_rate (0) of poly and cosine;
        decay_steps (2000) and decay_factor (0.1) of step.
    """

    def __init__(
        self,
        name: str,
        *,
        learning_rate: float,
        steps: int,
        warmup_steps: int = 0,
        **options: float,
    ) -> None:
        super().__init__()
        self.name = name
        self.settings: Settings = {
            "learning_rate": learning_rate,
            "steps": steps,
            "warmup_steps": warmup_steps,
            **_DEFAULTS,
            **options,
        }

    def __call__(self, step: Any) -> tf.Tensor:
        """The rate of a step, counted from 0."""
        settings = self.settings
        warmup, top = settings["warmup_steps"], settings["learning_rate"]
        step = tf.cast(step, tf.float32)
        warm = tf.minimum(1.0, (step + 1.0) / max(1, warmup))
        progress = (step - warmup) / max(1, settings["steps"] - warmup)
        progress = tf.clip_by_value(progress, 0.0, 1.0)
        end = settings["end_learning_rate"] if self.name in ("poly", "cosine") else 0.0
        course = SCHEDULES[self.name](progress, settings)
        return warm * (end + (top - end) * course)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {"name": self.name, **self.settings}
