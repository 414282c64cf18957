"""Images larger than memory, labelled in overlapping tiles."""

import dataclasses
import itertools
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf

from deeplab_tf import runs
from deeplab_tf.config.options import MIN_TILE, PredictOptions
from deeplab_tf.errors import UserError
from deeplab_tf.inference.predictor import (
    Images,
    ModelPredictor,
    Predictor,
    label_type,
    make_predictor,
)
from deeplab_tf.runs import Run

# Tiles start at multiples of the largest output stride and have 32 k + 1 pixels a
# side, so that their features lie where those of the whole image would.
_STEP = 32
_WINDOW_POWER = 4
DEFAULT_OVERLAP = 0.5
MAX_OVERLAP = 0.9


@dataclasses.dataclass(frozen=True, kw_only=True)
class TiledPredictor:
    """Labels images tile by tile; a `Predictor`.

    A first pass over the tiles takes the image's mean features, so that each tile
    is labelled in the context of the whole. The tiles' probabilities are then averaged
    with weights that fall to 0 well before a tile's border, where padding shows. One
    row of tiles is held at a time: memory grows with a image's width, not with its
    height.

    Attributes:
      predict: gives probabilities.
      tile_size: sides of the tiles in pixels.
      overlap: share of a tile that its neighbour covers too, in [0, 0.9].
    """

    predict: ModelPredictor
    tile_size: int
    overlap: float = DEFAULT_OVERLAP

    @property
    def model(self) -> keras.Model:
        """As in `Predictor`."""
        return self.predict.model

    def labels(self, images: Images) -> np.ndarray:
        """As in `Predictor`."""
        return self.labels_and_confidence(images)[0]

    def labels_and_confidence(self, images: Images) -> tuple[np.ndarray, np.ndarray]:
        """The labels and the winners' blended probabilities, float32 [B, H, W]."""
        results = [self._one(image) for image in np.asarray(images)]
        labels, confidence = zip(*results, strict=True)
        return np.stack(labels), np.stack(confidence)

    def probabilities(self, images: Images) -> np.ndarray:
        """As in `Predictor`; all of them are held at once."""
        return np.stack(
            [
                np.concatenate([band for _, band in self._bands(x, self._means(x))])
                for x in np.asarray(images)
            ]
        )

    def _one(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        height, width = image.shape[:2]
        parts = []
        confidence = np.empty((height, width), np.float32)
        for top, band in self._bands(image, self._means(image)):
            rows = slice(top, top + len(band))
            parts.append(band.argmax(-1).astype(label_type(band.shape[-1])))
            confidence[rows] = band.max(-1)
            del band  # or two would be held while the next is made
        return np.concatenate(parts), confidence

    def _means(self, image: np.ndarray) -> list[tf.Tensor]:
        """Mean features of the whole image, [1, 1, 1, D] for each scale and flip."""
        rows, columns = (
            places(side, self.tile_size, self.overlap) for side in image.shape[:2]
        )
        if len(rows) == len(columns) == 1:
            return []
        sums: list[tf.Tensor] = []
        for (top, down), (left, across) in itertools.product(rows, columns):
            tile = image[None, top : top + len(down), left : left + len(across)]
            maps = self.predict.features(tf.constant(tile))
            parts = [
                _weighted_sum(x[0], down, across, spacing)
                for x, spacing in zip(maps, self.predict.spacings, strict=True)
            ]
            sums = [a + b for a, b in zip(sums, parts, strict=True)] if sums else parts
        return [(x[:-1] / x[-1])[None, None, None] for x in sums]

    def _bands(
        self, image: np.ndarray, means: list[tf.Tensor]
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Yields finished rows of the blended probabilities with the first's place."""
        rows = places(image.shape[0], self.tile_size, self.overlap)
        ends = [*(top for top, _ in rows[1:]), image.shape[0]]
        held = np.zeros((0, 1, 1), np.float32)
        for (top, weight), end in zip(rows, ends, strict=True):
            band = self._row(image[top : top + len(weight)], means)
            band *= weight[:, None, None]
            band[: len(held)] += held
            yield top, band[: end - top]
            held = band[end - top :].copy()
            del band

    def _row(self, image: np.ndarray, means: list[tf.Tensor]) -> np.ndarray:
        """Blended probabilities of one row of tiles, float32 [h, W, K]."""
        height, width = image.shape[:2]
        row = np.zeros((0,), np.float32)
        for left, weight in places(width, self.tile_size, self.overlap):
            box = slice(left, left + len(weight))
            tile = tf.constant(image[None, :, box])
            probabilities = self.predict.probabilities(tile, means)[0].numpy()
            if not row.size:
                row = np.zeros((height, width, probabilities.shape[-1]), np.float32)
            row[:, box] += weight[:, None] * probabilities
        return row


def _weighted_sum(
    x: tf.Tensor, down: np.ndarray, across: np.ndarray, spacing: float
) -> tf.Tensor:
    """Sum of a tile's map [h, w, D] by its pixels' weights, and that of the weights."""
    h, w = (
        weights[np.minimum(np.arange(cells) * spacing, len(weights) - 1).astype(int)]
        for weights, cells in zip((down, across), x.shape[:2], strict=True)
    )
    total = tf.einsum("h,w,hwd->d", h, w, tf.cast(x, tf.float32))
    return tf.concat([total, [h.sum() * w.sum()]], 0)


def open_predictor(
    run: Run, options: PredictOptions, strategy: tf.distribute.Strategy | None = None
) -> Predictor:
    """The run's model as the options want it.

    Args:
      run: the run.
      options: weights, stride, scales, flip and tiles.
      strategy: shares out the images of a batch among its replicas; None: one device.

    Raises:
      UserError: the run holds no weights yet.
    """
    with (strategy or tf.distribute.get_strategy()).scope():
        model = runs.load_model(
            run, output_stride=options.output_stride, checkpoint=options.checkpoint
        )
    predict = make_predictor(
        model,
        scales=options.scales,
        flip=options.flip,
        frozen=True,
        strategy=strategy,
    )
    return make_tiled(predict, options.tile_size) if options.tile_size else predict


def make_tiled(
    predict: ModelPredictor, tile_size: int, overlap: float = DEFAULT_OVERLAP
) -> TiledPredictor:
    """Checks the tile's size and overlap and rounds the size to 32 k + 1.

    Raises:
      UserError: a tile is too small for the overlap to leave a step.
    """
    if tile_size < MIN_TILE:
        raise UserError(
            f"--tile_size must be at least {MIN_TILE}; received {tile_size}."
        )
    if not 0 <= overlap <= MAX_OVERLAP:
        raise UserError(f"--overlap must be in [0, {MAX_OVERLAP}]; received {overlap}.")
    rounded = (tile_size - 1) // _STEP * _STEP + 1
    return TiledPredictor(predict=predict, tile_size=rounded, overlap=overlap)


def places(length: int, tile: int, overlap: float) -> list[tuple[int, np.ndarray]]:
    """Starts of the tiles along a side, and the weights of each one's pixels.

    The last tile ends with the image and may be up to 31 pixels longer. Weights are
    a power of the Hann window, divided by the sum of all tiles' windows at that place.
    """
    step = max(1, int(tile * (1 - overlap)) // _STEP) * _STEP
    last = max(0, length - tile) // _STEP * _STEP
    starts = [*range(0, last, step), last]
    windows = [_window(tile)] * (len(starts) - 1) + [_window(length - last)]
    total = np.zeros(length)
    for start, window in zip(starts, windows, strict=True):
        total[start : start + len(window)] += window
    return [
        (start, (window / total[start : start + len(window)]).astype(np.float32))
        for start, window in zip(starts, windows, strict=True)
    ]


def _window(length: int) -> np.ndarray:
    return np.sin(np.pi * (np.arange(length) + 0.5) / length) ** (2 * _WINDOW_POWER)
