"""Losses of regions instead of pixels: soft Dice and Lovasz-softmax.

Both are the mean over the classes that a picture's labels show, summed over pictures.
"""

import tensorflow as tf


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
    the Jaccard loss of the errors before it. Takes one sort of the pixels for each
    class of each picture, and memory for three float32 maps [B, K, H * W].

    Args and returns as those of `dice`.
    """
    truth, probabilities = _maps(logits, labels, valid)
    errors = tf.where(valid[..., None], tf.abs(truth - probabilities), -1.0)
    # Void pixels have the error -1: last in the order, and 0 in the sum.
    truth, errors = _by_class(truth), _by_class(errors)  # [B, K, H * W]
    ordered, order = tf.math.top_k(errors, errors.shape[-1] or tf.shape(errors)[-1])
    sorted_truth = tf.gather(truth, order, batch_dims=2)
    steps = tf.stop_gradient(_jaccard_steps(sorted_truth))
    losses = tf.reduce_sum(tf.nn.relu(ordered) * steps, -1)  # [B, K]
    present = tf.cast(tf.reduce_max(truth, -1) > 0, tf.float32)
    return _sum_and_count(losses, present)


def _maps(
    logits: tf.Tensor, labels: tf.Tensor, valid: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Labels as one map a class, and probabilities; both 0 where void."""
    mask = tf.cast(valid, tf.float32)[..., None]
    truth = tf.one_hot(labels, logits.shape[-1]) * mask
    return truth, tf.nn.softmax(logits) * mask


def _by_class(maps: tf.Tensor) -> tf.Tensor:
    """[B, H, W, K] -> [B, K, H * W]."""
    batch, height, width, classes = maps.shape
    if batch is None or height is None or width is None:
        shape = tf.shape(maps)
        batch, height, width = shape[0], shape[1], shape[2]
    flat = tf.reshape(maps, [batch, height * width, classes])
    return tf.transpose(flat, [0, 2, 1])


def _jaccard_steps(truth: tf.Tensor) -> tf.Tensor:
    """Growth of the Jaccard loss with each pixel taken as an error, [B, K, N]."""
    area = tf.reduce_sum(truth, -1, keepdims=True)
    intersection = area - tf.cumsum(truth, -1)
    union = area + tf.cumsum(1.0 - truth, -1)
    jaccard = 1.0 - tf.math.divide_no_nan(intersection, union)
    before = tf.pad(jaccard[..., :-1], [[0, 0], [0, 0], [1, 0]])
    return jaccard - before


def _sum_and_count(
    losses: tf.Tensor, present: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean over the present classes of each picture [B, K]; sum, pictures."""
    classes = tf.reduce_sum(present, -1)
    of_picture = tf.math.divide_no_nan(tf.reduce_sum(losses * present, -1), classes)
    pictures = tf.reduce_sum(tf.cast(classes > 0, tf.float32))
    return tf.reduce_sum(of_picture), pictures
