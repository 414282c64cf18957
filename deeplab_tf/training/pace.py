"""How fast a run will go here, and the settings that follow from it."""

import pathlib
import sys
import time
from collections.abc import Collection

import keras
import numpy as np
import tensorflow as tf

from deeplab_tf import runs
from deeplab_tf.config import AUTO, Config
from deeplab_tf.data import dataset_info, reading
from deeplab_tf.data.dataset_info import DatasetInfo
from deeplab_tf.data.pipeline import make_train_dataset
from deeplab_tf.inference.predictor import make_predictor
from deeplab_tf.network import backbones
from deeplab_tf.released import importer, recognition
from deeplab_tf.training import choices, distribution, precision, weight_sources
from deeplab_tf.training.choices import Choice, Pace, pace_of
from deeplab_tf.training.step import make_steps
from deeplab_tf.training.train_state import TrainState

_STEPS = 6
_IMAGES = 3
_OF_A_BACKBONE = ("backbone", "depth_multiplier")


def complete(
    config: Config, given: Collection[str], run_dir: str, *, restart: bool = False
) -> Config:
    """Chooses what was not given, to fit the data and the machine, and prints it.

    Args:
      config: the settings given, the others at their defaults.
      given: the dotted names of those that must stay.
      run_dir: where there is a run already, its settings are taken instead.
      restart: that run will be deleted.

    Returns:
      The settings to train with.

    Raises:
      UserError: the data set is not usable, or the run cannot be read.
    """
    if not restart and (pathlib.Path(run_dir) / runs.RUN_FILE).exists():
        leaves = config.leaves()
        return runs.open_run(run_dir).config.replace({n: leaves[n] for n in given})
    info = dataset_info.load(config.data.dataset_dir)
    accelerated = distribution.has_accelerator()
    if "train.init_checkpoint" not in given:
        config = config.replace({"train.init_checkpoint": AUTO})
    if "train.precision" not in given:
        config = config.replace({"train.precision": AUTO})
    config = weight_sources.resolve(config, info)
    config = precision.resolve(config)
    chosen = choices.choose_splits(config, given, info)
    chosen += _network_of_weights(config, given)
    config = choices.apply(config, chosen)
    chosen += choices.choose(config, given, info, accelerated=accelerated)
    config = choices.apply(config, chosen)
    pace = None if distribution.is_multi_worker(config.train) else measure(config, info)
    length = choices.choose_length(config, given, info, pace)
    config = choices.apply(config, length)
    # The length may have the last word on a setting.
    for choice in {choice.name: choice for choice in [*chosen, *length]}.values():
        print(f"  {choice}", file=sys.stderr)
    if pace is not None:
        print(choices.forecast(config, pace), file=sys.stderr)
    return config


def _network_of_weights(config: Config, given: Collection[str]) -> list[Choice]:
    """The backbone that the weights to start from are of."""
    source = config.train.init_checkpoint
    if not source or source.endswith((".keras", ".h5")):
        return []
    if (pathlib.Path(source) / runs.RUN_FILE).is_file():
        model = runs.open_run(source).config.model
        fields = {name: getattr(model, name) for name in _OF_A_BACKBONE}
    else:
        released = importer.fetch(source)
        fields = recognition.recognize_backbone(released.tensors, released.source)
    leaves = config.leaves()
    return [
        Choice(name=f"model.{name}", value=value, reason=f"that of {source}")
        for name, value in fields.items()
        if f"model.{name}" not in given and value != leaves[f"model.{name}"]
    ]


def measure(config: Config, info: DatasetInfo) -> Pace:
    """Takes a few steps of the run and forgets them.

    Args:
      config: of the run; its weights are random here, which costs the same.
      info: of its data set.
    """
    begin = time.perf_counter()
    strategy = distribution.make_strategy(config.train)
    with strategy.scope():
        state = TrainState(config, info)

    def make(context: tf.distribute.InputContext) -> tf.data.Dataset:
        return make_train_dataset(
            config,
            info,
            fill=backbones.get_spec(config.model.backbone).mean,
            workers=context.num_input_pipelines,
            worker=context.input_pipeline_id,
            replicas=strategy.num_replicas_in_sync,
        )

    batches = iter(strategy.distribute_datasets_from_function(make))
    steps = make_steps(strategy, state, config, info)
    ends = [begin]
    try:
        for _ in range(1 + _STEPS):
            float(steps(batches, tf.constant(1))["loss"])
            ends.append(time.perf_counter())
    except reading.DAMAGED as error:
        data = config.data
        raise reading.explain(
            error, data.dataset_dir, info, data.train_split
        ) from error
    first, *others = np.diff(ends)
    return pace_of(
        [float(seconds) for seconds in others],
        start_seconds=float(first),
        evaluation_seconds=_evaluation_seconds(state.evaluated, config, info),
    )


def _evaluation_seconds(model: keras.Model, config: Config, info: DatasetInfo) -> float:
    """Of one pass over the split to evaluate on; 0 where there is none."""
    split = info.splits.get(config.data.eval_split)
    if split is None or not split.num_examples or not config.train.eval_steps:
        return 0.0
    predict = make_predictor(model)
    data = config.data
    times = []
    for example in reading.read_split(
        data.dataset_dir, info, data.eval_split, count=_IMAGES
    ):
        begin = time.perf_counter()
        predict.labels(example["image"][None])
        times.append(time.perf_counter() - begin)
    return min(times) * split.num_examples
