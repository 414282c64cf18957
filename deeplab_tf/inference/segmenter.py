"""A trained model in three lines of Python.

from deeplab_tf import load
model = load("runs/voc")
labels = model("picture.jpg")
"""

import pathlib
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from PIL import Image

from deeplab_tf import runs
from deeplab_tf.config.options import PredictOptions
from deeplab_tf.data.dataset_info import DatasetInfo
from deeplab_tf.errors import UserError
from deeplab_tf.inference import coloring, exported, images, tiling
from deeplab_tf.inference.images import ImageLike
from deeplab_tf.inference.predictor import Predictor


class Segmenter:
    """Labels images, given as file, bytes, Pillow image or array.

    Attributes:
      info: names and colours of the classes.
    """

    def __init__(self, predict: Predictor, info: DatasetInfo) -> None:
        self._predict = predict
        self.info = info

    @property
    def model(self) -> keras.Model | None:
        """The Keras model, float32 images in 0..255 -> logits; None in an export.

        A .keras file has one, too.
        """
        return self._predict.model

    def __call__(self, images: Any) -> Any:
        """Labels one image or several.

        Args:
          images: an image as `predict` takes it; a list of such, of any sizes; or a
            batch as one array [B, H, W, C].

        Returns:
          Labels [H, W]; a list of such; or [B, H, W].
        """
        if isinstance(images, np.ndarray) and images.ndim == 4 and len(images):
            return np.stack([self.predict(image) for image in images])
        if isinstance(images, list | tuple) and all(map(_is_image, images)):
            return [self.predict(image) for image in images]
        return self.predict(images)

    def predict(self, image: ImageLike) -> np.ndarray:
        """Class of each pixel, [H, W].

        Args:
          image: a path, the bytes of a file, a Pillow image, or an array [H, W, C] in
            0..255; see `images.read`.

        Raises:
          UserError: it is no such image.
        """
        return self._predict.labels(self._array(image)[None])[0]

    def predict_with_confidence(
        self, image: ImageLike
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """The classes and, where the model tells, the winner's probability [H, W]."""
        labels, confidence = self._predict.labels_and_confidence(
            self._array(image)[None]
        )
        return labels[0], None if confidence is None else confidence[0]

    def draw(self, image: ImageLike) -> Image.Image:
        """The image with the classes' colours over it."""
        array = self._array(image)
        colors = coloring.colorize(self.predict(array), self.info.colormap)
        shown = coloring.as_rgb(np.clip(np.round(array), 0, 255).astype(np.uint8))
        return Image.fromarray(coloring.overlay(shown, colors))

    def _array(self, image: ImageLike) -> np.ndarray:
        return images.read(image, self.info.channels, self.info.bits)


def _is_image(value: object) -> bool:
    """Whether it is an image by itself, and not the rows of one."""
    kinds = str | bytes | pathlib.Path | Image.Image
    return isinstance(value, kinds) or (
        isinstance(value, np.ndarray) and value.ndim > 1
    )


def load(
    path: str | pathlib.Path,
    *,
    output_stride: int | None = None,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
    tile_size: int | None = None,
) -> Segmenter:
    """Loads a run folder, a SavedModel of `export/` or a .tflite file.

    Args:
      path: the folder or file.
      output_stride: of a run: another than trained at.
      scales: of a run: factors whose predictions are averaged.
      flip: of a run: averages with the mirrored image, too.
      tile_size: of a run: side of the tiles for images larger than memory.

    Raises:
      UserError: there is nothing of the kind at the path, or options were given that
        an export has fixed.
    """
    options = PredictOptions(
        output_stride=output_stride,
        scales=tuple(scales),
        flip=flip,
        tile_size=tile_size,
    )
    if (pathlib.Path(path) / runs.RUN_FILE).is_file():
        run = runs.open_run(str(path))
        return Segmenter(tiling.open_predictor(run, options), run.info)
    if options != PredictOptions():
        raise UserError(f"{path}: is no run folder, so it takes no options.")
    opened = exported.open_export(str(path))
    if not opened.run:
        raise UserError(f"{path}: does not tell its classes; it is not from export/.")
    info = DatasetInfo.from_dict(opened.run["dataset"], str(path))
    return Segmenter(opened, info)
