"""Exported models, opened the same way whatever their format."""

import dataclasses
import pathlib
from collections.abc import Iterator, Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

from deeplab_tf.errors import UserError
from deeplab_tf.files import Json, Values
from deeplab_tf.inference.images import read
from deeplab_tf.inference.predictor import Images, label_type
from deeplab_tf.inference.runners import Runner, Size
from deeplab_tf.network import backbones
from deeplab_tf.network.layers.resize import resize

Outputs = Mapping[str, np.ndarray]
Box = tuple[slice, slice]
_GREY = 127.5  # fills the border of an image where no run.json tells the mean


@dataclasses.dataclass(frozen=True, kw_only=True)
class Export:
    """An exported model; a `Predictor` of images of any size.

    Attributes:
      path: its file or folder.
      format: "SavedModel", "TFLite", "ONNX" or "Keras".
      runner: its runtime.
    """

    path: pathlib.Path
    format: str
    runner: Runner

    @property
    def model(self) -> keras.Model | None:
        """As in `Predictor`."""
        return self.runner.model

    @property
    def run(self) -> Json:
        """What run.json holds; empty in a file from elsewhere."""
        return self.runner.run

    @property
    def sizes(self) -> tuple[Size, ...]:
        """Height, width of the images that it takes; empty: any."""
        return self.runner.sizes

    @property
    def num_bytes(self) -> int:
        """Of the file, or of all files of the folder."""
        paths = self.path.rglob("*") if self.path.is_dir() else [self.path]
        return sum(path.stat().st_size for path in paths if path.is_file())

    def fit(self, image: np.ndarray) -> tuple[np.ndarray, Box]:
        """Brings an image to a size that the export takes.

        It is padded at the right and below, after it was shrunk where it is too
        large; see the function `fit`.
        """
        if not self.sizes:
            return image[None], (slice(None), slice(None))
        size = self.nearest_size(image.shape[:2])
        return fit(image, size, border(self.run, image.shape[-1]))

    def nearest_size(self, size: Size) -> Size:
        """The size at which the export takes an image of this size."""
        return min(self.sizes, key=lambda own: _misfit(size, own), default=size)

    def labels(self, images: Images) -> np.ndarray:
        """As in `Predictor`."""
        name = "labels" if "labels" in self.runner.names else self._scores
        return np.stack([self._restored(*one) for one in self._each(images, {name})])

    def labels_and_confidence(
        self, images: Images
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """As in `Predictor`; confidence where it takes the size and gives scores."""
        names = {"labels", self._scores} & {*self.runner.names}
        labels, confidences = [], []
        for outputs, size in self._each(images, names):
            labels.append(self._restored(outputs, size))
            if self._scores and labels[-1].shape == to_labels(outputs).shape:
                confidences.append(to_probabilities(outputs).max(-1))
        whole = len(confidences) == len(labels)
        return np.stack(labels), np.stack(confidences) if whole else None

    def probabilities(self, images: Images) -> np.ndarray:
        """As in `Predictor`; those of an image that was shrunk are scaled up.

        Raises:
          UserError: the export gives labels alone.
        """
        if not self._scores:
            raise UserError(f"{self.path}: gives labels, no probabilities.")
        maps = []
        for outputs, size in self._each(images, {self._scores}):
            probabilities = to_probabilities(outputs)
            if probabilities.shape[:2] != size:
                probabilities = resize(probabilities[None], size)[0].numpy()
            maps.append(probabilities)
        return np.stack(maps)

    @property
    def _scores(self) -> str:
        """The output that tells how sure it is; empty: there is none."""
        known = (n for n in ("probabilities", "logits") if n in self.runner.names)
        return next(known, "")

    def _each(self, images: Images, names: set[str]) -> Iterator[tuple[Outputs, Size]]:
        """Yields the outputs [h, w, ...] for each image, and its own size."""
        if getattr(images, "ndim", 4) != 4:
            raise UserError(
                "images must be a batch [B, H, W, C]; received an array of shape "
                f"{list(images.shape)}."
            )
        bits = self.run["dataset"]["bits"] if self.run else 8
        for given in images:
            image = read(given, self.runner.channels, bits)
            fitted, box = self.fit(image)
            outputs = self.runner(fitted, names)
            yield {name: y[0][box] for name, y in outputs.items()}, image.shape[:2]

    def _restored(self, outputs: Outputs, size: Size) -> np.ndarray:
        labels = to_labels(outputs)
        known = [y.shape[-1] for y in outputs.values() if y.ndim > labels.ndim]
        if self.run:
            known.append(len(self.run["dataset"]["class_names"]))
        kind = label_type(known[0] if known else None)
        return restore(labels, size).astype(kind)


def fit(image: np.ndarray, size: Size, fill: np.ndarray) -> tuple[np.ndarray, Box]:
    """Shrinks a image [H, W, C] where it is too large and pads it with `fill` [C].

    Returns:
      The image [1, h, w, C] and the part [h, w] of it that is not padding.
    """
    image = _shrink(image, size)
    height, width, channels = image.shape
    fitted = np.empty((1, *size, channels), image.dtype)
    fitted[:] = fill
    fitted[0, :height, :width] = image
    return fitted, (slice(height), slice(width))


def border(run: Values, channels: int) -> np.ndarray:
    """What images are padded with: the mean that the run's backbone subtracts.

    Args:
      run: what run.json holds; empty: unknown, so grey.
      channels: of the image.
    """
    if not run:
        return np.full(channels, _GREY)
    mean = backbones.get_spec(run["config"]["model"]["backbone"]).mean
    return np.array(mean if channels == 3 else [sum(mean) / 3] * channels)


def restore(labels: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Labels [h, w] of an image that was shrunk to fit, at its size again.

    Each pixel takes the label of the nearest, whatever type the labels have.
    """
    rows, columns = (
        np.minimum((np.arange(side) + 0.5) * own / side, own - 1).astype(int)
        for side, own in zip(size, labels.shape, strict=True)
    )
    return labels[rows[:, None], columns]


def to_labels(outputs: Outputs) -> np.ndarray:
    """The labels among the outputs, or the highest of the scores; int32."""
    if "labels" in outputs:
        return np.asarray(outputs["labels"], np.int32)
    scores = outputs["logits" if "logits" in outputs else "probabilities"]
    return np.argmax(scores, -1).astype(np.int32)


def to_probabilities(outputs: Outputs) -> np.ndarray:
    """The probabilities among the outputs, or the softmax of the logits."""
    if "probabilities" in outputs:
        return np.asarray(outputs["probabilities"])
    logits = np.asarray(outputs["logits"], np.float32)
    exponentials = np.exp(logits - logits.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def open_export(path: str, num_threads: int | None = None) -> Export:
    """Opens an exported model.

    Args:
      path: a SavedModel's folder, a .tflite, .onnx or .keras file.
      num_threads: of a file's runtime; None: as that chooses. (TensorFlow's threads
        belong to the process.)

    Raises:
      UserError: there is no such export, or it cannot be loaded.

    Example:
      >>> labels = open_export("voc.tflite").labels(images)  # uint8 [B, H, W, 3]
    """
    location = pathlib.Path(path)
    if not location.exists():
        raise UserError(f"{path}: no such file or folder.")
    try:
        kind, runner = _load(location, num_threads)
    except UserError:
        raise
    except Exception as error:  # each runtime has exceptions of its own
        first = str(error).strip().split("\n")[0]
        raise UserError(f"{path}: cannot be loaded: {first}") from None
    return Export(path=location, format=kind, runner=runner)


def _load(path: pathlib.Path, num_threads: int | None) -> tuple[str, Runner]:
    """The format's name and its runtime, which is imported only here."""
    if path.is_dir():
        from deeplab_tf.inference.runners.saved_model import SavedModelRunner

        return "SavedModel", SavedModelRunner(path)
    if path.suffix == ".tflite":
        from deeplab_tf.inference.runners.tflite import TFLiteRunner

        return "TFLite", TFLiteRunner(path, num_threads)
    if path.suffix == ".onnx":
        from deeplab_tf.inference.runners.onnx import ONNXRunner

        return "ONNX", ONNXRunner(path, num_threads)
    if path.suffix == ".keras":
        from deeplab_tf.inference.runners.keras import KerasRunner

        return "Keras", KerasRunner(path)
    raise UserError(
        f"{path}: must be a SavedModel's folder, a .tflite, .onnx or .keras file."
    )


def _misfit(image: Size, size: Size) -> tuple[bool, int]:
    """Orders sizes: those that hold the image first, then by their pixels."""
    is_smaller = size[0] < image[0] or size[1] < image[1]
    pixels = size[0] * size[1]
    return is_smaller, -pixels if is_smaller else pixels


def _shrink(image: np.ndarray, size: Size) -> np.ndarray:
    height, width = image.shape[:2]
    factor = min(size[0] / height, size[1] / width)
    if factor >= 1:
        return image
    smaller = max(1, round(height * factor)), max(1, round(width * factor))
    resized = tf.image.resize(image, smaller, antialias=True).numpy()
    return np.round(resized).astype(image.dtype)
