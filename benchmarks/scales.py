"""How maps of several scales are best averaged: mIoU of three ways on a val split.

probabilities   softmax at each scale's size, then resized to the image's
logits          each scale's logits resized to the image's size, then softmax
released        as the released code: the image padded to 513 x 513, n pixels scaled to
                (n - 1) * scale + 1, the coarse logits resized, then softmax

All average over 0.75, 1, 1.25, each with its mirror image. Prints JSON: the mIoU of
each and its paired test against the first.

Example:
  python benchmarks/scales.py --run_dir=runs/imported --dataset_dir=/data/voc
"""

import dataclasses
import itertools
import json
from collections.abc import Callable
from typing import Any

import numpy as np
from absl import flags as absl_flags

from deeplab_tf import cli

FLAGS = absl_flags.FLAGS
absl_flags.DEFINE_string("dataset_dir", None, "Folder of the shards.")
absl_flags.DEFINE_integer("images", 60, "How many of the split's first.", lower_bound=1)
_SCALES = (0.75, 1.0, 1.25)
_CROP = 513  # of the released evaluation on PASCAL VOC
_PAD = 127.5


def main() -> None:
    cli.import_tensorflow()
    from deeplab_tf import runs
    from deeplab_tf.data import reading
    from deeplab_tf.evaluation import metrics, significance

    run = runs.open_run(FLAGS.run_dir)
    dataset_dir, info = runs.dataset(run, FLAGS.dataset_dir)
    # The released code pads before it scales, so its network must not pad again.
    bare = dataclasses.replace(
        run, config=run.config.replace({"model.padded_size": ()})
    )
    predict = _ways(runs.load_model(run), runs.load_model(bare))
    split = reading.read_split(dataset_dir, info, "val", "scales")
    pixels: dict[str, list[np.ndarray]] = {}
    for example in itertools.islice(split, FLAGS.images):
        for name, labels in predict(example["image"][None]).items():
            matrix = metrics.confusion_matrix(
                example["labels"].numpy(),
                labels.numpy()[0],
                info.num_classes,
                info.ignore_label,
            )
            pixels.setdefault(name, []).append(metrics.class_pixels(matrix))
    counts = {name: np.stack(parts) for name, parts in pixels.items()}
    first = counts["probabilities"]
    result = {
        name: {
            "miou": metrics.figure(metrics.mean_iou(part.sum(0))),
            "against probabilities": dataclasses.asdict(
                significance.compare(part, first)
            ),
        }
        for name, part in counts.items()
    }
    print(json.dumps({"images": len(first), "scales": _SCALES, **result}, indent=2))


def _ways(model: Any, bare: Any) -> Callable[[Any], dict[str, Any]]:
    """A function from an image uint8 [1, H, W, 3] to labels [1, H, W] of each way."""
    import keras
    import tensorflow as tf

    from deeplab_tf.network.layers.resize import resize

    coarse = keras.Model(bare.input, bare.get_layer("logits").output)
    stride = model.get_layer("padding").stride
    views = list(itertools.product(_SCALES, (1, -1)))

    def released(image: Any) -> Any:
        height, width = tf.unstack(tf.shape(image)[1:3])
        padding = [[0, 0], [0, _CROP - height], [0, _CROP - width], [0, 0]]
        padded = tf.pad(image - _PAD, padding) + _PAD
        total: Any = 0.0
        for scale, step in views:
            side = int((_CROP - 1) * scale + 1)
            cells = int((_CROP - 1) * max(1.0, scale) / stride + 1)
            logits = coarse(resize(padded[:, :, ::step], (side, side)))
            logits = resize(resize(logits, (cells, cells)), (_CROP, _CROP))
            total += tf.nn.softmax(logits[:, :, ::step])
        return total[:, :height, :width]

    @tf.function(input_signature=[tf.TensorSpec([1, None, None, 3], tf.uint8)])
    def predict(image: Any) -> dict[str, Any]:
        image = tf.cast(image, tf.float32)
        size = tf.shape(image)[1:3]
        sums = {"probabilities": 0.0, "logits": 0.0, "released": released(image)}
        for scale, step in views:
            scaled = tf.cast(tf.cast(size, tf.float32) * scale, tf.int32)
            logits = model(resize(image[:, :, ::step], scaled))[:, :, ::step]
            sums["probabilities"] += resize(tf.nn.softmax(logits), size)
            sums["logits"] += tf.nn.softmax(resize(logits, size))
        return {name: tf.argmax(total, -1) for name, total in sums.items()}

    return predict


if __name__ == "__main__":
    cli.define_run_dir()
    cli.run(main)
