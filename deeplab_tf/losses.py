"""Losses over the pixels that are not void.

Each loss gives sums, not means, so that the mean is taken once, over the pixels of
the global batch: devices whose crops hold more void then weigh less, and the result
is the same however the batch is spread.
"""

from collections.abc import Callable, Mapping

import tensorflow as tf


def cross_entropy(
    logits: tf.Tensor, labels: tf.Tensor, ignore_label: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Cross entropy, summed over the valid pixels.

    Args:
      logits: float [B, H, W, K]; computed in float32 whatever their type.
      labels: int32 [B, H, W], 0..K-1 or ignore_label.
      ignore_label: pixels of this label count nowhere; their gradient is exactly 0.

    Returns:
      The sum and the number of valid pixels, both float32 scalars.
    """
    valid = labels != ignore_label  # [B, H, W]
    per_pixel = tf.nn.sparse_softmax_cross_entropy_with_logits(
        labels=tf.where(valid, labels, 0), logits=tf.cast(logits, tf.float32)
    )
    total = tf.reduce_sum(tf.where(valid, per_pixel, 0.0))
    return total, tf.reduce_sum(tf.cast(valid, tf.float32))


Loss = Callable[[tf.Tensor, tf.Tensor, int], tuple[tf.Tensor, tf.Tensor]]
LOSSES: Mapping[str, Loss] = {"cross_entropy": cross_entropy}
