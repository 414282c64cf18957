"""Weights to start from, whatever holds them: runs, released models, Keras files."""

import dataclasses
import io
import pathlib
import sys
import zipfile
from collections.abc import Mapping

import h5py
import keras
import numpy as np

from deeplab_tf import files, runs
from deeplab_tf.config import AUTO, Config
from deeplab_tf.data.dataset_info import DatasetInfo
from deeplab_tf.errors import UserError
from deeplab_tf.released import importer, variable_names, zoo

_WITHOUT = (
    "Training starts from random ones, which costs accuracy or time: on CamVid mIoU "
    "0.29 instead of 0.43 after 300 steps."
)
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


def resolve(config: Config, info: DatasetInfo) -> Config:
    """The config with what `train.init_checkpoint=auto` stands for on this machine.

    That is the best released weights for the backbone among those in the zoo's cache,
    or none; nothing is fetched.
    """
    if config.train.init_checkpoint != AUTO:
        return config
    source, told = _best_cached(config, info)
    print(f"train.init_checkpoint={AUTO} {told}", file=sys.stderr)
    return config.replace({"train.init_checkpoint": source})


def _best_cached(config: Config, info: DatasetInfo) -> tuple[str, str]:
    """The source, empty where there is none, and what to tell."""
    model = config.model
    names: tuple[str, ...] = ()
    if model.normalization == "batch":  # the released models have no other
        names = zoo.best(model.backbone, model.depth_multiplier, info.name)
    here = [name for name in names if zoo.cached(zoo.get(name)).exists()]
    offer = names[0] if names else ""
    offered = f"--train.init_checkpoint={zoo.PREFIX}{offer} fetches" if names else ""
    if here:
        told = f"takes {zoo.PREFIX}{here[0]} ({zoo.get(here[0]).about})."
        better = f" {offered} a better start." if here[0] != offer else ""
        return zoo.PREFIX + here[0], told + better
    if not names:
        return "", (
            f"finds no weights, for none were released for {model.backbone} of this "
            f"width and normalisation. {_WITHOUT}"
        )
    size = zoo.get(offer).megabytes
    return "", f"finds no weights in the cache. {_WITHOUT} {offered} {size} MB."


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
            _require_own(item, path)
            layer = str(item.parent.attrs.get("name", item.parent.name))
            index = item.name.rpartition("/")[2]
            values[paths.get((layer, index), f"{layer}/{index}")] = item[()]

    try:
        with h5py.File(_weights_file(path), "r") as file:
            if isinstance(file.get("layers", getlink=True), h5py.ExternalLink):
                raise UserError(f"{path}: is refused: its layers are in another file.")
            # The optimiser's state, in a .keras file, is not the model's.
            file["layers"].visititems(collect)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file.") from None
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{path}: is damaged or no Keras 3 file of weights ({error})."
        ) from None
    return values


def _require_own(item: h5py.Dataset, path: str) -> None:
    """HDF5 may name other files of this machine, and declare any size."""
    if item.external or item.is_virtual:
        raise UserError(f"{path}: is refused: {item.name} is in another file.")
    files.require_size(item.nbytes, path)


def _weights_file(path: str) -> str | io.BytesIO:
    if not path.endswith(".keras"):
        return path
    with files.open_zip(path) as archive:
        return io.BytesIO(archive.read(_WEIGHTS_IN_KERAS))
