"""Whether a model's confidence is its accuracy: reliability by class."""

from collections.abc import Sequence

import numpy as np

from deeplab_tf.evaluation import metrics
from deeplab_tf.files import Json

BINS = 20


class CalibrationCounter:
    """Counts valid pixels by predicted class and confidence.

    Args:
      num_classes: K.
      ignore_label: void.
      bins: equal parts of [0, 1].
    """

    def __init__(self, num_classes: int, ignore_label: int, bins: int = BINS) -> None:
        self._ignore_label = ignore_label
        self._shape = (num_classes, bins)
        self._pixels, self._right, self._confidence = np.zeros([3, *self._shape])
        self._type = np.min_scalar_type(2 * num_classes * bins + 2)  # of cells: fast

    def update(
        self, labels: np.ndarray, predictions: np.ndarray, confidence: np.ndarray
    ) -> None:
        """Adds a picture: integers [H, W] twice; the winner's probability [H, W]."""
        num_classes, bins = self._shape
        place = np.minimum((confidence * bins).astype(self._type), bins - 1)
        cells = place + predictions * self._type.type(bins)
        cells[labels == self._ignore_label] = num_classes * bins
        # One pass counts both: the wrong pixels' cells come first, then the right's.
        size = num_classes * bins + 1
        both = cells + (labels == predictions) * self._type.type(size)
        wrong, right = np.bincount(both.ravel(), minlength=2 * size).reshape(2, size)
        total = np.bincount(cells.ravel(), confidence.ravel(), size)
        for sums, counts in (
            (self._pixels, wrong + right),
            (self._right, right),
            (self._confidence, total),
        ):
            sums += counts[:-1].reshape(self._shape)

    def result(self, class_names: Sequence[str]) -> Json:
        """The figures, None where there is no pixel.

        Returns:
          expected_calibration_error: mean over the pixels of |accuracy - confidence|
          of their bin (Guo et al. 2017, section 2); per_class_calibration_error: the
          same of the pixels predicted as that class; reliability: of each bin
          "pixels", "accuracy" and "confidence"; per_class_reliability: the same
          lists by class.
        """
        pooled = [part.sum(0) for part in self._counts()]
        by_class = {
            name: [part[c] for part in self._counts()]
            for c, name in enumerate(class_names)
        }
        return {
            "expected_calibration_error": _error(*pooled),
            "per_class_calibration_error": {
                name: _error(*counts) for name, counts in by_class.items()
            },
            "reliability": _reliability(*pooled),
            "per_class_reliability": {
                name: _reliability(*counts) for name, counts in by_class.items()
            },
        }

    def _counts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self._pixels, self._right, self._confidence


def _error(
    pixels: np.ndarray, right: np.ndarray, confidence: np.ndarray
) -> float | None:
    if not pixels.any():
        return None
    return float(np.abs(right - confidence).sum() / pixels.sum())


def _reliability(pixels: np.ndarray, right: np.ndarray, confidence: np.ndarray) -> Json:
    return {
        "pixels": pixels.astype(np.int64).tolist(),
        "accuracy": list(metrics.known(metrics.ratio(right, pixels))),
        "confidence": list(metrics.known(metrics.ratio(confidence, pixels))),
    }
