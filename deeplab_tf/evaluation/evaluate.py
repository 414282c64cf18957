"""mIoU and friends over a split in one pass, each picture at its own size."""

import time
from collections.abc import Iterable, Iterator

import numpy as np
import tensorflow as tf

from deeplab_tf.data import reading, records
from deeplab_tf.data.dataset_info import DatasetInfo
from deeplab_tf.errors import UserError
from deeplab_tf.evaluation import image_scores, metrics, significance
from deeplab_tf.evaluation.boundary import BoundaryCounter
from deeplab_tf.evaluation.calibration import CalibrationCounter
from deeplab_tf.evaluation.image_scores import PictureScore
from deeplab_tf.files import Json, Values
from deeplab_tf.inference import threads
from deeplab_tf.inference.predictor import Predictor

Example = dict[str, tf.Tensor]

_HELD_BATCHES = 8  # waiting for pictures of their size


def evaluate(
    predict: Predictor,
    dataset_dir: str,
    info: DatasetInfo,
    split: str,
    *,
    detailed: bool = False,
    batch_size: int = 1,
) -> Json:
    """Predicts every picture of a split and compares it with its labels.

    Args:
      predict: labels pictures.
      dataset_dir: folder of the shards.
      info: its dataset.json.
      split: a split with labels.
      detailed: takes boundaries, calibration and the scores of each picture, too.
      batch_size: pictures of one size that are predicted at once.

    Returns:
      The scores by name (`metrics.Scores`), `split`, `num_images`, `seconds` and the
      confusion matrix as nested lists, rows the labels. In detail also `boundary`
      (`BoundaryCounter.result`), `calibration` (`CalibrationCounter.result`),
      `miou_interval` (`significance.interval`) and `pictures`, a list of
      `PictureScore`.

    Raises:
      UserError: the split is unknown, empty or without labels, a shard is damaged, or
        a label is no class.
    """
    if not info.split(split).has_labels:
        raise UserError(f"split {split!r} of {info.name!r} has no labels to compare.")
    start = time.perf_counter()
    tally = _Tally(info, detailed)
    examples = reading.read_split(dataset_dir, info, split, f"evaluate {split}")
    predicted = (
        (batch, *_predict(predict, batch, detailed))
        for batch in batch_by_size(examples, batch_size)
    )
    # Counting goes on beside the next forward pass.
    for _ in threads.in_order(lambda outputs: tally.add(*outputs), predicted):
        pass
    seconds = time.perf_counter() - start
    return {**tally.result(), "split": split, "seconds": round(seconds, 2)}


def batch_by_size(
    examples: Iterable[Example], batch_size: int
) -> Iterator[list[tuple[int, Example]]]:
    """Groups pictures of one size, so that none is padded or scaled.

    Yields:
      Up to batch_size numbered examples of one height and width. Groups come once
      they are full; where pictures of many sizes wait, the largest group comes first.
    """
    groups: dict[tuple[int, ...], list[tuple[int, Example]]] = {}
    waiting = 0
    for index, example in enumerate(examples):
        size = tuple(example["image"].shape)
        groups.setdefault(size, []).append((index, example))
        waiting += 1
        if len(groups[size]) < batch_size:
            if waiting < _HELD_BATCHES * batch_size:
                continue
            size = max(groups, key=lambda key: len(groups[key]))
        batch = groups.pop(size)
        waiting -= len(batch)
        yield batch
    yield from groups.values()


def table(result: Values) -> str:
    """The scores as lines to read, one a class."""
    columns = ("iou", "precision", "recall")
    by_class = [result[f"per_class_{column}"] for column in columns]
    head = f"{result['split']}: {result['num_images']} pictures"
    lines = [f"{head:<26} {'IoU':>9} {'precision':>9} {'recall':>9}"]
    lines += [
        f"  {name:<24} "
        + " ".join(f"{metrics.text(column[name]):>9}" for column in by_class)
        for name in by_class[0]
    ]
    totals = {"mIoU": metrics.text(result["miou"])}
    if interval := result.get("miou_interval"):
        low, high = interval
        totals["mIoU"] += f"  (95 % interval over pictures: {low:.4f} to {high:.4f})"
    totals["pixel accuracy"] = metrics.text(result["pixel_accuracy"])
    totals["mean accuracy"] = metrics.text(result["mean_accuracy"])
    if "boundary" in result:
        totals["boundary IoU"] = metrics.text(result["boundary"]["boundary_iou"])
        totals["boundary F1"] = metrics.text(result["boundary"]["boundary_f1"])
    if "calibration" in result:
        error = result["calibration"]["expected_calibration_error"]
        totals["calibration error"] = metrics.text(error)
    lines += [f"  {name:<24} {value:>9}" for name, value in totals.items()]
    if names := result.get("classes_left_out"):
        where = "where it says so, the likeliest of the classes above counts"
        lines.append(f"  it also knows {', '.join(names)}: {where}")
    if "comparison" in result:
        lines.append(_against(result["comparison"]))
    return "\n".join(lines)


def _against(comparison: Values) -> str:
    if comparison["interval"] is None:
        return f"  mIoU absent, so not compared with {comparison['run_dir']}"
    low, high = comparison["interval"]
    return (
        f"  mIoU {comparison['difference']:+.4f} against {comparison['run_dir']} "
        f"(95 % interval {low:+.4f} to {high:+.4f}, p = {comparison['p_value']:.4f})"
    )


def _predict(
    predict: Predictor, batch: list[tuple[int, Example]], detailed: bool
) -> tuple[np.ndarray, np.ndarray | None]:
    pictures = tf.stack([example["image"] for _, example in batch])
    if detailed:
        return predict.labels_and_confidence(pictures)
    return predict.labels(pictures), None


class _Tally:
    """All counts of a pass."""

    def __init__(self, info: DatasetInfo, detailed: bool) -> None:
        self._info = info
        self._matrix = np.zeros([info.num_classes] * 2, np.int64)
        self._count = 0
        arguments = info.num_classes, info.ignore_label
        self._boundary = BoundaryCounter(*arguments) if detailed else None
        self._calibration = CalibrationCounter(*arguments)
        self._pictures: list[PictureScore] = []

    def add(
        self,
        batch: list[tuple[int, Example]],
        predictions: np.ndarray,
        confidence: np.ndarray | None,
    ) -> None:
        for place, (index, example) in enumerate(batch):
            labels = example["labels"].numpy().astype(np.uint8)
            matrix = metrics.confusion_matrix(
                labels,
                predictions[place],
                self._info.num_classes,
                self._info.ignore_label,
            )
            self._matrix += matrix
            self._count += 1
            if self._boundary is None:
                continue
            self._boundary.update(labels, predictions[place])
            suspect = None
            if confidence is not None:
                self._calibration.update(labels, predictions[place], confidence[place])
                suspect = image_scores.suspects(
                    labels,
                    predictions[place],
                    confidence[place],
                    self._info.ignore_label,
                )
            name = records.name_of(example)
            self._pictures.append(image_scores.score(index, name, matrix, suspect))

    def result(self) -> Json:
        info = self._info
        result = {
            **metrics.scores(self._matrix).to_dict(info.class_names),
            "num_images": self._count,
            "confusion_matrix": self._matrix.tolist(),
        }
        if self._boundary is None:
            return result
        self._pictures.sort(key=lambda picture: picture.index)
        pixels = image_scores.class_pixels(self._pictures, info.num_classes)
        return {
            **result,
            "miou_interval": significance.interval(pixels),
            "boundary": self._boundary.result(info.class_names),
            "calibration": self._calibration.result(info.class_names),
            "pictures": self._pictures,
        }
