"""Exported models, opened the same way whatever their format."""

import dataclasses
import json
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from deeplab_tf.errors import UserError
from deeplab_tf.inference.runners import tflite_file
from deeplab_tf.network import backbones
from deeplab_tf.runs import RUN_FILE

Outputs = Mapping[str, np.ndarray]
Size = tuple[int, int]
Box = tuple[slice, slice]
_GREY = 127.5  # fills the border of a picture where no run.json tells the mean


@dataclasses.dataclass(frozen=True, kw_only=True)
class Artefact:
    """An exported model.

    Attributes:
      path: its file or folder.
      format: "SavedModel", "TFLite", "ONNX" or "Keras".
      run: what run.json holds; empty in a file from elsewhere.
      sizes: height, width of the pictures that it takes; empty: any.
      call: pictures uint8 [1, h, w, C] -> "logits" or "probabilities" float32
        [1, h, w, K], "labels" [1, h, w]: those that the artefact gives.
      infer: runs it once as a server would and returns nothing, for timing.
    """

    path: pathlib.Path
    format: str
    run: dict[str, Any]
    sizes: tuple[Size, ...]
    call: Callable[[np.ndarray], Outputs]
    infer: Callable[[np.ndarray], Any]

    @property
    def num_bytes(self) -> int:
        """Of the file, or of all files of the folder."""
        paths = self.path.rglob("*") if self.path.is_dir() else [self.path]
        return sum(path.stat().st_size for path in paths if path.is_file())

    def fit(self, picture: np.ndarray) -> tuple[np.ndarray, Box]:
        """Brings a picture to a size that the artefact takes.

        It is padded at the right and below, after it was shrunk where it is too
        large; see the function `fit`.
        """
        if not self.sizes:
            return picture[None], (slice(None), slice(None))
        size = self.nearest_size(picture.shape[:2])
        return fit(picture, size, border(self.run, picture.shape[-1]))

    def nearest_size(self, size: Size) -> Size:
        """The size at which the artefact takes a picture of this size."""
        return min(self.sizes, key=lambda own: _misfit(size, own), default=size)

    def labels(self, picture: np.ndarray) -> np.ndarray:
        """Class of each pixel of a picture [H, W, C] of any size, int32 [H, W]."""
        fitted, box = self.fit(picture)
        return restore(to_labels(self.call(fitted))[0][box], picture.shape[:2])


def fit(picture: np.ndarray, size: Size, fill: np.ndarray) -> tuple[np.ndarray, Box]:
    """Shrinks a picture [H, W, C] where it is too large and pads it with `fill` [C].

    Returns:
      The picture [1, h, w, C] and the part [h, w] of it that is not padding.
    """
    picture = _shrink(picture, size)
    height, width, channels = picture.shape
    fitted = np.empty((1, *size, channels), picture.dtype)
    fitted[:] = fill
    fitted[0, :height, :width] = picture
    return fitted, (slice(height), slice(width))


def border(run: Mapping[str, Any], channels: int) -> np.ndarray:
    """What pictures are padded with: the mean that the run's backbone subtracts.

    Args:
      run: what run.json holds; empty: unknown, so grey.
      channels: of the picture.
    """
    if not run:
        return np.full(channels, _GREY)
    mean = backbones.get_spec(run["config"]["model"]["backbone"]).mean
    return np.array(mean if channels == 3 else [sum(mean) / 3] * channels)


def restore(labels: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Labels [h, w] of a picture that was shrunk to fit, at its size again."""
    if labels.shape == tuple(size):
        return labels
    picture = Image.fromarray(labels.astype(np.uint8))
    resized = picture.resize((size[1], size[0]), Image.Resampling.NEAREST)
    return np.asarray(resized, np.int32)


def to_labels(outputs: Outputs) -> np.ndarray:
    """The labels among the outputs, or the highest of the scores; int32."""
    if "labels" in outputs:
        return np.asarray(outputs["labels"], np.int32)
    scores = outputs["logits" if "logits" in outputs else "probabilities"]
    return np.argmax(scores, -1).astype(np.int32)


def open_artefact(path: str, num_threads: int | None = None) -> Artefact:
    """Opens an exported model.

    Args:
      path: a SavedModel's folder, a .tflite, .onnx or .keras file.
      num_threads: of a file's runtime; None: as that chooses. (TensorFlow's threads
        belong to the process.)

    Raises:
      UserError: there is no such artefact, or it cannot be loaded.
    """
    location = pathlib.Path(path)
    if not location.exists():
        raise UserError(f"{path}: no such file or folder.")
    try:
        if location.is_dir():
            return _open_saved_model(location)
        if location.suffix == ".tflite":
            return _open_tflite(location, num_threads)
        if location.suffix == ".onnx":
            return _open_onnx(location, num_threads)
        if location.suffix == ".keras":
            return _open_keras(location)
    except UserError:
        raise
    except Exception as error:  # each runtime has exceptions of its own
        first = str(error).strip().split("\n")[0]
        raise UserError(f"{path}: cannot be loaded: {first}") from None
    raise UserError(
        f"{path}: must be a SavedModel's folder, a .tflite, .onnx or .keras file."
    )


def _open_saved_model(path: pathlib.Path) -> Artefact:
    from deeplab_tf.inference.runners.saved_model import SavedModelRunner

    return _of_any_size(path, "SavedModel", SavedModelRunner(path))


def _open_tflite(path: pathlib.Path, num_threads: int | None) -> Artefact:
    from deeplab_tf.inference.runners.tflite import TFLiteRunner

    runner = TFLiteRunner(path, num_threads)
    attached = tflite_file.read_attached(path, RUN_FILE)
    return Artefact(
        path=path,
        format="TFLite",
        run=json.loads(attached) if attached else {},
        sizes=runner.sizes,
        call=runner,
        infer=runner.infer,
    )


def _open_onnx(path: pathlib.Path, num_threads: int | None) -> Artefact:
    from deeplab_tf.inference.runners.onnx import ONNXRunner

    return _of_any_size(path, "ONNX", ONNXRunner(path, num_threads))


def _open_keras(path: pathlib.Path) -> Artefact:
    from deeplab_tf.inference.runners.keras import KerasRunner

    return _of_any_size(path, "Keras", KerasRunner(path))


def _of_any_size(path: pathlib.Path, kind: str, runner: Any) -> Artefact:
    return Artefact(
        path=path,
        format=kind,
        run=runner.run,
        sizes=(),
        call=runner,
        infer=runner.infer,
    )


def _misfit(picture: Size, size: Size) -> tuple[bool, int]:
    """Orders sizes: those that hold the picture first, then by their pixels."""
    is_smaller = size[0] < picture[0] or size[1] < picture[1]
    pixels = size[0] * size[1]
    return is_smaller, -pixels if is_smaller else pixels


def _shrink(picture: np.ndarray, size: Size) -> np.ndarray:
    height, width = picture.shape[:2]
    factor = min(size[0] / height, size[1] / width)
    if factor >= 1:
        return picture
    smaller = max(1, round(height * factor)), max(1, round(width * factor))
    resized = tf.image.resize(picture, smaller, antialias=True).numpy()
    return np.round(resized).astype(picture.dtype)
