"""From labelled pictures to batches: dataset.json, TFRecords, augmentation."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from deeplab_tf.errors import UserError

if TYPE_CHECKING:
    import tensorflow as tf

_GREY = (127.5, 127.5, 127.5)


def dataset(
    dataset_dir: str | pathlib.Path,
    split: str,
    *,
    crop_size: tuple[int, int] | None = None,
    batch_size: int = 1,
    seed: int = 0,
    fill: Sequence[float] = _GREY,
    **augment: object,
) -> "tf.data.Dataset":
    """The examples of a split, for training loops of one's own.

    Args:
      dataset_dir: the folder that datasets/convert.py wrote.
      split: one of its splits.
      crop_size: height, width of training crops: endless batches, in an order of their
        own each epoch, scaled, mirrored and cut at random as by `training.train`.
        None: each image once, whole, in order, in batches of one.
      batch_size: of the crops.
      seed: what each random draw is a function of.
      fill: RGB of what lies beyond an image; the mean that the backbone subtracts.
      **augment: of the crops, fields of config.Augment, as max_scale=1.5.

    Returns:
      Dataset of (image, labels): float32 [B, h, w, C] in [0, 255] and int32
      [B, h, w], void pixels 255, or what dataset.json calls ignore_label.

    Raises:
      UserError: there is no such data set or split, or an option is none.

    Example:
      >>> crops = deeplab_tf.data.dataset(
      ...     "data/mine", "train", crop_size=(257, 257), batch_size=8
      ... )
      >>> whole = deeplab_tf.data.dataset("data/mine", "val")
      >>> loss = keras.losses.SparseCategoricalCrossentropy(
      ...     from_logits=True, ignore_class=255
      ... )
      >>> model.compile("adam", loss)
      >>> model.fit(crops, steps_per_epoch=100, validation_data=whole, shuffle=False)
    """
    import tensorflow as tf

    if crop_size is None:
        if batch_size != 1 or augment:
            raise UserError(
                "whole images have sizes of their own: batch_size and augmentation "
                "need a crop_size."
            )
        examples = _whole_images(dataset_dir, split)
    else:
        settings = {
            "data.crop_size": tuple(crop_size),
            "train.batch_size": batch_size,
            "train.seed": seed,
            **{f"augment.{name}": value for name, value in augment.items()},
        }
        examples = _crops(dataset_dir, split, settings, fill)
    return examples.map(lambda one: (tf.cast(one["image"], tf.float32), one["labels"]))


def _crops(
    dataset_dir: str | pathlib.Path,
    split: str,
    settings: Mapping[str, object],
    fill: Sequence[float],
) -> "tf.data.Dataset":
    """Endless batches of crops, as in training with these settings."""
    from deeplab_tf.config import Config
    from deeplab_tf.data import dataset_info, pipeline

    place = {"data.dataset_dir": str(dataset_dir), "data.train_split": split}
    config = Config().replace({**place, **settings})
    return pipeline.make_train_dataset(
        config, dataset_info.load(dataset_dir), fill=fill
    )


def _whole_images(dataset_dir: str | pathlib.Path, split: str) -> "tf.data.Dataset":
    """Each example once, in batches of one, with its length known to Keras' bar."""
    import tensorflow as tf

    from deeplab_tf.data import dataset_info, pipeline

    info = dataset_info.load(dataset_dir)
    examples = pipeline.make_eval_dataset(str(dataset_dir), info, split)
    count = tf.data.experimental.assert_cardinality(info.split(split).num_examples)
    return examples.batch(1).apply(count)
