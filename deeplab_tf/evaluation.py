"""mIoU and friends over a split, each picture at its own size."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from deeplab_tf import metrics
from deeplab_tf.data import records
from deeplab_tf.data.info import DatasetInfo, shard_paths
from deeplab_tf.data.pipeline import make_eval_dataset
from deeplab_tf.errors import UserError
from deeplab_tf.inference import Predictor


def evaluate(
    predict: Predictor, dataset_dir: str, info: DatasetInfo, split: str
) -> dict[str, Any]:
    """Predicts every picture of a split and compares it with its labels.

    Args:
      predict: pictures [1, H, W, C] -> probabilities [1, H, W, K].
      dataset_dir: folder of the shards.
      info: its dataset.json.
      split: a split with labels.

    Returns:
      The scores with per_class_iou by name, `split`, `num_images` and the confusion
      matrix as nested lists, rows the labels.

    Raises:
      UserError: the split is unknown, empty or without labels, or a shard is damaged.
    """
    if not info.split(split).has_labels:
        raise UserError(f"split {split!r} of {info.name!r} has no labels to compare.")
    update = _make_update(predict, info)
    matrix = np.zeros([info.num_classes] * 2, np.int64)
    count = 0
    for example in read_split(dataset_dir, info, split, f"evaluate {split}"):
        matrix += update(example["image"], example["labels"]).numpy()
        count += 1
    return {
        **metrics.scores(matrix).to_dict(info.class_names),
        "split": split,
        "num_images": count,
        "confusion_matrix": matrix.tolist(),
    }


def read_split(
    dataset_dir: str, info: DatasetInfo, split: str, title: str
) -> Iterable[dict[str, tf.Tensor]]:
    """Yields the examples of a split behind a progress bar.

    Raises:
      UserError: a shard is damaged; the message names it.
    """
    dataset = make_eval_dataset(dataset_dir, info, split)
    total = info.split(split).num_examples
    try:
        yield from tqdm(dataset, title, total, unit="img", leave=False)
    except tf.errors.OpError as error:
        paths = shard_paths(dataset_dir, info, split)
        raise records.describe_read_error(error, paths) from error


def table(result: Mapping[str, Any]) -> str:
    """The scores as lines to read, one a class."""
    rows = [
        f"  {name:<24} {'absent' if iou is None else format(iou, '.4f')}"
        for name, iou in result["per_class_iou"].items()
    ]
    head = f"{result['split']}: {result['num_images']} pictures"
    totals = [
        f"  {'mIoU':<24} {result['miou']:.4f}",
        f"  {'pixel accuracy':<24} {result['pixel_accuracy']:.4f}",
    ]
    return "\n".join([head, *rows, *totals])


def _make_update(predict: Predictor, info: DatasetInfo):
    @tf.function(reduce_retracing=True)
    def update(image: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        probabilities = predict(image[None])
        predictions = tf.argmax(probabilities[0], -1, output_type=tf.int32)
        return metrics.confusion_matrix(
            labels, predictions, info.num_classes, info.ignore_label
        )

    return update
