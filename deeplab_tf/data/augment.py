"""Random changes to a training example, each a function of its seed alone.

The order is the released code's: random scale, pad below and right, random crop,
flip. Scale, pad and crop are one sampling of the source picture at the pixels of the
crop, so the cost is that of the crop and not of the scaled picture.
"""

import tensorflow as tf

Example = dict[str, tf.Tensor]
Seed = tf.Tensor  # int32 [2]


def fold(seed: Seed, number: tf.Tensor | int) -> Seed:
    """A seed of its own for `number`."""
    return tf.random.experimental.stateless_fold_in(seed, number)


def draw_scale(seed: Seed, low: float, high: float, step: float) -> tf.Tensor:
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


def scaled_crop(
    example: Example,
    seed: Seed,
    scale: tf.Tensor,
    crop_size: tuple[int, int],
    fill: tuple[float, ...],
    ignore_label: int,
) -> Example:
    """Scales by `scale` (align corners), pads below and right, crops at random.

    Args:
      example: image uint8 [H, W, C], labels int32 [H, W].
      seed: of the crop's place.
      scale: factor on both sides; the scaled size is rounded down.
      crop_size: (height, width) of the result in pixels.
      fill: value of the padding in the image, one a channel.
      ignore_label: value of the padding in the labels.

    Returns:
      image float32 [h, w, C], bilinear; labels int32 [h, w], nearest.
    """
    source = tf.shape(example["labels"])  # [H, W]
    scaled = tf.cast(tf.cast(source, tf.float32) * scale, tf.int32)
    scaled = tf.maximum(scaled, 1)
    crop = tf.constant(crop_size)
    room = tf.maximum(scaled - crop, 0) + 1
    offset = tf.cast(
        tf.random.stateless_uniform([2], seed) * tf.cast(room, tf.float32), tf.int32
    )
    offset = tf.minimum(offset, room - 1)
    image, labels = _sample(example, source, scaled, offset, crop_size)
    inside = _inside(scaled - offset, crop_size)  # [h, w]
    return {
        **example,
        "image": tf.where(inside[..., None], image, tf.constant(fill, tf.float32)),
        "labels": tf.where(inside, labels, ignore_label),
    }


def _inside(extent: tf.Tensor, crop_size: tuple[int, int]) -> tf.Tensor:
    rows = tf.range(crop_size[0]) < extent[0]
    columns = tf.range(crop_size[1]) < extent[1]
    return rows[:, None] & columns[None, :]


def _sample(
    example: Example,
    source: tf.Tensor,
    scaled: tf.Tensor,
    offset: tf.Tensor,
    crop_size: tuple[int, int],
) -> tuple[tf.Tensor, tf.Tensor]:
    """Samples the source at the pixels of the crop of the scaled picture.

    Pixel i of the scaled picture lies at i * (source - 1) / (scaled - 1) of the
    source: CropAndResize counts in the same way, with the box in units of
    source - 1. One repeated row and column behind the picture keep its last pixels
    from falling outside by a rounding error.
    """
    last = tf.cast(tf.maximum(scaled - 1, 1), tf.float32)
    # The box is given in units of the padded picture's last index, source.
    unit = tf.cast(source - 1, tf.float32) / tf.cast(source, tf.float32) / last
    begin = tf.cast(offset, tf.float32) * unit
    end = tf.cast(offset + tf.constant(crop_size) - 1, tf.float32) * unit
    box = tf.concat([begin, end], 0)[None]

    def resample(picture: tf.Tensor, method: str) -> tf.Tensor:
        padded = tf.pad(picture, [[0, 1], [0, 1], [0, 0]], "SYMMETRIC")
        return tf.image.crop_and_resize(padded[None], box, [0], crop_size, method)[0]

    image = resample(example["image"], "bilinear")
    # float32 holds every label up to 2^24 exactly.
    labels = resample(example["labels"][..., None], "nearest")[..., 0]
    image.set_shape([*crop_size, example["image"].shape[-1]])
    return image, tf.cast(labels, tf.int32)


def flip(example: Example, seed: Seed, probability: float) -> Example:
    """Mirrors left and right with the probability given."""
    mirrored = tf.random.stateless_uniform([], seed) < probability
    return {
        **example,
        "image": tf.where(mirrored, example["image"][:, ::-1], example["image"]),
        "labels": tf.where(mirrored, example["labels"][:, ::-1], example["labels"]),
    }


def photometric(example: Example, seed: Seed, strength: float) -> Example:
    """Changes brightness, contrast and saturation of an RGB picture in [0, 255].

    Strength 1 draws brightness from +-32, contrast and saturation from factors of
    0.5 to 1.5, as the distortion of SSD (Liu et al. 2016); less draws less far.
    """
    draws = tf.random.stateless_uniform([3], seed, -strength, strength)
    image = example["image"] + 32.0 * draws[0]
    mean = tf.reduce_mean(image, axis=[0, 1], keepdims=True)
    image = mean + (image - mean) * (1.0 + 0.5 * draws[1])
    grey = tf.reduce_mean(image, axis=-1, keepdims=True)
    image = grey + (image - grey) * (1.0 + 0.5 * draws[2])
    return {**example, "image": tf.clip_by_value(image, 0.0, 255.0)}
