"""TFRecord shards -> batches, the same at every start.

An example is known by its shard and its place there. What happens to it in an epoch
is a function of (seed, epoch, shard, place), so a run that resumes at a step sees what
the uninterrupted run would have seen from there on.
"""

import os
from collections.abc import Callable, Sequence

import tensorflow as tf

from deeplab_tf.config import Augment, Config
from deeplab_tf.data import augment, dataset_info, mixing, records, resampling
from deeplab_tf.data.dataset_info import DatasetInfo
from deeplab_tf.data.resampling import Example
from deeplab_tf.errors import UserError

# Records shuffled at once: as many as fit here, for pictures differ in size by 100.
_SHUFFLE_BYTES = 256 * 2**20
_SHUFFLE_RANGE = (64, 8192)
_READ_AT_ONCE = 4  # shards

Parts = tuple[tf.Tensor, ...]
Prepare = Callable[[tf.Tensor, tuple[tf.Tensor, ...]], Example]
PlaceCrop = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]


def make_train_dataset(
    config: Config,
    info: DatasetInfo,
    *,
    fill: Sequence[float],
    start_step: int = 0,
    workers: int = 1,
    worker: int = 0,
    replicas: int = 1,
    filenames: bool = False,
) -> tf.data.Dataset:
    """Endless batches for training.

    Args:
      config: its data, augment and train sections.
      info: of `config.data.dataset_dir`.
      fill: RGB of what lies beyond a picture: the backbone's mean, so that it is 0
        once the model has normalised.
      start_step: batches to leave out, as after a resumed checkpoint; cheap, for
        records are skipped before they are decoded.
      workers, worker: of each global batch this worker decodes its own part, the
        worker-th of `workers`.
      replicas: over all workers; each gets a batch of its own, in order.
      filenames: adds "filename": string [B]; accelerators take no strings.

    Returns:
      Dataset of {"image": float32 [B, h, w, C] in [0, 255], "labels": int32
      [B, h, w]} with B the part of the global batch of one replica and (h, w) the
      crop.

    Raises:
      UserError: the split is unknown, empty or a shard is missing; or pictures are to
        be mixed in pairs and a replica's batch is odd.
    """
    data, seed = config.data, config.train.seed
    _require_pairs(config, replicas)
    paths = dataset_info.shard_paths(data.dataset_dir, info, data.train_split)
    examples = info.splits[data.train_split].num_examples
    first = start_step * config.train.batch_size
    ordered = _order(paths, examples, seed, first_epoch=first // examples)
    prepare = make_prepare(config, fill, info)
    dataset = ordered.skip(first % examples).enumerate(first)
    if workers > 1:
        part = config.train.batch_size // workers
        dataset = dataset.filter(lambda number, _: number // part % workers == worker)
    dataset = dataset.map(prepare, num_parallel_calls=tf.data.AUTOTUNE)
    dataset = dataset.batch(config.train.batch_size // replicas, drop_remainder=True)
    finish = _make_finish(config, info, filenames)
    dataset = dataset.map(finish, num_parallel_calls=tf.data.AUTOTUNE)
    # Said to be endless, it keeps its static batch size on several workers.
    endless = tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY)
    return dataset.apply(endless).prefetch(2 * replicas // workers)


def _require_pairs(config: Config, replicas: int) -> None:
    """Else the last picture of each replica's batch would go without a partner."""
    size, method = config.train.batch_size // replicas, config.augment.mixing
    if method != "none" and size % 2:
        raise UserError(
            f"augment.mixing={method} takes pictures in pairs from the batch of one "
            f"replica, which must be even; received {size}, as train.batch_size is "
            f"{config.train.batch_size} over {replicas} replicas."
        )


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


def make_prepare(config: Config, mean: Sequence[float], info: DatasetInfo) -> Prepare:
    """Returns (number, (epoch, shard, place, record)) -> the augmented example.

    Args:
      config: its data, augment and train sections.
      mean: of the backbone. Padding has it, and is 0 once the model has normalised.
      info: of the data set.
    """
    parse = records.make_parser(info.channels, info.ignore_label, bits=info.bits)
    fill = tuple(mean) if info.channels == 3 else (sum(mean) / 3,) * info.channels
    settings, size = (
        config.augment,
        (config.data.crop_size[0], config.data.crop_size[1]),
    )
    place_crop = _make_place_crop(config, info)

    def prepare(number: tf.Tensor, source: tuple[tf.Tensor, ...]) -> Example:
        own = tf.constant([config.train.seed, 1], tf.int32)
        for part in source[:3]:
            own = augment.fold(own, part)
        example = parse(source[3])
        scaled = _scaled_size(config, tf.shape(example["labels"]), augment.fold(own, 0))
        draw = tf.random.stateless_uniform([], augment.fold(own, 2))
        crop = resampling.Crop(
            size=size,
            scaled=scaled,
            offset=place_crop(augment.fold(own, 1), example["labels"], scaled),
            mirrored=draw < settings.flip,
        )
        if settings.rotation:
            angle = settings.rotation * tf.random.stateless_uniform(
                [], augment.fold(own, 4), -1.0, 1.0
            )
            example = resampling.rotated(example, crop, angle, fill, info.ignore_label)
        else:
            example = resampling.straight(example, crop, fill, info.ignore_label)
        inside = example.pop("inside")
        image = _recolored(settings, example["image"], inside, own)
        return {**example, "image": image, "number": number}

    return prepare


def _scaled_size(config: Config, size: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """The picture's size after the resize to a range, random and input scale."""
    data, settings = config.data, config.augment
    if data.min_resize:
        size = augment.range_size(
            size, data.min_resize, data.max_resize, data.resize_factor
        )
    scale = augment.draw_scale(
        seed, settings.min_scale, settings.max_scale, settings.scale_step
    )
    return augment.scaled_size(size, scale * config.model.input_scale)


def _make_place_crop(config: Config, info: DatasetInfo) -> PlaceCrop:
    """Returns (seed, labels, scaled size) -> row and column of the crop."""
    size = (config.data.crop_size[0], config.data.crop_size[1])
    share = config.augment.class_balanced_crops
    attraction = _attraction(info, config.data.train_split)

    def place(seed: tf.Tensor, labels: tf.Tensor, scaled: tf.Tensor) -> tf.Tensor:
        if not share:
            return augment.draw_offset(seed, scaled, size)
        return tf.cond(
            tf.random.stateless_uniform([], augment.fold(seed, 2)) < share,
            lambda: augment.draw_balanced_offset(
                seed, labels, scaled, size, attraction
            ),
            lambda: augment.draw_offset(seed, scaled, size),
        )

    return place


def _recolored(
    settings: Augment, image: tf.Tensor, inside: tf.Tensor, seed: tf.Tensor
) -> tf.Tensor:
    """The image in other colours, but for the padding: its 0 means nothing."""
    if settings.photometric:
        image = augment.photometric(
            image, inside, augment.fold(seed, 3), settings.photometric
        )
    if settings.blur:
        image = augment.blur(image, inside, augment.fold(seed, 5), settings.blur)
    return image


def _make_finish(
    config: Config, info: DatasetInfo, filenames: bool
) -> Callable[[Example], Example]:
    """Returns the function of a batch that mixes its pictures and drops the rest."""
    settings = config.augment
    keys = ["image", "labels", *(["filename"] if filenames else [])]
    attraction = _attraction(info, config.data.train_split)

    def finish(batch: Example) -> Example:
        if settings.mixing != "none":
            batch = mixing.mix(
                batch,
                batch["number"],
                settings.mixing,
                probability=settings.mixing_probability,
                seed=config.train.seed,
                attraction=attraction,
            )
        return {key: batch[key] for key in keys}

    return finish


def _attraction(info: DatasetInfo, split: str) -> list[float]:
    """How strongly each class is sought: 1 / sqrt(its pixels); alike if not counted."""
    counts = info.split(split).class_pixels or (1,) * info.num_classes
    return [max(count, 1) ** -0.5 for count in counts]


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
        own = augment.fold(tf.constant([seed, 0], tf.int32), epoch)
        shards = tf.random.experimental.stateless_shuffle(tf.range(len(paths)), own)
        dataset = tf.data.Dataset.from_tensor_slices(shards)
        dataset = dataset.interleave(read, cycle_length=_READ_AT_ONCE)

        # Dataset.shuffle would depend on TensorFlow's global seed.
        def permute(number: tf.Tensor, window: Parts) -> Parts:
            size = tf.shape(window[0])[0]
            order = tf.random.experimental.stateless_shuffle(
                tf.range(size), augment.fold(own, number)
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
