"""Decodes JPEG and PNG bytes inside a graph, upright and within limits."""

from typing import Any

import tensorflow as tf

_HEAD = 1 << 17  # bytes in which a camera's EXIF segment begins and ends
_ORIENTATION = 0x0112  # EXIF 2.3, section 4.6.4


def decode(
    contents: tf.Tensor, channels: int, max_side: int, max_pixels: int
) -> tf.Tensor:
    """Decodes one picture and turns it as its EXIF orientation says.

    To be called in a tf.function with autograph. The size is checked before the
    pixels are decoded, so that a small file cannot ask for all the memory.

    Args:
      contents: scalar string, a JPEG or PNG file.
      channels: of the result: 1, 3 or 4.
      max_side: longest side allowed, in pixels.
      max_pixels: height * width allowed.

    Returns:
      uint8 [H, W, channels]; JPEG by the accurate transform, as in training.

    Raises:
      InvalidArgumentError, when run: the bytes are no JPEG or PNG, are damaged, or
        the picture is too large.
    """
    is_jpeg = tf.strings.substr(contents, 0, 3) == b"\xff\xd8\xff"
    is_png = tf.strings.substr(contents, 0, 8) == b"\x89PNG\r\n\x1a\n"
    contents = _after(
        contents, is_jpeg | is_png, ["the bytes are neither a JPEG nor a PNG."]
    )
    if is_jpeg:
        size = tf.image.extract_jpeg_shape(contents)[:2]
        orientation = exif_orientation(contents)
    else:
        header = _numbers(tf.strings.substr(contents, 16, 8), 8)
        size = tf.stack([_big_endian(header[4:], 4), _big_endian(header[:4], 4)])
        orientation = 1
    contents = check_size(contents, size, max_side, max_pixels)
    # Reads PNG, too.
    image = tf.io.decode_jpeg(contents, channels, dct_method="INTEGER_ACCURATE")
    return turn(image, orientation)


def check_size(
    value: tf.Tensor, size: tf.Tensor, max_side: int, max_pixels: int | tf.Tensor
) -> tf.Tensor:
    """The value, once its height and width are neither 0 nor too large."""
    sides = tf.cast(size, tf.int64)
    value = _after(
        value,
        tf.reduce_all(sides >= 1),
        ["a picture must not be empty; its size:", sides],
    )
    limits = [
        "a picture may have",
        max_side,
        "pixels a side and",
        max_pixels,
        "in all;",
    ]
    return _after(
        value,
        tf.reduce_all(sides <= max_side) & (tf.reduce_prod(sides) <= max_pixels),
        [*limits, "its size:", sides],
    )


def _after(value: tf.Tensor, condition: tf.Tensor, message: list[Any]) -> tf.Tensor:
    """The value, to be had only where the condition holds.

    What reads it cannot start before: an assertion alone would not hold back the
    decoder from taking the memory of a huge picture.
    """
    assertion = tf.debugging.Assert(condition, message)
    with tf.control_dependencies([assertion] if assertion is not None else []):
        return tf.identity(value)


def turn(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Makes a picture [H, W, C] upright, given its EXIF orientation 1..8."""
    if orientation >= 5:
        image = tf.transpose(image, [1, 0, 2])
    if tf.reduce_any(tf.equal(orientation, [2, 3, 6, 7])):
        image = image[:, ::-1]
    if tf.reduce_any(tf.equal(orientation, [3, 4, 7, 8])):
        image = image[::-1]
    return image


def exif_orientation(contents: tf.Tensor) -> tf.Tensor:
    """Orientation 1..8 of a JPEG; 1 where it says none or its EXIF is damaged."""
    head = _numbers(tf.strings.substr(contents, 0, _HEAD), _HEAD)
    orientation = tf.constant(1)
    at = tf.constant(2)
    # Segments: 0xff, kind, length of the rest in two bytes; 0xda begins the pixels.
    while at < _HEAD - 10 and head[at] == 0xFF and head[at + 1] != 0xDA:
        length = _big_endian(head[at + 2 : at + 4], 2)
        is_exif = tf.strings.substr(contents, at + 4, 6) == b"Exif\0\0"
        if is_exif and head[at + 1] == 0xE1:
            orientation = _tiff_orientation(head[at + 10 : at + 2 + length])
            at = tf.constant(_HEAD)
        else:
            at += 2 + length
    return orientation


def _tiff_orientation(tiff: tf.Tensor) -> tf.Tensor:
    """Looks the tag up in the first directory of a TIFF header, int32 [n]."""
    tiff = tf.pad(tiff, [[0, 16]])
    last = tf.size(tiff) - 1
    is_big_endian = tiff[0] == 0x4D

    def number(at: tf.Tensor, length: int) -> tf.Tensor:
        # Beyond the end: the zeros of the padding.
        places = tf.minimum(at[..., None] + tf.range(length), last)
        parts = tf.gather(tiff, tf.maximum(places, 0))
        parts = tf.where(is_big_endian, parts, parts[..., ::-1])
        return _big_endian(parts, length)

    directory = number(tf.constant(4), 4)
    count = number(directory, 2)
    entries = directory + 2 + 12 * tf.range(count)  # of 12 bytes: tag, ..., value
    values = tf.boolean_mask(
        number(entries + 8, 2), tf.equal(number(entries, 2), _ORIENTATION)
    )
    value = tf.concat([values, [1]], 0)[0]
    return tf.where((value >= 1) & (value <= 8), value, 1)


def _numbers(contents: tf.Tensor, length: int) -> tf.Tensor:
    """The bytes as int32 [length], zeros where there are none."""
    return tf.cast(tf.io.decode_raw(contents, tf.uint8, fixed_length=length), tf.int32)


def _big_endian(parts: tf.Tensor, length: int) -> tf.Tensor:
    """The number that bytes [..., length] stand for."""
    return tf.reduce_sum(parts * [256**i for i in reversed(range(length))], -1)
