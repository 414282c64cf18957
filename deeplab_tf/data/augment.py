"""Random changes to a training example, each a function of its seed alone.

The order is the released code's: resize to a range, random scale, pad below and
right, random crop, flip. `resampling` does all of that at once.
"""

import math
from collections.abc import Sequence

import tensorflow as tf

_LABELS = 256


def fold(seed: tf.Tensor, number: tf.Tensor | int) -> tf.Tensor:
    """A seed of its own for `number`; seeds are int32 [2] everywhere here."""
    return tf.random.experimental.stateless_fold_in(seed, number)


def draw_scale(seed: tf.Tensor, low: float, high: float, step: float) -> tf.Tensor:
    """A factor from low, low + step, ..., high; from the whole range if step is 0."""
    if step == 0 or low == high:
        return tf.random.stateless_uniform([], seed, low, high)
    factors = tf.constant(_factors(low, high, step))
    choice = tf.random.stateless_uniform(
        [], seed, 0, len(_factors(low, high, step)), tf.int32
    )
    return factors[choice]


def _factors(low: float, high: float, step: float) -> list[float]:
    count = round((high - low) / step) + 1
    return [low + (high - low) * i / (count - 1) for i in range(count)]


def range_size(size: tf.Tensor, low: int, high: int, factor: int) -> tf.Tensor:
    """The size at which a picture is trained, as in the released code.

    The short side becomes `low`, unless that makes the long side more than `high`,
    which it then becomes; sides are rounded down, and then up to the next
    k * factor + 1. `high` is first lowered to such a number.

    Args:
      size: int32 [2], height and width.
      low: pixels.
      high: pixels; 0: no limit.
      factor: 0: none.

    Returns:
      int32 [2].
    """
    sides = tf.cast(size, tf.float32)
    # Scaled by whole numbers before the division, exact sizes stay exact.
    result = tf.floor(sides * float(low) / tf.reduce_min(sides))
    if high:
        limit = high - (high - 1) % factor if factor else high
        smaller = tf.floor(sides * float(limit) / tf.reduce_max(sides))
        result = tf.where(tf.reduce_max(result) > float(limit), smaller, result)
    rounded = tf.maximum(tf.cast(result, tf.int32), 1)
    if factor:
        rounded += (1 - rounded) % factor
    return rounded


def scaled_size(size: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """Both sides times the scale, rounded down; int32 [2]."""
    return tf.maximum(tf.cast(tf.cast(size, tf.float32) * scale, tf.int32), 1)


def draw_offset(seed: tf.Tensor, scaled: tf.Tensor, crop: tuple[int, int]) -> tf.Tensor:
    """Row and column of a crop anywhere in the scaled picture, int32 [2]."""
    room = tf.maximum(scaled - crop, 0)
    return _draw_between(seed, tf.zeros_like(room), room)


def draw_balanced_offset(
    seed: tf.Tensor,
    labels: tf.Tensor,
    scaled: tf.Tensor,
    crop: tuple[int, int],
    attraction: Sequence[float],
) -> tf.Tensor:
    """Row and column of a crop that holds a pixel of a drawn class.

    Of the classes in the picture one is drawn in proportion to its attraction, of its
    pixels one at random, and of the crops around that one at random. A picture of
    nothing but void is cropped anywhere.

    Args:
      labels: int32 [H, W], of the source picture, in 0..255.
      scaled: int32 [2], size of the scaled picture.
      crop: height and width.
      attraction: of each class; other labels have none.
    """
    flat = tf.reshape(labels, [-1])
    counts = tf.math.bincount(flat, minlength=_LABELS, maxlength=_LABELS)
    drawn = tf.constant([*attraction, *[0.0] * (_LABELS - len(attraction))])
    sums = tf.cumsum(tf.where(counts > 0, drawn, 0.0))
    draws = tf.random.stateless_uniform([2], fold(seed, 0))

    def around_a_pixel() -> tf.Tensor:
        label = tf.searchsorted(sums, draws[:1] * sums[-1], "right")[0]
        places = tf.where(flat == label)[:, 0]
        last = tf.shape(places)[0] - 1
        chosen = tf.cast(draws[1] * tf.cast(last + 1, tf.float32), tf.int32)
        place = tf.cast(places[tf.minimum(chosen, last)], tf.int32)
        width = tf.shape(labels)[1]
        pixel = tf.stack([place // width, place % width])
        step = tf.cast(scaled - 1, tf.float32) / tf.cast(
            tf.maximum(tf.shape(labels) - 1, 1), tf.float32
        )
        position = tf.cast(tf.round(tf.cast(pixel, tf.float32) * step), tf.int32)
        room = tf.maximum(scaled - crop, 0)
        low = tf.maximum(position - crop + 1, 0)
        return _draw_between(fold(seed, 1), low, tf.minimum(position, room))

    return tf.cond(
        sums[-1] > 0, around_a_pixel, lambda: draw_offset(fold(seed, 1), scaled, crop)
    )


def _draw_between(seed: tf.Tensor, low: tf.Tensor, high: tf.Tensor) -> tf.Tensor:
    """Whole numbers low..high, both among them; int32 [2]."""
    count = tf.cast(high - low + 1, tf.float32)
    drawn = tf.cast(tf.random.stateless_uniform([2], seed) * count, tf.int32)
    return tf.minimum(low + drawn, high)


def photometric(
    image: tf.Tensor, inside: tf.Tensor, seed: tf.Tensor, strength: float
) -> tf.Tensor:
    """Changes brightness, contrast and saturation of a picture in [0, 255].

    Strength 1 draws brightness from +-32, contrast and saturation from factors of
    0.5 to 1.5, as the distortion of SSD (Liu et al. 2016); less draws less far. All
    three are linear in the channels, so they are one small matrix product. Padding is
    not changed and does not count in the mean that contrast is about.

    Args:
      image: float32 [h, w, C].
      inside: float32 [h, w, 1], how much of each pixel is the picture's; the rest is
        padding.
      seed: of this example.
      strength: in 0..1.
    """
    draws = tf.random.stateless_uniform([3], seed, -strength, strength)
    brightness, contrast = 32.0 * draws[0], 1.0 + 0.5 * draws[1]
    saturation = 1.0 + 0.5 * draws[2]
    channels = image.shape[-1]
    grey = tf.fill([channels, channels], (1.0 - saturation) / channels)
    mixture = saturation * tf.eye(channels) + grey
    weight = tf.maximum(tf.reduce_sum(inside), 1.0)
    mean = tf.reduce_sum(image * inside, axis=[0, 1])[None] / weight  # [1, C]
    shift = ((1.0 - contrast) * mean + brightness) @ mixture
    flat = tf.reshape(image, [-1, channels]) @ (contrast * mixture) + shift
    changed = tf.reshape(tf.clip_by_value(flat, 0.0, 255.0), image.shape)
    return inside * changed + (1.0 - inside) * image


def blur(
    image: tf.Tensor, inside: tf.Tensor, seed: tf.Tensor, largest: float
) -> tf.Tensor:
    """Gaussian blur, its standard deviation drawn from 0 to `largest` pixels.

    Picture and padding do not run into each other.

    Args:
      image, inside, seed: as those of `photometric`.
      largest: at least 0.
    """
    radius = max(1, math.ceil(3 * largest))
    deviation = tf.random.stateless_uniform([], seed, 1e-3, max(largest, 1e-3))
    places = tf.range(-radius, radius + 1, dtype=tf.float32)
    taps = tf.exp(-0.5 * (places / deviation) ** 2)
    taps = (taps / tf.reduce_sum(taps))[:, None, None, None]
    # The share of the picture under the kernel is blurred as one more channel.
    shares = tf.concat([image * inside, inside], -1)
    kernel = tf.tile(taps, [1, 1, shares.shape[-1], 1])  # [2 radius + 1, 1, C + 1, 1]
    rows, columns = (_with_edges(side, radius) for side in image.shape[:2])
    padded = tf.gather(tf.gather(shares, rows), columns, axis=1)[None]
    down = tf.nn.depthwise_conv2d(padded, kernel, [1, 1, 1, 1], "VALID")
    across = tf.transpose(kernel, [1, 0, 2, 3])
    sums = tf.nn.depthwise_conv2d(down, across, [1, 1, 1, 1], "VALID")[0]
    blurred = tf.math.divide_no_nan(sums[..., :-1], sums[..., -1:])
    return inside * blurred + (1.0 - inside) * image


def _with_edges(side: int, radius: int) -> tf.Tensor:
    """0..side-1 with the first and last repeated, for pictures narrower than that."""
    return tf.clip_by_value(tf.range(-radius, side + radius), 0, side - 1)
