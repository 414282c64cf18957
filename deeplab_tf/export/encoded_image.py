"""Decodes JPEG and PNG bytes inside a graph, upright and within limits.

What a stranger sends is looked at twice: its header before anything is decoded, so that
a small file cannot ask for all the memory, and the pixels against the header.
"""

from collections.abc import Sequence

import tensorflow as tf

_HEAD = 1 << 17  # bytes in which a camera's EXIF segment begins and ends
_ORIENTATION = 0x0112  # EXIF 2.3, section 4.6.4
_MAX_SEGMENTS = 64  # of a JPEG, before the pixels; cameras write about ten
_MAX_SCANS = 64  # of a JPEG; progressive ones have about ten, each costs a pass
_PNG = b"\x89PNG\r\n\x1a\n"
_HEADER_CHUNK = b"\0\0\0\rIHDR"  # PNG, section 11.2.1: 13 bytes, the first chunk
_START_OF_SCAN = 0xDA


def header(contents: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """What a file says of itself.

    To be called in a tf.function with autograph.

    Args:
      contents: scalar string, a JPEG or PNG file.

    Returns:
      Upright height and width, int32 [2], and the EXIF orientation 1..8.

    Raises:
      InvalidArgumentError, when run: the bytes are no JPEG or PNG, or such as nobody
        writes who means well.
    """
    is_jpeg = tf.strings.substr(contents, 0, 3) == b"\xff\xd8\xff"
    is_png = tf.strings.substr(contents, 0, 8) == _PNG
    contents = after(
        contents, is_jpeg | is_png, ["the bytes are neither a JPEG nor a PNG."]
    )
    if is_jpeg:
        size = tf.image.extract_jpeg_shape(_few_scans(contents))[:2]
        orientation = exif_orientation(contents)
    else:
        first = tf.strings.substr(contents, 8, 8) == _HEADER_CHUNK
        contents = after(
            contents, first, ["Invalid PNG data: it does not begin with its size."]
        )
        numbers = _numbers(tf.strings.substr(contents, 16, 8), 8)
        size = tf.stack([_big_endian(numbers[4:], 4), _big_endian(numbers[:4], 4)])
        orientation = 1
    return _turned(size, orientation), orientation


def decode(
    contents: tf.Tensor, size: tf.Tensor, orientation: tf.Tensor, channels: int
) -> tf.Tensor:
    """Decodes one picture whose header was found good, and turns it upright.

    Args:
      contents: scalar string, a JPEG or PNG file.
      size: and
      orientation: as `header` gives them.
      channels: of the result: 1, 3 or 4.

    Returns:
      uint8 [H, W, channels]; JPEG by the accurate transform, as in training.

    Raises:
      InvalidArgumentError, when run: the bytes are damaged.
    """
    # Reads PNG, too.
    image = tf.io.decode_jpeg(contents, channels, dct_method="INTEGER_ACCURATE")
    image = turn(image, orientation)
    return after(
        image,
        tf.reduce_all(tf.equal(tf.shape(image)[:2], size)),
        ["the picture is not of the size that its header says:", size],
    )


def check_size(
    value: tf.Tensor,
    sizes: tf.Tensor,
    count: tf.Tensor,
    *,
    max_side: int,
    max_pixels: int,
    least: tuple[int, ...] = (1, 1),
) -> tf.Tensor:
    """The value, once a request of pictures is neither empty nor too large.

    Args:
      value: what is given back.
      sizes: heights and widths of the pictures, [N, 2].
      count: how many pictures are computed at the greatest height and width.
      max_side: longest side allowed, in pixels.
      max_pixels: count * height * width allowed, with the padding of the smaller ones.
      least: height, width to which the network pads smaller pictures.
    """
    sizes = tf.cast(sizes, tf.int64)
    value = after(
        value,
        tf.reduce_all(sizes >= 1),
        ["a picture must not be empty; the sizes:", sizes],
    )
    # With `least`, there is a greatest size where there is no picture, too.
    greatest = tf.reduce_max(tf.concat([sizes, [least]], 0), 0)
    pixels = tf.cast(count, tf.int64) * tf.reduce_prod(greatest)
    limits = ["a picture may have", max_side, "pixels a side, a request"]
    return after(
        value,
        tf.reduce_all(sizes <= max_side) & (pixels <= max_pixels),
        [*limits, max_pixels, "in all, padded to one size; it has", pixels, sizes],
    )


def after(
    value: tf.Tensor, condition: tf.Tensor, message: Sequence[str | tf.Tensor]
) -> tf.Tensor:
    """The value, to be had only where the condition holds.

    What reads it cannot start before: an assertion alone would not hold back the
    decoder from taking the memory of a huge picture.
    """
    assertion = tf.debugging.Assert(condition, message)
    with tf.control_dependencies([assertion] if assertion is not None else []):
        return tf.identity(value)


def _few_scans(contents: tf.Tensor) -> tf.Tensor:
    """The contents, once a JPEG has no more scans than cameras and editors write."""
    numbers = tf.io.decode_raw(contents, tf.uint8)
    # In the pixels' data 0xff is followed by zero or a restart.
    starts = tf.equal(numbers[:-1], 0xFF) & tf.equal(numbers[1:], _START_OF_SCAN)
    count = tf.reduce_sum(tf.cast(starts, tf.int32))
    return after(
        contents, count <= _MAX_SCANS, ["a JPEG may have", _MAX_SCANS, "scans:", count]
    )


def _turned(size: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    return tf.where(orientation >= 5, size[::-1], size)


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
    segments = tf.constant(0)
    # Segments: 0xff, kind, length of the rest in two bytes.
    while (
        segments < _MAX_SEGMENTS
        and at < _HEAD - 10
        and head[at] == 0xFF
        and head[at + 1] != _START_OF_SCAN
    ):
        segments += 1
        length = _big_endian(head[at + 2 : at + 4], 2)
        # Not of the string: beyond its end, the error would quote it, byte for byte.
        is_exif = tf.reduce_all(head[at + 4 : at + 10] == list(b"Exif\0\0"))
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
