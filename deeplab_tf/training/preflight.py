"""What is said about a run before its first step: its choices, and what looks wrong."""

import sys

import tensorflow as tf
from absl import logging

from deeplab_tf import runs
from deeplab_tf.config import Config
from deeplab_tf.data.class_weights import absent_classes
from deeplab_tf.data.dataset_info import DatasetInfo
from deeplab_tf.runs import Run
from deeplab_tf.training import distribution, memory, recipe
from deeplab_tf.training.schedules import learning_rate
from deeplab_tf.training.train_state import TrainState


def tell(
    config: Config,
    info: DatasetInfo,
    state: TrainState,
    strategy: tf.distribute.Strategy,
) -> None:
    """Prints what was chosen for the run and what it takes; warns of what looks wrong.

    Args:
      config: of the run.
      info: of its data set.
      state: its variables.
      strategy: under which they were made.
    """
    needed, too_much = need(config, state, strategy)
    for line in (batch_norm(config), needed):
        print(line, file=sys.stderr)
    warnings = absent_classes(info, config.data.train_split) + untrained_rates(config)
    for warning in [*warnings, *too_much]:
        logging.warning(warning)


def tell_longer(run: Run, step: int) -> None:
    """Says what becomes of the learning rate where a run goes on beyond its end.

    Args:
      run: with the config that it goes on with.
      step: that it has reached.
    """
    path, steps = run.path / runs.RUN_FILE, run.config.train.steps
    before = runs.open_run(str(run.path)).config.train.steps if path.exists() else steps
    if before == steps:
        return
    settings = run.config.optimizer
    old, new = (float(learning_rate(settings, n, step)) for n in (before, steps))
    logging.warning(
        f"train.steps {before} -> {steps}: the learning rate goes on by the schedule "
        f"of the longer run, {new:.3g} at step {step} where that of the shorter is "
        f"{old:.3g}"
    )


def batch_norm(config: Config) -> str:
    """How batch norm is trained, and why."""
    mode, why = recipe.batch_norm_mode(config)
    if mode == "train":
        momentum = recipe.batch_norm_momentum(config)
        mode += f", moving statistics decay by {momentum:.4g} a step"
    return f"batch norm: {mode} ({why})"


def need(
    config: Config, state: TrainState, strategy: tf.distribute.Strategy
) -> tuple[str, list[str]]:
    """The memory that a step takes, and a warning where there is less."""
    replicas = strategy.num_replicas_in_sync
    # Replicas on GPUs have memories of their own, those on logical CPUs share one.
    alone = replicas == 1 or distribution.has_accelerator()
    sharing = 1 if alone else len(strategy.extended.worker_devices)
    variables = {
        id(variable): variable
        for variable in (
            *state.model.variables,
            *state.optimizer.variables,
            *state.evaluated.variables,
        )
    }
    return memory.check(
        memory.Need(
            model=state.model, variables=[*variables.values()], replicas=sharing
        ),
        config,
        memory.free_bytes(),
        replicas // sharing,
    )


def untrained_rates(config: Config) -> list[str]:
    """A message where atrous rates reach past the map of a training crop.

    The outer taps of such a branch see nothing but padding in training. On larger
    pictures they see features, with the weights that they began with.
    """
    if config.model.context != "aspp":
        return []
    # Rates are stated at output stride 16, where the map has this many pixels a side.
    side = (min(config.data.crop_size) - 1) // 16 + 1
    rates = [rate for rate in config.model.atrous_rates if rate >= side]
    if not rates:
        return []
    smaller = ",".join(str(max(1, side * part // 6)) for part in (1, 2, 3))
    return [
        f"model.atrous_rates {', '.join(map(str, rates))} reach past the {side} pixels "
        "of a training crop's map: on pictures larger than the crop their outer taps "
        "are untrained. Take a larger data.crop_size or smaller rates, as "
        f"--model.atrous_rates={smaller}."
    ]
