"""Losses over the pixels that are not void.

Each term gives a sum and a count, not a mean, so that the mean is taken once, over
the global batch: sum / max(total count, 1). What is summed and counted is said in
each docstring; it never reaches beyond one picture, so the result is the same however
the batch is spread over devices.

Everything has a static shape and is float32 whatever the type of the logits. A void
pixel's gradient is exactly 0, and a batch of nothing but void gives 0.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping

import tensorflow as tf

from deeplab_tf.config import Loss
from deeplab_tf.training.losses import regions
from deeplab_tf.training.losses.hard_pixels import hardest

SumAndCount = tuple[tf.Tensor, tf.Tensor]
LossFunction = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], dict[str, SumAndCount]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pixels:
    """A batch as the terms see it.

    Attributes:
      logits: float32 [B, H, W, K].
      labels: int32 [B, H, W]; 0 where void, so that they index.
      valid: bool [B, H, W], False where void.
      weights: float32 [B, H, W], the weight of the label's class; 0 where void.
      progress: float32 scalar, share of the run done, 0..1.
    """

    logits: tf.Tensor
    labels: tf.Tensor
    valid: tf.Tensor
    weights: tf.Tensor
    progress: tf.Tensor

    @property
    def count(self) -> tf.Tensor:
        """Number of valid pixels, a float32 scalar."""
        return tf.reduce_sum(tf.cast(self.valid, tf.float32))


def make_loss(
    settings: Loss,
    *,
    num_classes: int,
    ignore_label: int,
    class_weights: Iterable[float] | None,
) -> LossFunction:
    """Makes the function from logits and labels to each term's sum and count.

    Args:
      settings: its terms, and what these can be told.
      num_classes: K.
      ignore_label: pixels of this label count nowhere.
      class_weights: K factors on the pixels' losses, those of the label's class;
        None: all 1. Dice and Lovasz weigh classes alike and take none.

    Returns:
      A function of logits float [B, H, W, K], labels int32 [B, H, W] (0..K-1 or
      ignore_label) and progress, a scalar in 0..1, that gives a pair of float32
      scalars for each term. See `total_loss`.
    """
    chosen = {name: LOSSES[name] for name in settings.terms}
    by_class = tuple(class_weights or (1.0,) * num_classes)
    fading = settings.class_weights_end - 1.0

    def loss(
        logits: tf.Tensor, labels: tf.Tensor, progress: tf.Tensor
    ) -> dict[str, SumAndCount]:
        valid = labels != ignore_label
        safe = tf.where(valid, labels, 0)
        progress = tf.cast(progress, tf.float32)
        left = tf.constant(by_class, tf.float32) ** (1.0 + progress * fading)
        weights = tf.gather(left, safe)
        pixels = Pixels(
            logits=tf.cast(logits, tf.float32),
            labels=safe,
            valid=valid,
            weights=tf.where(valid, weights, 0.0),
            progress=progress,
        )
        return {name: term(pixels, settings) for name, term in chosen.items()}

    return loss


def total_loss(
    terms: Mapping[str, SumAndCount], settings: Loss, counts: Iterable[tf.Tensor]
) -> tf.Tensor:
    """What is minimised: each term's factor times its sum over a count, added up.

    Args:
      terms: of a `LossFunction`, in the order of `settings.terms`.
      settings: their factors.
      counts: one for each term, at least 1; where the batch is spread over devices,
        that of all of it.
    """
    of_terms = zip(settings.terms.values(), terms.values(), counts, strict=True)
    return tf.add_n([factor * total / count for factor, (total, _), count in of_terms])


def cross_entropy(pixels: Pixels, settings: Loss) -> SumAndCount:
    """Weighted cross entropy over the number of valid pixels, not of their weights.

    With top_k below 1 each picture keeps its hardest pixels, a share of all its
    pixels, void among them; the count is then that of the kept losses above 0. The
    released code does the same over the pictures of one device.
    """
    losses = pixels.weights * _cross_entropy(pixels, settings)
    if settings.top_k == 1.0:
        return tf.reduce_sum(losses), pixels.count
    done = tf.constant(1.0)
    if settings.top_k_ramp:
        done = tf.minimum(1.0, pixels.progress / settings.top_k_ramp)
    return hardest(losses, 1.0 - done * (1.0 - settings.top_k))


def boundary(pixels: Pixels, settings: Loss) -> SumAndCount:
    """Cross entropy that weighs more near boundaries, over the valid pixels.

    Void counts as a label here: VOC draws the boundaries of its objects in it.
    """
    near = tf.cast(_near_boundary(pixels, settings.boundary_width), tf.float32)
    weights = pixels.weights * (1.0 + settings.boundary_weight * near)
    losses = weights * _cross_entropy(pixels, settings)
    return tf.reduce_sum(losses), pixels.count


def focal(pixels: Pixels, settings: Loss) -> SumAndCount:
    """(1 - p)^gamma * cross entropy (Lin et al. 2017), over the valid pixels."""
    losses = _plain_cross_entropy(pixels)
    # 1 - p; the bound keeps the gradient of a power below 1 finite at p = 1.
    miss = tf.maximum(-tf.math.expm1(-losses), 1e-7)
    losses *= pixels.weights * miss**settings.focal_gamma
    return tf.reduce_sum(losses), pixels.count


def dice(pixels: Pixels, settings: Loss) -> SumAndCount:
    """1 - Dice of a picture, the mean over its classes; summed over the pictures.

    Pictures without a valid pixel are not counted.
    """
    del settings
    return regions.dice(pixels.logits, pixels.labels, pixels.valid)


def lovasz(pixels: Pixels, settings: Loss) -> SumAndCount:
    """Lovasz-softmax of a picture over its classes; summed over the pictures.

    Pictures without a valid pixel are not counted.
    """
    del settings
    return regions.lovasz(pixels.logits, pixels.labels, pixels.valid)


LOSSES: Mapping[str, Callable[[Pixels, Loss], SumAndCount]] = {
    "cross_entropy": cross_entropy,
    "boundary": boundary,
    "focal": focal,
    "dice": dice,
    "lovasz": lovasz,
}


def _plain_cross_entropy(pixels: Pixels) -> tf.Tensor:
    return tf.nn.sparse_softmax_cross_entropy_with_logits(pixels.labels, pixels.logits)


def _cross_entropy(pixels: Pixels, settings: Loss) -> tf.Tensor:
    """Cross entropy [B, H, W], with smoothed labels if so set; not yet masked."""
    losses = _plain_cross_entropy(pixels)
    smoothing = settings.label_smoothing
    if not smoothing:
        return losses
    # Against an even target it is log sum exp minus the mean of the logits.
    even = tf.reduce_logsumexp(pixels.logits, -1) - tf.reduce_mean(pixels.logits, -1)
    return (1.0 - smoothing) * losses + smoothing * even


def _near_boundary(pixels: Pixels, width: int) -> tf.Tensor:
    """Whether another label lies within the square of `width` around, [B, H, W]."""
    labels = tf.where(pixels.valid, pixels.labels, -1)
    labels = tf.cast(labels, tf.float32)[..., None]

    def highest(values: tf.Tensor) -> tf.Tensor:
        return tf.nn.max_pool2d(values, 2 * width + 1, 1, "SAME")

    return (highest(labels) != -highest(-labels))[..., 0]
