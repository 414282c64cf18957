"""Exported models, opened the same way whatever their format."""

import dataclasses
import json
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from deeplab_tf import backbones, files, serving, tflite
from deeplab_tf.errors import UserError
from deeplab_tf.run import RUN_FILE

Outputs = Mapping[str, np.ndarray]
Size = tuple[int, int]
Box = tuple[slice, slice]
_GREY = 127.5  # fills the border of a picture where no run.json tells the mean


@dataclasses.dataclass(frozen=True, kw_only=True)
class Artefact:
    """An exported model.

    Attributes:
      path: its file or folder.
      format: "SavedModel", "TFLite" or "ONNX".
      run: what run.json holds; empty in a file from elsewhere.
      sizes: height, width of the pictures that it takes; empty: any.
      call: pictures uint8 [1, h, w, C] -> "logits" or "probabilities" float32
        [1, h, w, K], "labels" [1, h, w]: those that the artefact gives.
    """

    path: pathlib.Path
    format: str
    run: dict[str, Any]
    sizes: tuple[Size, ...]
    call: Callable[[np.ndarray], Outputs]

    @property
    def num_bytes(self) -> int:
        """Of the file, or of all files of the folder."""
        paths = self.path.rglob("*") if self.path.is_dir() else [self.path]
        return sum(path.stat().st_size for path in paths if path.is_file())

    def fit(self, picture: np.ndarray) -> tuple[np.ndarray, Box]:
        """Brings a picture to a size that the artefact takes.

        It is padded at the right and below with the mean that the backbone
        subtracts, after it was shrunk where it is too large.

        Returns:
          The picture [1, h, w, C] and the part [h, w] of it that is not padding.
        """
        if not self.sizes:
            return picture[None], (slice(None), slice(None))
        size = min(self.sizes, key=lambda size: _misfit(picture.shape[:2], size))
        picture = _shrink(picture, size)
        height, width, channels = picture.shape
        fitted = np.empty((1, *size, channels), picture.dtype)
        fitted[:] = self._mean(channels)
        fitted[0, :height, :width] = picture
        return fitted, (slice(height), slice(width))

    def labels(self, picture: np.ndarray) -> np.ndarray:
        """Class of each pixel of a picture [H, W, C] of any size, int32 [H, W]."""
        fitted, (rows, columns) = self.fit(picture)
        labels = to_labels(self.call(fitted))[0, rows, columns]
        height, width = picture.shape[:2]
        if labels.shape == (height, width):
            return labels
        resized = Image.fromarray(labels.astype(np.uint8)).resize((width, height), 0)
        return np.asarray(resized, np.int32)

    def _mean(self, channels: int) -> np.ndarray:
        if not self.run:
            return np.full(channels, _GREY)
        mean = backbones.get_spec(self.run["config"]["model"]["backbone"]).mean
        return np.array(mean if channels == 3 else [sum(mean) / 3] * channels)


def to_labels(outputs: Outputs) -> np.ndarray:
    """The labels among the outputs, or the highest of the scores; int32."""
    if "labels" in outputs:
        return np.asarray(outputs["labels"], np.int32)
    scores = outputs["logits" if "logits" in outputs else "probabilities"]
    return np.argmax(scores, -1).astype(np.int32)


def open_artefact(path: str, num_threads: int | None = None) -> Artefact:
    """Opens an exported model.

    Args:
      path: a SavedModel's folder or a .tflite file.
      num_threads: of a .tflite file; None: as its runtime chooses.

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
    except (RuntimeError, ValueError, OSError, tf.errors.OpError) as error:
        first = str(error).strip().splitlines()[0]
        raise UserError(f"{path}: cannot be loaded: {first}") from None
    raise UserError(f"{path}: must be a SavedModel's folder or a .tflite file.")


def _open_saved_model(path: pathlib.Path) -> Artefact:
    loaded = tf.saved_model.load(str(path))
    serve = loaded.signatures["serving_default"]
    logits = loaded.signatures["logits"]

    def call(pictures: np.ndarray) -> Outputs:
        outputs = serve(pictures=tf.constant(pictures))
        outputs |= logits(pictures=tf.constant(pictures))
        return {name: value.numpy() for name, value in outputs.items()}

    run = files.read_json(path / serving.RUN_JSON, "export the run anew.")
    return Artefact(path=path, format="SavedModel", run=run, sizes=(), call=call)


def _open_tflite(path: pathlib.Path, num_threads: int | None) -> Artefact:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=num_threads)
    runners: dict[Size, tuple[Any, Any]] = {}
    for name in interpreter.get_signature_list():
        runner = interpreter.get_signature_runner(name)
        (details,) = runner.get_input_details().values()
        height, width = map(int, details["shape"][1:3])
        runners[height, width] = (runner, details["dtype"])

    def call(pictures: np.ndarray) -> Outputs:
        runner, dtype = runners[pictures.shape[1:3]]
        return runner(pictures=pictures.astype(dtype))

    attached = tflite.read_attached(path, RUN_FILE)
    return Artefact(
        path=path,
        format="TFLite",
        run=json.loads(attached) if attached else {},
        sizes=tuple(runners),
        call=call,
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
