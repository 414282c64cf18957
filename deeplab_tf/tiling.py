"""Pictures larger than memory, labelled in overlapping tiles."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from deeplab_tf.errors import UserError
from deeplab_tf.inference import Predictor

_STEP = 16  # tiles have 16 k + 1 pixels a side: their features lie 16 pixels apart
DEFAULT_OVERLAP = 0.5
MAX_OVERLAP = 0.9
MIN_TILE = 65


@dataclasses.dataclass(frozen=True, kw_only=True)
class TiledPredictor:
    """Labels pictures tile by tile; an `inference.Labeller`.

    The tiles' probabilities are averaged with weights that fall to 0 towards a
    tile's border, so that no seam shows. One row of tiles is held at a time: memory
    grows with a picture's width, not with its height, by `band_bytes`.

    Attributes:
      predict: gives probabilities.
      tile_size: sides of the tiles in pixels.
      overlap: share of a tile that its neighbour covers too, in [0, 0.9].
    """

    predict: Predictor
    tile_size: int
    overlap: float = DEFAULT_OVERLAP

    def labels(self, pictures: Any) -> np.ndarray:
        """Pictures [B, H, W, C] -> uint8 [B, H, W]."""
        return self.labels_and_confidence(pictures)[0]

    def labels_and_confidence(self, pictures: Any) -> tuple[np.ndarray, np.ndarray]:
        """The labels and the winners' blended probabilities, float32 [B, H, W]."""
        results = [self._one(picture) for picture in np.asarray(pictures)]
        labels, confidence = zip(*results, strict=True)
        return np.stack(labels), np.stack(confidence)

    def _one(self, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        height, width = picture.shape[:2]
        labels = np.empty((height, width), np.uint8)
        confidence = np.empty((height, width), np.float32)
        for top, band in self._bands(picture):
            rows = slice(top, top + len(band))
            labels[rows] = band.argmax(-1)
            confidence[rows] = band.max(-1)
            del band  # or two would be held while the next is made
        return labels, confidence

    def _bands(self, picture: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """Yields finished rows of the blended probabilities with the first's place."""
        height = picture.shape[0]
        rows = positions(height, self.tile_size, self.overlap)
        down = weights(rows, min(self.tile_size, height), height)
        held = np.zeros((0, 1, 1), np.float32)
        for top, weight, following in zip(rows, down, [*rows[1:], height], strict=True):
            band = self._row(picture[top : top + self.tile_size])
            band *= weight[:, None, None]
            band[: len(held)] += held
            yield top, band[: following - top]
            held = band[following - top :].copy()
            del band

    def _row(self, picture: np.ndarray) -> np.ndarray:
        """Blended probabilities of one row of tiles, float32 [h, W, K]."""
        height, width = picture.shape[:2]
        columns = positions(width, self.tile_size, self.overlap)
        across = weights(columns, min(self.tile_size, width), width)
        row = np.zeros((0,), np.float32)
        for left, weight in zip(columns, across, strict=True):
            box = slice(left, left + self.tile_size)
            probabilities = self.predict(tf.constant(picture[None, :, box]))[0].numpy()
            if not row.size:
                row = np.zeros((height, width, probabilities.shape[-1]), np.float32)
            row[:, box] += weight[:, None] * probabilities
        return row


def make_tiled(
    predict: Predictor, tile_size: int, overlap: float = DEFAULT_OVERLAP
) -> TiledPredictor:
    """Checks the tile's size and overlap and rounds the size to 16 k + 1.

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


def positions(length: int, tile: int, overlap: float) -> list[int]:
    """Starts of the tiles along a side, multiples of 16 but for the last.

    The last tile ends with the picture, so that all tiles have one size.
    """
    step = max(1, int(tile * (1 - overlap)) // _STEP) * _STEP
    last = max(0, length - tile)
    return [*range(0, last, step), last]


def weights(starts: Sequence[int], tile: int, length: int) -> np.ndarray:
    """Weight of each tile's pixels along a side, [tiles, tile]; their sum is 1.

    A Hann window, which is 0 at the border of a tile, where padding shows, divided
    by the sum of all tiles' windows at that place.
    """
    window = np.sin(np.pi * (np.arange(tile) + 0.5) / tile) ** 2
    total = np.zeros(length)
    for start in starts:
        total[start : start + tile] += window
    shares = [window / total[start : start + tile] for start in starts]
    return np.array(shares, np.float32)
