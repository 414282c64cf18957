"""How good a segmentation is at the boundaries: trimap curve, boundary IoU and F1.

The definitions with their sources are in docs/metrics.md. Void has no boundary that
could be missed: for boundary IoU and F1 a void pixel takes the class that was
predicted there.
"""

import math
from collections.abc import Sequence

import numpy as np

from deeplab_tf.evaluation import metrics
from deeplab_tf.files import Json

TRIMAP_WIDTHS = tuple(range(1, 41))  # pixels; the range of the paper's figure 5
# Shares of the image's diagonal: Cheng et al. 2021 (boundary IoU) and Csurka et al.
# 2013 (boundary F1).
BAND = 0.02
TOLERANCE = 0.0075


class BoundaryCounter:
    """Counts pixels near boundaries, image by image.

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
        # By distance, the last entry for all beyond: first cell of its ring.
        distances = np.arange(self._widths[-1] + 2)
        self._cell = np.searchsorted(self._widths, distances) * num_classes
        self._bands = np.zeros([3, num_classes], np.int64)
        # Sums of F1 and how many there are, by class; and of the images' means.
        self._f1 = np.zeros([2, num_classes])
        self._image_f1 = np.zeros(2)

    def update(self, labels: np.ndarray, predictions: np.ndarray) -> None:
        """Adds an image: integers [H, W] of one type, the predictions 0..K-1."""
        void = labels == self._ignore_label
        if void.all():
            return  # else it would score the predictions against themselves
        self._count_rings(labels, predictions, void)
        if void.any():
            labels = np.where(void, predictions, labels)
        diagonal = math.hypot(*labels.shape)
        width = max(1, round(BAND * diagonal))
        maps = labels, predictions
        bands = [~(interior(m, width, border_differs=True) | void) for m in maps]
        self._bands += self._class_pixels(*maps, *bands)
        f1 = self._edge_f1(*maps, TOLERANCE * diagonal)
        self._f1 += np.nan_to_num(f1), ~np.isnan(f1)
        image = metrics.mean(f1)
        self._image_f1 += np.nan_to_num(image), ~np.isnan(image)

    def result(self, class_names: Sequence[str]) -> Json:
        """The figures, each 0..1 or None where there is nothing to score.

        Returns:
          trimap: {"widths": pixels, "miou": of the valid pixels at most so far from
          void or from another class}; boundary_iou: mean over the classes;
          boundary_f1: mean over the images; per_class_boundary_iou and
          per_class_boundary_f1 by name.
        """
        ious = metrics.iou(self._bands)
        f1 = metrics.ratio(*self._f1)
        return {
            "trimap": {
                "widths": list(self._widths),
                "miou": list(metrics.known(metrics.mean_iou(self._rings.cumsum(0)))),
            },
            "boundary_iou": metrics.figure(metrics.mean(ious)),
            "boundary_f1": metrics.figure(metrics.ratio(*self._image_f1)),
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
        cell = self._cell[distance_to_other(labels, self._widths[-1])]
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

    def _edge_f1(
        self, labels: np.ndarray, predictions: np.ndarray, tolerance: float
    ) -> np.ndarray:
        """F1 of each class in an image, [K]; NaN where neither map has an edge."""
        # Elsewhere than on edges, and around the image, the maps hold K: no class.
        nothing, reach = self._num_classes, math.ceil(tolerance)
        truth, given = (
            np.pad(
                np.where(find_edges(classes), classes, classes.dtype.type(nothing)),
                reach,
                constant_values=nothing,
            )
            for classes in (labels, predictions)
        )
        found, labelled = _count_matches(truth, given, self._num_classes, tolerance)
        matched, predicted = _count_matches(given, truth, self._num_classes, tolerance)
        precision = np.nan_to_num(metrics.ratio(matched, predicted))
        recall = np.nan_to_num(metrics.ratio(found, labelled))
        f1 = np.nan_to_num(metrics.ratio(2 * precision * recall, precision + recall))
        return np.where(labelled + predicted > 0, f1, np.nan)


def find_edges(labels: np.ndarray) -> np.ndarray:
    """Pixels [H, W] of which one of the four neighbours has another label; bool."""
    return ~(_like_neighbours(labels, 0) & _like_neighbours(labels, 1))


def interior(
    labels: np.ndarray, reach: int, *, border_differs: bool = False
) -> np.ndarray:
    """Pixels around which the square of side 2 * reach + 1 has one label.

    It is what each class's mask, eroded `reach` times by a square of side 3, leaves.

    Args:
      labels: [H, W].
      reach: at least 1.
      border_differs: counts what lies outside the image as another label, as Cheng
        et al. do; else it does not matter.

    Returns:
      bool [H, W].
    """
    inside = _one_step_inside(labels)
    if border_differs:
        inside[[0, -1]] = False
        inside[:, [0, -1]] = False
    done = 1
    while done < reach:  # squares that overlap make a larger one: few passes do
        step = min(done, reach - done)
        inside = _eroded(inside, step)
        done += step
    return inside


def distance_to_other(labels: np.ndarray, limit: int) -> np.ndarray:
    """Steps along, across or diagonally to the nearest pixel of another label.

    Args:
      labels: [H, W].
      limit: at least 1; all that is farther gets limit + 1.

    Returns:
      The narrowest unsigned integers [H, W] that hold limit + 1.
    """
    inside = _one_step_inside(labels)
    distance = 1 + inside.astype(np.min_scalar_type(limit + 1))
    for _ in range(limit - 1):
        inside = _eroded(inside, 1)
        distance += inside
    return distance


def _like_neighbours(labels: np.ndarray, axis: int) -> np.ndarray:
    """Whether a pixel has the label of both its neighbours along the axis."""
    alike = np.ones(labels.shape, bool)
    a, out = labels.swapaxes(0, axis), alike.swapaxes(0, axis)
    same = a[1:] == a[:-1]
    out[1:] = same
    out[:-1] &= same
    return alike


def _one_step_inside(labels: np.ndarray) -> np.ndarray:
    """Whether all eight neighbours have the pixel's label."""
    rows = _like_neighbours(labels, 1)
    inside = rows & _like_neighbours(labels, 0)
    inside[1:] &= rows[:-1]
    inside[:-1] &= rows[1:]
    return inside


def _eroded(inside: np.ndarray, step: int) -> np.ndarray:
    """What is inside and has all that lies so far, along and across, inside, too."""
    kept = inside.copy()
    kept[step:] &= inside[:-step]
    kept[:-step] &= inside[step:]
    both = kept.copy()
    both[:, step:] &= kept[:, :-step]
    both[:, :-step] &= kept[:, step:]
    return both


def _count_matches(
    own: np.ndarray, other: np.ndarray, num_classes: int, tolerance: float
) -> np.ndarray:
    """Edge pixels by class with one of that class near in the other map, and all.

    Edge pixels are few and most have their match at hand, so each looks around,
    nearest first, until it is found. Both maps hold num_classes where no edge is,
    and in a margin as wide as the tolerance.
    """
    places = np.flatnonzero(own != num_classes)
    classes = own.ravel()[places]
    flat, left, stride = other.ravel(), np.arange(len(places)), other.shape[1]
    for down, right in _disc(tolerance):
        missed = flat[places[left] + (down * stride + right)] != classes[left]
        left = left[missed]
        if not left.size:
            break
    everything = np.bincount(classes, minlength=num_classes)
    return np.stack(
        [everything - np.bincount(classes[left], minlength=num_classes), everything]
    )


def _disc(radius: float) -> list[tuple[int, int]]:
    """Offsets that are nearer than the radius, the nearest first."""
    side = math.ceil(radius)
    reach = range(-side, side + 1)
    offsets = [(y, x) for y in reach for x in reach if math.hypot(y, x) < radius]
    return sorted(offsets, key=lambda offset: math.hypot(*offset))
