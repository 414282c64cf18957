"""Pictures of a batch mixed in pairs: CutMix, ClassMix, copy-paste.

The partner is the neighbour: examples 2 i and 2 i + 1 of a batch give to each other.
What is drawn is a function of the seed and the example's number in the run, so the
result does not depend on how an even batch is spread over devices or resumed.
"""

from collections.abc import Callable, Mapping, Sequence

import tensorflow as tf

from deeplab_tf.data.resampling import Example

_DRAWS = 8  # numbers a method may use, besides one for each class


def mix(
    batch: Example,
    numbers: tf.Tensor,
    method: str,
    *,
    probability: float,
    seed: int,
    attraction: Sequence[float],
) -> Example:
    """Puts parts of each picture's partner into it, with the probability given.

    Args:
      batch: image float32 [B, h, w, C], labels int32 [B, h, w]; other entries stay.
      numbers: int64 [B], of the examples in the run.
      method: a key of METHODS.
      probability: of a picture to receive something.
      seed: of the run.
      attraction: of each class; copy-paste draws the class to paste in proportion.

    Returns:
      The batch. The last of an odd number receives from the one before.
    """
    base = tf.constant([seed, 2], tf.int32)

    def draw(number: tf.Tensor) -> tf.Tensor:
        own = tf.random.experimental.stateless_fold_in(base, number)
        return tf.random.stateless_uniform([_DRAWS + len(attraction)], own)

    draws = tf.map_fn(draw, numbers, fn_output_signature=tf.float32)  # [B, n]
    size = batch["labels"].shape[0]
    partner = [i ^ 1 if i ^ 1 < size else max(i - 1, 0) for i in range(size)]
    image, labels = (tf.gather(batch[key], partner) for key in ("image", "labels"))
    given, image, labels = METHODS[method](image, labels, draws[:, 1:], attraction)
    given &= (draws[:, 0] < probability)[:, None, None]
    return {
        **batch,
        "image": tf.where(given[..., None], image, batch["image"]),
        "labels": tf.where(given, labels, batch["labels"]),
    }


Parts = tuple[tf.Tensor, tf.Tensor, tf.Tensor]  # mask, image, labels of the givers


def cutmix(
    image: tf.Tensor, labels: tf.Tensor, draws: tf.Tensor, attraction: Sequence[float]
) -> Parts:
    """A box of a quarter to a half of the area (French et al. 2020 take a half)."""
    del attraction
    size = tf.constant(list(labels.shape[1:]), tf.float32)  # [2]
    area = 0.25 + 0.25 * draws[:, 0]
    ratio = 2.0 ** (2.0 * draws[:, 1] - 1.0)  # of its height to its width, 1/2..2
    shares = tf.minimum(tf.stack([area * ratio, area / ratio], -1) ** 0.5, 1.0)
    sides = tf.round(shares * size)
    begin = tf.floor(draws[:, 2:4] * (size - sides + 1.0))
    end = begin + sides
    rows, columns = (
        (places >= begin[:, axis, None]) & (places < end[:, axis, None])
        for axis, places in enumerate(
            tf.range(side, dtype=tf.float32) for side in labels.shape[1:]
        )
    )
    return rows[:, :, None] & columns[:, None, :], image, labels


def classmix(
    image: tf.Tensor, labels: tf.Tensor, draws: tf.Tensor, attraction: Sequence[float]
) -> Parts:
    """All pixels of half the giver's classes, rounded up (Olsson et al. 2021)."""
    present = _present(labels, len(attraction))
    order = tf.where(present, draws[:, -len(attraction) :], 2.0)
    rank = tf.argsort(tf.argsort(order, axis=1), axis=1)
    count = tf.reduce_sum(tf.cast(present, tf.int32), 1, keepdims=True)
    return _pixels_of(present & (rank < (count + 1) // 2), labels), image, labels


def copy_paste(
    image: tf.Tensor, labels: tf.Tensor, draws: tf.Tensor, attraction: Sequence[float]
) -> Parts:
    """All pixels of one class of the giver, moved by up to a quarter of each side.

    After Ghiasi et al. 2021, with classes for their objects: what the labels hold.
    """
    weights = tf.where(
        _present(labels, len(attraction)), tf.constant(attraction, tf.float32), 0.0
    )
    sums = tf.cumsum(weights, axis=1)
    target = draws[:, :1] * sums[:, -1:]
    chosen = (sums > target) & (sums - weights <= target) & (weights > 0)
    size = tf.constant(list(labels.shape[1:]), tf.float32)
    shift = tf.cast(tf.round((draws[:, 1:3] - 0.5) * 0.5 * size), tf.int32)  # [B, 2]
    mask, image, labels = (
        _rolled(part, shift) for part in (_pixels_of(chosen, labels), image, labels)
    )
    # What left on one side came back on the other.
    for axis, side in ((1, labels.shape[1]), (2, labels.shape[2])):
        source = tf.range(side) - shift[:, axis - 1, None]  # [B, side]
        mask &= tf.expand_dims((source >= 0) & (source < side), 3 - axis)
    return mask, image, labels


METHODS: Mapping[
    str, Callable[[tf.Tensor, tf.Tensor, tf.Tensor, Sequence[float]], Parts]
] = {"cutmix": cutmix, "classmix": classmix, "copy_paste": copy_paste}


def _present(labels: tf.Tensor, num_classes: int) -> tf.Tensor:
    """Which classes each picture shows, bool [B, K]."""
    flat = tf.reshape(labels, [labels.shape[0], -1])
    return (
        tf.math.bincount(flat, minlength=256, maxlength=256, axis=-1)[:, :num_classes]
        > 0
    )


def _pixels_of(chosen: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """The pixels of the chosen classes [B, K], as bool [B, h, w]; void is in none."""
    others = tf.zeros([chosen.shape[0], 256 - chosen.shape[1]], tf.bool)
    return tf.gather(tf.concat([chosen, others], 1), labels, batch_dims=1)


def _rolled(pictures: tf.Tensor, shift: tf.Tensor) -> tf.Tensor:
    """Each picture moved by its own rows and columns, round the edges."""
    return tf.map_fn(
        lambda pair: tf.roll(pair[0], pair[1], axis=[0, 1]),
        (pictures, shift),
        fn_output_signature=pictures.dtype,
    )
