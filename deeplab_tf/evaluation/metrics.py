"""The confusion matrix, and what follows from it; in NumPy."""

import dataclasses

import numpy as np

from deeplab_tf.errors import UserError
from deeplab_tf.files import Json

# Above this share of run starts, counting pixel by pixel is faster than by runs.
_MANY_RUNS = 1 / 16


def confusion_matrix(
    labels: np.ndarray, predictions: np.ndarray, num_classes: int, ignore_label: int
) -> np.ndarray:
    """Counts pixels by label and prediction.

    Label maps are piecewise constant, so runs of equal pairs are counted instead of
    pixels: several times faster, most of all for uint8.

    Args:
      labels: integers of any shape, 0..num_classes-1 or ignore_label.
      predictions: integers of the same shape, 0..num_classes-1.
      num_classes: K.
      ignore_label: pixels with this label count nowhere.

    Returns:
      int64 [K, K]; row is the label, column the prediction.

    Raises:
      UserError: a label is neither a class nor ignored, or a prediction is no class.
    """
    labels, predictions = np.ravel(labels), np.ravel(predictions)
    lengths = None
    changes = labels[1:] != labels[:-1]
    changes |= predictions[1:] != predictions[:-1]
    if np.count_nonzero(changes) < _MANY_RUNS * labels.size:
        starts = np.concatenate([[0], np.flatnonzero(changes) + 1])
        lengths = np.diff(starts, append=labels.size)
        labels, predictions = labels[starts], predictions[starts]
    if predictions.size and predictions.max() >= num_classes:
        raise UserError(
            f"a prediction must be in 0..{num_classes - 1}; received "
            f"{predictions.max()}."
        )
    cells = labels.astype(np.int64) * num_classes + predictions
    rows = max(num_classes, ignore_label + 1)
    counts = np.bincount(cells, lengths, minlength=rows * num_classes)
    # A label past the last row leaves that row short.
    counts = np.pad(counts.astype(np.int64), (0, -counts.size % num_classes))
    by_label = counts.reshape(-1, num_classes)
    by_label[ignore_label] = 0
    foreign = np.flatnonzero(by_label[num_classes:].any(1))
    if foreign.size:
        raise UserError(
            f"a label must be in 0..{num_classes - 1} or {ignore_label}; received "
            f"{num_classes + foreign[0]}."
        )
    return by_label[:num_classes]


def class_pixels(matrix: np.ndarray) -> np.ndarray:
    """Right, labelled and predicted pixels of each class: [K, K] -> [3, K]."""
    return np.stack([np.diag(matrix), matrix.sum(1), matrix.sum(0)])


def iou(pixels: np.ndarray) -> np.ndarray:
    """TP / (TP + FP + FN) from `class_pixels`: [..., 3, K] -> [..., K].

    NaN for a class that occurs in neither labels nor predictions.
    """
    hits, labelled, predicted = np.moveaxis(pixels, -2, 0)
    return ratio(hits, labelled + predicted - hits)


def mean_iou(pixels: np.ndarray) -> np.ndarray:
    """Mean of `iou` over the classes that occur: [..., 3, K] -> [...]."""
    return mean(iou(pixels))


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole; NaN where there is nothing."""
    empty = np.full(np.broadcast_shapes(part.shape, whole.shape), np.nan)
    return np.divide(part, whole, out=empty, where=whole > 0)


def mean(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis without the NaNs; NaN where there is nothing else."""
    known = ~np.isnan(values)
    return ratio(np.where(known, values, 0.0).sum(-1), known.sum(-1))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scores:
    """What a confusion matrix says; all in 0..1, None where there is nothing to score.

    Attributes:
      miou: mean IoU over the classes that occur in labels or predictions.
      pixel_accuracy: share of the valid pixels that are right.
      mean_accuracy: mean recall over the classes that occur in the labels.
      frequency_weighted_iou: IoUs weighted by the classes' labelled pixels.
      mean_f1: mean F1 over the classes that occur in labels or predictions.
      per_class_iou: TP / (TP + FP + FN); None for a class that occurs nowhere.
      per_class_precision: TP / (TP + FP); None for a class never predicted.
      per_class_recall: TP / (TP + FN); None for a class that no label has.
      per_class_f1: 2 TP / (2 TP + FP + FN); None for a class that occurs nowhere.
    """

    miou: float | None
    pixel_accuracy: float | None
    mean_accuracy: float | None
    frequency_weighted_iou: float | None
    mean_f1: float | None
    per_class_iou: tuple[float | None, ...]
    per_class_precision: tuple[float | None, ...]
    per_class_recall: tuple[float | None, ...]
    per_class_f1: tuple[float | None, ...]

    def to_dict(self, class_names: tuple[str, ...]) -> Json:
        """The scores, those of each class by its name."""
        return {
            name: dict(zip(class_names, value, strict=True))
            if isinstance(value, tuple)
            else value
            for name, value in dataclasses.asdict(self).items()
        }


def scores(matrix: np.ndarray) -> Scores:
    """Scores from a confusion matrix [K, K], rows the labels."""
    pixels = class_pixels(matrix)
    hits, labelled, predicted = pixels
    ious, recalls = iou(pixels), ratio(hits, labelled)
    f1 = ratio(2 * hits, labelled + predicted)
    total = matrix.sum()
    share = ratio(labelled, total)
    return Scores(
        miou=figure(mean(ious)),
        pixel_accuracy=figure(ratio(hits.sum(), total)),
        mean_accuracy=figure(mean(recalls)),
        frequency_weighted_iou=figure((share * np.nan_to_num(ious)).sum()),
        mean_f1=figure(mean(f1)),
        per_class_iou=known(ious),
        per_class_precision=known(ratio(hits, predicted)),
        per_class_recall=known(recalls),
        per_class_f1=known(f1),
    )


def figure(value: np.ndarray | np.floating) -> float | None:
    """A score as JSON has it: None instead of NaN."""
    return None if np.isnan(value) else float(value)


def known(values: np.ndarray) -> tuple[float | None, ...]:
    """`figure` of each of the values."""
    return tuple(map(figure, values))


def text(value: float | None) -> str:
    """A score as the tables and logs show it."""
    return "absent" if value is None else f"{value:.4f}"
