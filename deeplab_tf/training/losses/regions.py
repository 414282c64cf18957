"""Losses of regions instead of pixels: soft Dice and Lovasz-softmax.

Both are the mean over the classes that a picture's labels show, summed over pictures.
"""

import tensorflow as tf

_BINS = 2**14


def dice(
    logits: tf.Tensor, labels: tf.Tensor, valid: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """1 - 2 sum(p g) / (sum p + sum g), as Sudre et al. 2017 without their weights.

    Args:
      logits: float32 [B, H, W, K].
      labels: int32 [B, H, W], 0..K-1.
      valid: bool [B, H, W].

    Returns:
      The sum over the pictures and the number of pictures with a valid pixel.
    """
    truth, probabilities = _maps(logits, labels, valid)  # [B, H, W, K] both
    hits = tf.reduce_sum(truth * probabilities, [1, 2])  # [B, K]
    area = tf.reduce_sum(truth, [1, 2])
    both = area + tf.reduce_sum(probabilities, [1, 2])
    present = tf.cast(area > 0, tf.float32)
    return _sum_and_count(1.0 - tf.math.divide_no_nan(2.0 * hits, both), present)


def lovasz(
    logits: tf.Tensor, labels: tf.Tensor, valid: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Lovasz-softmax (Berman et al. 2018), per picture, over the classes in it.

    The errors |g - p| of a class, largest first, are weighted by what each adds to
    the Jaccard loss of the errors before it. Errors are counted in bins instead of
    sorted, which is five times quicker on a CPU: those of one bin share what they add,
    so the loss is right to the width of a bin, 1 / 16384.

    Args and returns as those of `dice`.
    """
    truth, probabilities = _maps(logits, labels, valid)
    errors = tf.abs(truth - probabilities)
    # Void pixels have the error 0: they are counted last, where they change nothing.
    place, shape = _bins(errors, truth)
    counts = tf.math.unsorted_segment_sum(
        tf.ones_like(errors), place, tf.reduce_prod(shape)
    )
    steps = _jaccard_steps(tf.reshape(counts, shape))
    steps = tf.stop_gradient(tf.gather(tf.reshape(steps, [-1]), place))
    losses = tf.reduce_sum(errors * steps, [1, 2])  # [B, K]
    present = tf.cast(tf.reduce_max(truth, [1, 2]) > 0, tf.float32)
    return _sum_and_count(losses, present)


def _bins(errors: tf.Tensor, truth: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Where each error [B, H, W, K] is counted, and the shape of the counts.

    Returns:
      int32 [B, H, W, K], and [B, K, bins, 2]: the largest errors first; the pixels of
      other classes, and those of the class.
    """
    batch, classes = tf.shape(errors)[0], tf.shape(errors)[3]
    falling = _BINS - 1 - tf.cast(errors * _BINS, tf.int32)
    rows = tf.range(batch)[:, None, None, None] * classes + tf.range(classes)
    # Clipped: 1 is in the first bin, and so is what is not finite.
    place = rows * _BINS + tf.clip_by_value(falling, 0, _BINS - 1)
    return 2 * place + tf.cast(truth, tf.int32), tf.stack([batch, classes, _BINS, 2])


def _maps(
    logits: tf.Tensor, labels: tf.Tensor, valid: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Labels as one map a class, and probabilities; both 0 where void."""
    mask = tf.cast(valid, tf.float32)[..., None]
    truth = tf.one_hot(labels, logits.shape[-1]) * mask
    return truth, tf.nn.softmax(logits) * mask


def _jaccard_steps(counts: tf.Tensor) -> tf.Tensor:
    """What a pixel of a bin adds to the Jaccard loss when it is taken as an error.

    The bin's pixels of the class come before the others, or after them: the mean of
    both, in which the two kinds keep their different steps.

    Args and returns: float32 [B, K, bins, 2].
    """
    misses, hits = tf.unstack(counts, axis=-1)
    area = tf.reduce_sum(hits, -1, keepdims=True)
    intersection = area - tf.cumsum(hits, -1)
    union = area + tf.cumsum(misses, -1)
    jaccard = 1.0 - tf.math.divide_no_nan(intersection, union)
    before = tf.pad(jaccard[..., :-1], [[0, 0], [0, 0], [1, 0]])
    of_hit = tf.math.divide_no_nan(0.5, union) + tf.math.divide_no_nan(
        0.5, union - misses
    )
    of_miss = tf.math.divide_no_nan(jaccard - before - hits * of_hit, misses)
    return tf.stack([of_miss, of_hit], -1)


def _sum_and_count(
    losses: tf.Tensor, present: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean over the present classes of each picture [B, K]; sum, pictures."""
    classes = tf.reduce_sum(present, -1)
    of_picture = tf.math.divide_no_nan(tf.reduce_sum(losses * present, -1), classes)
    pictures = tf.reduce_sum(tf.cast(classes > 0, tf.float32))
    return tf.reduce_sum(of_picture), pictures
