"""Starts a run from other weights: what fits is loaded, and what was not is told."""

import dataclasses
import sys
from collections.abc import Iterable, Mapping

import keras
import numpy as np

from deeplab_tf import files
from deeplab_tf.config import Config
from deeplab_tf.data import reading
from deeplab_tf.data.dataset_info import DatasetInfo
from deeplab_tf.errors import UserError
from deeplab_tf.network import backbones
from deeplab_tf.network.deeplab import build_model
from deeplab_tf.network.quantized import quantize
from deeplab_tf.runs import Run
from deeplab_tf.training import weight_fitting
from deeplab_tf.training.weight_sources import Source, read_source

FILE_NAME = "initialization.json"
_LISTED = 5  # names of variables in a message
_CALIBRATION_PICTURES = 128  # training crops whose maps give the ranges of int8


@dataclasses.dataclass(frozen=True, kw_only=True)
class Listing:
    """What was loaded.

    Attributes:
      source: where the weights came from.
      loaded: paths of the model's variables that were set.
      adapted: those among them whose value was made to fit -> how.
      skipped: path -> why the model's initial value was kept.
      unused: the source's variables that the model lacks.
    """

    source: str
    loaded: tuple[str, ...]
    adapted: Mapping[str, str]
    skipped: Mapping[str, str]
    unused: tuple[str, ...]

    def __str__(self) -> str:
        """One line, and one for each reason for which variables were not set."""
        total = len(self.loaded) + len(self.skipped)
        lines = [f"{len(self.loaded)} of {total} variables from {self.source}"]
        lines += [f"  {path}: {how}" for path, how in self.adapted.items()]
        for reason in dict.fromkeys(self.skipped.values()):
            paths = [path for path, why in self.skipped.items() if why == reason]
            lines.append(f"  not loaded, as {reason}: {_some(paths)}")
        if self.unused:
            lines.append(f"  not used: {_some(self.unused)}")
        return "\n".join(lines)


def start_from(model: keras.Model, run: Run) -> None:
    """Initialises a new run's model from its `train.init_checkpoint`, and tells.

    What was loaded is printed and kept in the run folder (initialization.json).
    """
    if run.config.train.quantize == "none":
        source = run.config.train.init_checkpoint
        listing = initialize(model, source, run.config, run.info)
    else:
        listing = _start_quantized(model, run)
    files.write_json(run.path / FILE_NAME, dataclasses.asdict(listing))
    print(f"Initial weights: {listing}", file=sys.stderr)


def _start_quantized(model: keras.Model, run: Run) -> Listing:
    """Loads float weights, rounds them, and takes ranges from training crops."""
    config, info = run.config, run.info
    network = build_model(config.model, info.num_classes, channels=info.channels)
    listing = initialize(network, config.train.init_checkpoint, config, info)
    quantized = quantize.quantize(network)
    count = -(-_CALIBRATION_PICTURES // config.train.batch_size)
    fill = backbones.get_spec(config.model.backbone).mean
    batches = reading.read_crops(config, info, count, fill=fill)
    quantize.calibrate(quantized, (batch["image"] for batch in batches))
    model.set_weights(quantized.get_weights())
    return listing


def initialize(
    model: keras.Model, source: str, config: Config, info: DatasetInfo
) -> Listing:
    """Sets the model's weights from another model's, as far as they fit.

    The backbone must fit whole, but for the number of input channels, to which its
    first kernel is adapted. Of the rest each variable of the same path and shape is
    taken. Atrous branches that the source lacks begin without weight: the first output
    of the ASPP is the source's. A decoder that the source lacks begins by passing on
    the map that it is given, so that with batch norm frozen the whole network's first
    output is the source's. The classifier is taken where the classes are the same, or
    most of them by their names.

    Args:
      model: of `config.model`; changed in place.
      source: a run folder, a TF1 checkpoint, .tar.gz or frozen graph, zoo:NAME, a
        .keras or a .weights.h5 file.
      config: the run's.
      info: the run's data set.

    Raises:
      UserError: there is no such source, or it has another backbone.
    """
    other = read_source(source, model, config)
    values, adapted = weight_fitting.fit(model, other, info.class_names)
    skipped = {
        variable.path: reason
        for variable in model.weights
        if (reason := _misfit(variable, values, other.class_names, info.class_names))
    }
    _require_backbone(config, other, skipped)
    loaded = [variable for variable in model.weights if variable.path not in skipped]
    for variable in loaded:
        variable.assign(values[variable.path])
    paths = {variable.path for variable in model.weights}
    return Listing(
        source=other.name,
        loaded=tuple(variable.path for variable in loaded),
        adapted=adapted,
        skipped=skipped,
        unused=tuple(path for path in values if path not in paths),
    )


def _misfit(
    variable: keras.Variable,
    values: Mapping[str, np.ndarray],
    their_classes: tuple[str, ...],
    our_classes: tuple[str, ...],
) -> str:
    """Why a variable cannot be set; empty where it can."""
    if variable.path not in values:
        return "the source lacks them"
    theirs, ours = list(values[variable.path].shape), list(variable.shape)
    if variable.path.startswith(weight_fitting.CLASSIFIER):
        if theirs[-1] != ours[-1]:
            return f"the source has {theirs[-1]} classes instead of {ours[-1]}"
        known = weight_fitting.by_name(their_classes, our_classes)
        if their_classes and their_classes != our_classes and not known:
            return "the source has other classes"
    if theirs != ours:
        return "their shapes differ"
    return ""


def _require_backbone(
    config: Config, source: Source, skipped: Mapping[str, str]
) -> None:
    prefix = f"{config.model.backbone}."
    missing = [path for path in skipped if path.startswith(prefix)]
    if missing:
        raise UserError(
            f"{source.name}: its backbone is not {config.model.backbone} with "
            f"model.depth_multiplier {config.model.depth_multiplier}, the run's: "
            f"{skipped[missing[0]]}: {_some(missing)}. It holds "
            f"{_some(sorted({path.split('.')[0] for path in source.values}))}."
        )


def _some(names: Iterable[str]) -> str:
    names = list(names)
    more = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {more} more" if more > 0 else "")
