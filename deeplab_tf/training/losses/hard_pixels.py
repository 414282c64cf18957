"""The hardest pixels of a picture, found without sorting.

`tf.math.top_k` sorts and wants a number that is known when the graph is built; here
the number may follow the training's progress, shapes are static and each of the 31
passes only counts, so this runs on every kind of device.
"""

import tensorflow as tf


def hardest(losses: tf.Tensor, share: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Sum of the largest losses of each picture, and how many of them are above 0.

    Where losses equal to the smallest one kept are too many, each counts in part, so
    that the sum is that of the picked ones whichever are picked.

    Args:
      losses: float32 [B, H, W], at least 0.
      share: scalar in 0..1; of the H * W pixels of a picture, rounded down.

    Returns:
      The sum over all pictures and the number, both float32 scalars.
    """
    size = tf.size(losses[0], tf.int32)
    # Rounded down, but not where only the share's own rounding asks for it.
    kept = tf.cast(tf.cast(size, tf.float32) * share + 1e-3, tf.int32)
    least = tf.stop_gradient(_order_statistic(losses, kept))
    above, equal = losses > least, losses == least
    room = tf.cast(kept, tf.float32) - _count(above)
    part = tf.math.divide_no_nan(room, _count(equal))
    chosen = tf.where(above, 1.0, tf.where(equal, part, 0.0))
    count = tf.minimum(tf.cast(kept, tf.float32), _count(losses > 0.0))
    return tf.reduce_sum(losses * chosen), tf.reduce_sum(count)


def _order_statistic(losses: tf.Tensor, rank: tf.Tensor) -> tf.Tensor:
    """The loss of that rank (1: the largest) in each picture, [B, 1, 1].

    The bits of floats that are not negative are ordered as the floats themselves,
    so the bits of the answer can be found from the highest down.
    """
    bits = tf.bitcast(tf.maximum(losses, 0.0), tf.int32)
    found = tf.zeros_like(bits[:, :1, :1])
    for place in range(30, -1, -1):
        trial = found + 2**place
        enough = tf.reduce_sum(
            tf.cast(bits >= trial, tf.int32), axis=[1, 2], keepdims=True
        )
        found = tf.where(enough >= rank, trial, found)
    return tf.bitcast(found, tf.float32)


def _count(mask: tf.Tensor) -> tf.Tensor:
    """Number of True in each picture, float32 [B, 1, 1]."""
    return tf.reduce_sum(tf.cast(mask, tf.float32), axis=[1, 2], keepdims=True)
