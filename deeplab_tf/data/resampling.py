"""Scale, rotate, crop and mirror as one sampling of the source picture.

So the cost is that of the crop and not of the scaled picture, and each pixel is
interpolated once. Pixel i of the scaled picture lies at i * (source - 1) /
(scaled - 1) of the source: corners stay corners.
"""

import dataclasses
import math

import tensorflow as tf

Example = dict[str, tf.Tensor]

# The kernel of CropAndResize computes places in float32; those of the outermost
# pixels would fall beside the picture by a rounding error. As a share of the picture
# this is 1/2000 of a pixel in one of 2000.
_NUDGE = 2.0**-22


@dataclasses.dataclass(frozen=True, kw_only=True)
class Crop:
    """What is sampled.

    Attributes:
      size: (height, width) of the crop in pixels.
      scaled: int32 [2], height and width of the scaled picture.
      offset: int32 [2], row and column of the crop in it; what of the crop lies
        beyond the picture, below and to the right, is padding.
      mirrored: bool scalar; the crop is mirrored with its padding.
    """

    size: tuple[int, int]
    scaled: tf.Tensor
    offset: tf.Tensor
    mirrored: tf.Tensor


def straight(
    example: Example, crop: Crop, fill: tuple[float, ...], ignore_label: int
) -> Example:
    """The crop of the scaled picture.

    Args:
      example: image uint8 or float32 [H, W, C], labels int32 [H, W].
      crop: its size and place.
      fill: value of the padding in the image, one a channel.
      ignore_label: value of the padding in the labels.

    Returns:
      image float32 [h, w, C], bilinear; labels int32 [h, w], nearest; inside float32
      [h, w, 1], how much of each pixel is the picture's: 1, and 0 in the padding.
    """
    extent = tf.minimum(crop.scaled - crop.offset, crop.size)  # inside the picture
    unit = 1.0 / tf.cast(tf.maximum(crop.scaled - 1, 1), tf.float32)
    begin = tf.cast(crop.offset, tf.float32) * unit
    end = tf.cast(crop.offset + extent - 1, tf.float32) * unit
    box = tf.stack([begin, end])  # [2, 2]: first and last place, (y, x) each
    swapped = tf.stack([box[:, 0], box[::-1, 1]], axis=1)
    box = tf.reshape(tf.where(crop.mirrored, swapped, box), [1, 4])
    box = tf.clip_by_value(box, _NUDGE, 1.0 - _NUDGE)

    missing = tf.constant(crop.size) - extent
    left = tf.where(crop.mirrored, missing[1], 0)
    padding = [[0, missing[0]], [left, missing[1] - left], [0, 0]]

    def resample(picture: tf.Tensor, method: str) -> tf.Tensor:
        return tf.image.crop_and_resize(picture[None], box, [0], extent, method)[0]

    image = _padded(resample(example["image"], "bilinear"), padding, fill)
    image.set_shape([*crop.size, example["image"].shape[-1]])
    # float32 holds every label up to 2^24 exactly.
    labels = tf.cast(resample(example["labels"][..., None], "nearest"), tf.int32)
    labels = tf.pad(labels, padding, constant_values=ignore_label)[..., 0]
    labels.set_shape(crop.size)
    inside = tf.pad(tf.ones(tf.concat([extent, [1]], 0)), padding)
    inside.set_shape([*crop.size, 1])
    return {**example, "image": image, "labels": labels, "inside": inside}


def rotated(
    example: Example,
    crop: Crop,
    angle: tf.Tensor,
    fill: tuple[float, ...],
    ignore_label: int,
) -> Example:
    """The crop of the scaled picture turned about the crop's centre.

    Slower than `straight`, which it equals at angle 0. Pixels on the picture's edge mix
    it with the padding.

    Args:
      angle: in degrees, anticlockwise.
      others: as those of `straight`.
    """
    radians = angle * (math.pi / 180.0)
    cosine, sine = tf.cos(radians), tf.sin(radians)
    middle_y, middle_x = (crop.size[0] - 1) / 2.0, (crop.size[1] - 1) / 2.0
    unit = tf.cast(tf.shape(example["labels"]) - 1, tf.float32) / tf.cast(
        tf.maximum(crop.scaled - 1, 1), tf.float32
    )
    centre = tf.cast(crop.offset, tf.float32) + tf.constant([middle_y, middle_x])
    sign = tf.where(crop.mirrored, -1.0, 1.0)  # of the crop's columns
    # Place in the source of the crop's pixel (x, y): rows of [x, y, 1].
    along_x = [sign * cosine, -sine]
    along_y = [sign * sine, cosine]
    transform = [
        *(unit[1] * factor for factor in along_x),
        unit[1] * (centre[1] - along_x[0] * middle_x - along_x[1] * middle_y),
        *(unit[0] * factor for factor in along_y),
        unit[0] * (centre[0] - along_y[0] * middle_x - along_y[1] * middle_y),
        0.0,
        0.0,
    ]

    def resample(picture: tf.Tensor, method: str, beside: float) -> tf.Tensor:
        return tf.raw_ops.ImageProjectiveTransformV3(
            images=picture[None],
            transforms=tf.stack(transform)[None],
            output_shape=crop.size,
            interpolation=method,
            fill_mode="CONSTANT",
            fill_value=beside,
        )[0]

    # One value fills all channels, so the picture is sampled relative to the fill.
    image = tf.cast(example["image"], tf.float32) - tf.constant(fill)
    image = resample(image, "BILINEAR", 0.0) + tf.constant(fill)
    labels = resample(example["labels"][..., None], "NEAREST", float(ignore_label))
    everywhere = tf.ones_like(example["labels"], tf.float32)[..., None]
    inside = resample(everywhere, "BILINEAR", 0.0)
    return {**example, "image": image, "labels": labels[..., 0], "inside": inside}


def _padded(image: tf.Tensor, padding: object, fill: tuple[float, ...]) -> tf.Tensor:
    if len(set(fill)) == 1:
        return tf.pad(image, padding, constant_values=fill[0])
    values = tf.constant(fill)
    return tf.pad(image - values, padding) + values
