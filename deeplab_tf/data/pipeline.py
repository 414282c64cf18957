"""TFRecord shards -> batches, the same at every start.

An example is known by its shard and its place there. What happens to it in an epoch
is a function of (seed, epoch, shard, place), so a run that resumes at a step sees what
the uninterrupted run would have seen from there on.
"""

import os
from collections.abc import Sequence

import tensorflow as tf

from deeplab_tf import backbones
from deeplab_tf.config import Augment, Config
from deeplab_tf.data import augment as augmentation
from deeplab_tf.data import info as dataset_info
from deeplab_tf.data import records
from deeplab_tf.data.info import DatasetInfo

# Records shuffled at once: as many as fit here, for pictures differ in size by 100.
_SHUFFLE_BYTES = 256 * 2**20
_SHUFFLE_RANGE = (64, 8192)
_READ_AT_ONCE = 4  # shards


def make_train_dataset(
    config: Config,
    info: DatasetInfo,
    *,
    start_step: int = 0,
    workers: int = 1,
    worker: int = 0,
    replicas: int = 1,
) -> tf.data.Dataset:
    """Endless batches for training.

    Args:
      config: its data, augment and train sections, and the backbone's mean.
      info: of `config.data.dataset_dir`.
      start_step: batches to leave out, as after a resumed checkpoint; cheap, for
        records are skipped before they are decoded.
      workers, worker: of each global batch this worker decodes its own part, the
        worker-th of `workers`.
      replicas: over all workers; each gets a batch of its own, in order.

    Returns:
      Dataset of {"image": float32 [B, h, w, C] in [0, 255], "labels": int32
      [B, h, w]} with B the part of the global batch of one replica and (h, w) the
      crop.

    Raises:
      UserError: the split is unknown, empty or a shard is missing.
    """
    data, seed = config.data, config.train.seed
    paths = dataset_info.shard_paths(data.dataset_dir, info, data.train_split)
    examples = info.splits[data.train_split].num_examples
    first = start_step * config.train.batch_size
    ordered = _order(paths, examples, seed, first_epoch=first // examples)
    mean = backbones.get_spec(config.model.backbone).mean
    prepare = make_prepare(config.augment, data.crop_size, mean, info, seed)
    dataset = ordered.skip(first % examples)
    if workers > 1:
        dataset = _part(dataset, config.train.batch_size, workers, worker)
    dataset = dataset.map(prepare, num_parallel_calls=tf.data.AUTOTUNE)
    dataset = dataset.batch(config.train.batch_size // replicas, drop_remainder=True)
    return dataset.prefetch(2 * replicas // workers)


def _part(
    dataset: tf.data.Dataset, batch_size: int, workers: int, worker: int
) -> tf.data.Dataset:
    """The worker's part of each global batch, as contiguous examples."""
    size = batch_size // workers
    numbered = dataset.enumerate().filter(
        lambda number, _: number % batch_size // size == worker
    )
    return numbered.map(lambda _, element: element)


def make_eval_dataset(
    dataset_dir: str, info: DatasetInfo, split: str
) -> tf.data.Dataset:
    """Every example of a split once, in the order of the shards, at its own size.

    Returns:
      Dataset of {"image": uint8 [H, W, C] (float32 in [0, 255] for pictures of 16
      bits), "labels": int32 [H, W], "filename": string}, not batched.

    Raises:
      UserError: the split is unknown, empty or a shard is missing.
    """
    paths = dataset_info.shard_paths(dataset_dir, info, split)
    dataset = tf.data.TFRecordDataset(paths).map(
        records.make_parser(
            info.channels, info.ignore_label, info.split(split).has_labels, info.bits
        ),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    return dataset.prefetch(tf.data.AUTOTUNE)


def make_prepare(
    augment: Augment,
    crop_size: Sequence[int],
    mean: tuple[float, ...],
    info: DatasetInfo,
    seed: int,
):
    """Returns (epoch, shard, place, record) -> the augmented example."""
    parse = records.make_parser(info.channels, info.ignore_label, bits=info.bits)
    # Padding is the backbone's mean: it is 0 once the model has normalised it.
    fill = tuple(mean) if info.channels == 3 else (sum(mean) / 3,) * info.channels

    def prepare(
        epoch: tf.Tensor, shard: tf.Tensor, place: tf.Tensor, record: tf.Tensor
    ) -> augmentation.Example:
        own = tf.constant([seed, 1], tf.int32)
        for number in (epoch, shard, place):
            own = augmentation.fold(own, number)
        scale = augmentation.draw_scale(
            augmentation.fold(own, 0),
            augment.min_scale,
            augment.max_scale,
            augment.scale_step,
        )
        example = augmentation.scaled_crop(
            parse(record),
            augmentation.fold(own, 1),
            scale,
            (crop_size[0], crop_size[1]),
            fill,
            info.ignore_label,
        )
        example = augmentation.flip(example, augmentation.fold(own, 2), augment.flip)
        if augment.photometric:
            example = augmentation.photometric(
                example, augmentation.fold(own, 3), augment.photometric
            )
        return {"image": example["image"], "labels": example["labels"]}

    return prepare


def _order(
    paths: list[str], examples: int, seed: int, first_epoch: int
) -> tf.data.Dataset:
    """Endless (epoch, shard, place, record), each epoch in an order of its own."""
    window = _shuffle_window(paths, examples)
    names = tf.constant(paths)

    def read(shard: tf.Tensor) -> tf.data.Dataset:
        numbered = tf.data.TFRecordDataset(names[shard]).enumerate()
        return numbered.map(lambda place, record: (shard, place, record))

    def one_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        own = augmentation.fold(tf.constant([seed, 0], tf.int32), epoch)
        shards = tf.random.experimental.stateless_shuffle(tf.range(len(paths)), own)
        dataset = tf.data.Dataset.from_tensor_slices(shards)
        dataset = dataset.interleave(read, cycle_length=_READ_AT_ONCE)

        # Dataset.shuffle would depend on TensorFlow's global seed.
        def permute(number: tf.Tensor, window: tuple[tf.Tensor, ...]):
            size = tf.shape(window[0])[0]
            order = tf.random.experimental.stateless_shuffle(
                tf.range(size), augmentation.fold(own, number)
            )
            shard, place, record = (tf.gather(part, order) for part in window)
            return tf.fill([size], epoch), shard, place, record

        dataset = dataset.batch(window).enumerate()
        return dataset.map(lambda n, *parts: permute(n, parts[0])).unbatch()

    epochs = tf.data.Dataset.range(first_epoch, tf.int64.max)
    return epochs.flat_map(one_epoch)


def _shuffle_window(paths: list[str], examples: int) -> int:
    size = sum(os.path.getsize(path) for path in paths)
    low, high = _SHUFFLE_RANGE
    return max(low, min(high, _SHUFFLE_BYTES * examples // max(1, size)))
