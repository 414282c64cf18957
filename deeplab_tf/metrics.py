"""The confusion matrix, and what follows from it."""

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf


def confusion_matrix(
    labels: tf.Tensor, predictions: tf.Tensor, num_classes: int, ignore_label: int
) -> tf.Tensor:
    """Counts pixels by label and prediction.

    Args:
      labels: int32 of any shape, 0..num_classes-1 or ignore_label.
      predictions: int32 of the same shape, 0..num_classes-1.
      num_classes: K.
      ignore_label: pixels with this label count nowhere.

    Returns:
      int64 [K, K]; row is the label, column the prediction.
    """
    valid = labels != ignore_label
    # Void goes to a bin of its own behind the matrix: cheaper than boolean_mask.
    cells = tf.where(valid, labels * num_classes + predictions, num_classes**2)
    counts = tf.math.bincount(
        tf.reshape(cells, [-1]),
        minlength=num_classes**2 + 1,
        maxlength=num_classes**2 + 1,
    )
    matrix = tf.reshape(counts[:-1], [num_classes, num_classes])
    return tf.cast(matrix, tf.int64)


@dataclasses.dataclass(frozen=True)
class Scores:
    """What a confusion matrix says.

    Attributes:
      miou: mean IoU over the classes that occur in labels or predictions; 0..1.
      pixel_accuracy: share of the valid pixels that are right.
      per_class_iou: TP / (TP + FP + FN); None for a class that occurs nowhere.
    """

    miou: float
    pixel_accuracy: float
    per_class_iou: tuple[float | None, ...]

    def to_dict(self, class_names: tuple[str, ...]) -> dict[str, Any]:
        """The scores with the IoUs by class name."""
        by_name = dict(zip(class_names, self.per_class_iou, strict=True))
        return {**dataclasses.asdict(self), "per_class_iou": by_name}


def scores(matrix: np.ndarray) -> Scores:
    """Scores from a confusion matrix [K, K], rows the labels; NaN if it is empty."""
    hits = np.diag(matrix).astype(np.float64)
    unions = matrix.sum(0) + matrix.sum(1) - hits
    ious = [
        float(hit / union) if union else None
        for hit, union in zip(hits, unions, strict=True)
    ]
    present = [iou for iou in ious if iou is not None]
    total = matrix.sum()
    return Scores(
        miou=float(np.mean(present)) if present else float("nan"),
        pixel_accuracy=float(hits.sum() / total) if total else float("nan"),
        per_class_iou=tuple(ious),
    )
