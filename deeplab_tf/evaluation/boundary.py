"""How good a segmentation is at the boundaries: trimap curve, boundary IoU and F.

Distances are Euclidean, between the centres of pixels. Void has no boundary that
could be missed: for boundary IoU and F a void pixel takes the class that was
predicted there.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from deeplab_tf.evaluation import metrics

TRIMAP_WIDTHS = tuple(range(1, 41))  # pixels; the range of the paper's figure 5
# Shares of the picture's diagonal: Cheng et al. 2021 (boundary IoU, section 5) and
# Csurka et al. 2013 (boundary F).
_BAND = 0.02
_TOLERANCE = 0.0075
_NO_EDGE = 255  # never a class: there are at most 255
_INT16_LIMIT = 126  # 2 * 127 ** 2 still fits
_INT16_ROWS = 2**14  # as many again, and more, are far


class BoundaryCounter:
    """Counts pixels near boundaries, picture by picture.

    Args:
      num_classes: K.
      ignore_label: void.
      widths: of the trimap, in pixels, ascending.
    """

    def __init__(
        self,
        num_classes: int,
        ignore_label: int,
        widths: Sequence[int] = TRIMAP_WIDTHS,
    ) -> None:
        self._num_classes = num_classes
        self._ignore_label = ignore_label
        self._widths = tuple(widths)
        self._rings = np.zeros([len(widths), 3, num_classes], np.int64)
        # By squared distance, the last entry for all beyond: first cell of its ring.
        squares = np.arange(self._widths[-1] ** 2 + 2)
        self._cell = np.searchsorted(np.square(self._widths), squares) * num_classes
        self._bands = np.zeros([3, num_classes], np.int64)
        self._edges = np.zeros([2, 2, num_classes], np.int64)

    def update(self, labels: np.ndarray, predictions: np.ndarray) -> None:
        """Adds a picture: uint8 [H, W] each."""
        void = labels == self._ignore_label
        self._count_rings(labels, predictions, void)
        if void.any():
            labels = np.where(void, predictions, labels)
        edges = [find_edges(labels), find_edges(predictions)]
        diagonal = math.hypot(*labels.shape)
        width = max(1, round(_BAND * diagonal))
        bands = [(squared_distance(e, width) < width**2) & ~void for e in edges]
        self._bands += self._class_pixels(labels, predictions, *bands)
        tolerance = max(1, round(_TOLERANCE * diagonal))
        self._edges += self._matched(labels, predictions, edges, tolerance)

    def result(self, class_names: Sequence[str]) -> dict[str, Any]:
        """The figures, each 0..1 or None where there is nothing to score.

        Returns:
          trimap: {"widths": pixels, "miou": of the valid pixels at most so far from
          void or from another class}; boundary_iou and boundary_f1: means over the
          classes that have a boundary; per_class_boundary_iou and
          per_class_boundary_f1 by name.
        """
        ious = metrics.iou(self._bands)
        (matched, predicted), (found, labelled) = self._edges[0], self._edges[1]
        precision = metrics.ratio(matched, predicted)
        recall = metrics.ratio(found, labelled)
        f1 = _harmonic_mean(precision, recall)
        return {
            "trimap": {
                "widths": list(self._widths),
                "miou": list(metrics.known(metrics.mean_iou(self._rings.cumsum(0)))),
            },
            "boundary_iou": metrics.figure(metrics.mean(ious)),
            "boundary_f1": metrics.figure(metrics.mean(f1)),
            "per_class_boundary_iou": dict(
                zip(class_names, metrics.known(ious), strict=True)
            ),
            "per_class_boundary_f1": dict(
                zip(class_names, metrics.known(f1), strict=True)
            ),
        }

    def _count_rings(
        self, labels: np.ndarray, predictions: np.ndarray, void: np.ndarray
    ) -> None:
        """Adds the pixels of the band to the narrowest width that holds them."""
        limit = self._widths[-1]
        edges = void | find_edges(labels, self._ignore_label)
        distance = squared_distance(edges, limit)
        np.minimum(distance, limit**2 + 1, out=distance)
        cell = self._cell[distance]
        cell[void] = self._cell[-1]
        size = (len(self._widths) + 1) * self._num_classes

        def count(cells: np.ndarray) -> np.ndarray:
            return np.bincount(cells, minlength=size)[:size]

        # Most pixels are right, so the wrong ones are counted and taken off.
        wrong = np.flatnonzero(labels != predictions)
        at = cell.ravel()[wrong]
        label = count((cell + labels).ravel())
        right = label - count(at + labels.ravel()[wrong])
        prediction = right + count(at + predictions.ravel()[wrong])
        rings = np.reshape([right, label, prediction], [3, -1, self._num_classes])
        self._rings += rings[:, :-1].swapaxes(0, 1)

    def _class_pixels(
        self,
        labels: np.ndarray,
        predictions: np.ndarray,
        label_band: np.ndarray,
        prediction_band: np.ndarray,
    ) -> np.ndarray:
        """Of each class: both bands, the label's, the prediction's; [3, K]."""
        same = label_band & prediction_band & (labels == predictions)
        parts = (labels[same], labels[label_band], predictions[prediction_band])
        return np.stack([np.bincount(p, minlength=self._num_classes) for p in parts])

    def _matched(
        self,
        labels: np.ndarray,
        predictions: np.ndarray,
        edges: Sequence[np.ndarray],
        tolerance: int,
    ) -> np.ndarray:
        """Matched and all edge pixels of the prediction, then of the labels."""
        maps = [
            np.where(edge, classes, np.uint8(_NO_EDGE))
            for classes, edge in zip((labels, predictions), edges, strict=True)
        ]
        pairs = ((maps[1], maps[0]), (maps[0], maps[1]))
        return np.stack(
            [
                _count_matches(own, other, self._num_classes, tolerance)
                for own, other in pairs
            ]
        )


def find_edges(labels: np.ndarray, ignore_label: int | None = None) -> np.ndarray:
    """Pixels of which one of the four neighbours has another label.

    Args:
      labels: [H, W].
      ignore_label: neighbours with this label, and pixels with it, do not matter.

    Returns:
      bool [H, W].
    """
    edges = np.zeros(labels.shape, bool)
    for axis in (0, 1):
        a, edge = labels.swapaxes(0, axis), edges.swapaxes(0, axis)
        change = a[1:] != a[:-1]
        if ignore_label is not None:
            change &= (a[1:] != ignore_label) & (a[:-1] != ignore_label)
        edge[1:] |= change
        edge[:-1] |= change
    return edges


def squared_distance(seeds: np.ndarray, limit: int) -> np.ndarray:
    """Squared distance in pixels to the nearest seed, exact up to the limit.

    First along columns, then the lower envelope along rows, of as many columns as
    the limit allows: with small integers faster than a general transform.

    Args:
      seeds: bool [H, W].
      limit: in pixels; what is farther gets a value above its square.

    Returns:
      int16 [H, W]; int32 for large limits.
    """
    dtype = np.int16 if limit <= _INT16_LIMIT else np.int32
    column = np.minimum(_distance_in_column(seeds), limit + 1).astype(dtype, copy=False)
    column *= column
    nearest = column.copy()
    for step in range(1, min(limit + 1, seeds.shape[1])):
        away = column + dtype(step * step)
        np.minimum(nearest[:, step:], away[:, :-step], out=nearest[:, step:])
        np.minimum(nearest[:, :-step], away[:, step:], out=nearest[:, :-step])
    return nearest


def _distance_in_column(seeds: np.ndarray) -> np.ndarray:
    """Rows to the nearest seed above or below; large where the column has none."""
    height = seeds.shape[0]
    dtype = np.int16 if height < _INT16_ROWS else np.int32
    rows = np.arange(height, dtype=dtype)[:, None]
    far = dtype(np.iinfo(dtype).max - height)
    above = np.maximum.accumulate(np.where(seeds, rows, -far), axis=0)
    below = np.minimum.accumulate(np.where(seeds, rows, far)[::-1], axis=0)[::-1]
    return np.minimum(rows - above, below - rows)


def _count_matches(
    own: np.ndarray, other: np.ndarray, num_classes: int, tolerance: int
) -> np.ndarray:
    """Edge pixels by class with one of that class near in the other map, and all.

    Edge pixels are few and most have their match at hand, so each looks around,
    nearest first, until it is found.
    """
    padded = np.pad(other, tolerance, constant_values=_NO_EDGE)
    stride = padded.shape[1]
    rows, columns = np.nonzero(own != _NO_EDGE)
    classes = own[rows, columns]
    places = (rows + tolerance) * stride + columns + tolerance
    flat, left = padded.ravel(), np.arange(len(places))
    for down, right in _disc(tolerance):
        missed = flat[places[left] + (down * stride + right)] != classes[left]
        left = left[missed]
        if not left.size:
            break
    everything = np.bincount(classes, minlength=num_classes)
    return np.stack(
        [everything - np.bincount(classes[left], minlength=num_classes), everything]
    )


def _disc(radius: int) -> list[tuple[int, int]]:
    """Offsets in a disc, the nearest first."""
    reach = range(-radius, radius + 1)
    offsets = [(y, x) for y in reach for x in reach if y * y + x * x <= radius**2]
    return sorted(offsets, key=lambda offset: offset[0] ** 2 + offset[1] ** 2)


def _harmonic_mean(precision: np.ndarray, recall: np.ndarray) -> np.ndarray:
    """F1; NaN for a class without boundary, 0 where only one map has one."""
    p, r = np.nan_to_num(precision), np.nan_to_num(recall)
    f1 = np.divide(2 * p * r, p + r, out=np.zeros_like(p), where=p + r > 0)
    return np.where(np.isnan(precision) & np.isnan(recall), np.nan, f1)
