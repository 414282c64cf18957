"""Starts a run from other weights: what fits is loaded, and what was not is told."""

import dataclasses
import io
import pathlib
import sys
import zipfile
from collections.abc import Iterable, Mapping

import h5py
import keras
import numpy as np

from deeplab_tf import files, runs
from deeplab_tf.config import Config
from deeplab_tf.data.dataset_info import DatasetInfo
from deeplab_tf.data.pipeline import make_train_dataset
from deeplab_tf.errors import UserError
from deeplab_tf.network import backbones
from deeplab_tf.network.deeplab import build_model, fit_input_channels
from deeplab_tf.network.quantized import quantize
from deeplab_tf.released import importer, variable_names
from deeplab_tf.runs import Run

FILE_NAME = "initialization.json"
_LISTED = 5  # names of variables in a message
_CLASSIFIER = "logits/"
_CALIBRATION_PICTURES = 128  # training crops whose maps give the ranges of int8
_WEIGHTS_IN_KERAS = "model.weights.h5"  # inside a .keras archive


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """Weights to start from.

    Attributes:
      name: where they come from, for messages.
      values: path of a variable, as `logits/kernel` -> value; what has no path in the
        model goes by its own name.
      class_names: what the classifier's outputs mean; empty where unknown.
    """

    name: str
    values: Mapping[str, np.ndarray]
    class_names: tuple[str, ...] = ()


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
    batches = make_train_dataset(
        config, info, fill=backbones.get_spec(config.model.backbone).mean
    ).take(count)
    quantize.calibrate(quantized, (batch["image"] for batch in batches))
    model.set_weights(quantized.get_weights())
    return listing


def initialize(
    model: keras.Model, source: str, config: Config, info: DatasetInfo
) -> Listing:
    """Sets the model's weights from another model's, as far as they fit.

    The backbone must fit whole, but for the number of input channels, to which its
    first kernel is adapted. Of the rest each variable of the same path and shape is
    taken. The classifier is taken where the classes are the same.

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
    values, adapted = _fit_first_kernel(model, other.values)
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


def read_source(source: str, model: keras.Model, config: Config) -> Source:
    """Reads weights of any kind that `initialize` takes, by the paths of `model`.

    Raises:
      UserError: there is nothing, or it cannot be read.
    """
    if (pathlib.Path(source) / runs.RUN_FILE).is_file():
        run = runs.open_run(source)
        if run.config.train.quantize != "none":
            raise UserError(
                f"train.init_checkpoint must be a float run; received {source}, which "
                f"is quantised. It began with {run.config.train.init_checkpoint}."
            )
        values = {v.path: np.asarray(v) for v in runs.load_model(run).weights}
        return Source(name=source, values=values, class_names=run.info.class_names)
    if source.endswith((".keras", ".h5")):
        return Source(name=source, values=_read_keras(source, model))
    released = importer.fetch(source)
    names = variable_names.released_variables(model, config.model)
    values = {
        names[name].path if name in names else name: value
        for name, value in released.tensors.items()
    }
    return Source(name=released.source, values=values)


def _read_keras(path: str, model: keras.Model) -> dict[str, np.ndarray]:
    """The arrays of a .keras or .weights.h5 file, by layer and place in the layer."""
    paths = {
        (layer.name, str(index)): variable.path
        for layer in model.layers
        for index, variable in enumerate(layer.weights)
    }
    values = {}

    def collect(_: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset):
            layer = str(item.parent.attrs.get("name", item.parent.name))
            index = item.name.rpartition("/")[2]
            values[paths.get((layer, index), f"{layer}/{index}")] = item[()]

    try:
        with h5py.File(_weights_file(path), "r") as file:
            # The optimiser's state, in a .keras file, is not the model's.
            file["layers"].visititems(collect)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file.") from None
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{path}: is damaged or no Keras 3 file of weights ({error})."
        ) from None
    return values


def _weights_file(path: str) -> str | io.BytesIO:
    if not path.endswith(".keras"):
        return path
    with zipfile.ZipFile(path) as archive:
        return io.BytesIO(archive.read(_WEIGHTS_IN_KERAS))


def _fit_first_kernel(
    model: keras.Model, values: Mapping[str, np.ndarray]
) -> tuple[Mapping[str, np.ndarray], dict[str, str]]:
    """The values with the first kernel fitted to the model's input channels.

    Also tells of the change: path -> how.
    """
    first = next(variable for variable in model.weights)
    value, (height, width, channels, filters) = values.get(first.path), first.shape
    if value is None or value.shape[2:] == (channels, filters) or value.ndim != 4:
        return values, {}
    if (value.shape[:2], value.shape[3]) != ((height, width), filters):
        return values, {}
    told = f"{value.shape[2]} input channels made to fit {channels}"
    fitted = fit_input_channels(value, channels)
    return {**values, first.path: fitted}, {first.path: told}


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
    if variable.path.startswith(_CLASSIFIER):
        if theirs[-1] != ours[-1]:
            return f"the source has {theirs[-1]} classes instead of {ours[-1]}"
        if their_classes and their_classes != our_classes:
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
