"""One example as a tf.train.Example: the only file that knows its keys.

The keys are those of the released DeepLab code, so its readers, Model Garden's and
deeplab2's understand what is written here, and this project trains on their shards.
Importing this file loads no TensorFlow, which only the parser needs.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from deeplab_tf.errors import UserError

if TYPE_CHECKING:
    import tensorflow as tf

IMAGE = "image/encoded"
FILENAME = "image/filename"
FORMAT = "image/format"
HEIGHT = "image/height"
WIDTH = "image/width"
CHANNELS = "image/channels"
LABEL = "image/segmentation/class/encoded"
LABEL_FORMAT = "image/segmentation/class/format"

IMAGE_FILE_CHANNELS = (1, 3, 4)  # what a JPEG or PNG holds
_VARINT_BITS = 70  # ten bytes hold the longest, of 64 bits
_NO_LABEL = "the label is no grey PNG of 8 bits; convert the pictures again"
PIXEL_TYPES = {8: "<u1", 16: "<u2", 32: "<f4"}  # of raw buffers, by their bits
Parser = Callable[["tf.Tensor"], dict[str, "tf.Tensor"]]
Part = Any  # of a message: a memoryview, or an integer, which has no bytes


def is_raw(channels: int, bits: int) -> bool:
    """Whether such pictures are stored as buffers, for no picture file holds them."""
    return channels not in IMAGE_FILE_CHANNELS or bits == 32


def encode_example(
    *,
    filename: str,
    image: bytes,
    image_format: str,
    size: tuple[int, int],
    channels: int,
    label: bytes | None,
) -> bytes:
    """Serialises one example, the same bytes for the same arguments.

    Args:
      filename: the picture's name in its data set, without folder and ending.
      image: an encoded JPEG or PNG; or, where `is_raw`, the buffer [H, W, C], little
        endian.
      image_format: "jpeg", "png" or "raw".
      size: height and width in pixels.
      channels: of the picture as training shall read it.
      label: a single-channel PNG of 8 bits, each pixel its class; None in a split
        without labels.
    """
    features: dict[str, bytes | int] = {
        IMAGE: image,
        FILENAME: filename.encode(),
        FORMAT: image_format.encode(),
        HEIGHT: size[0],
        WIDTH: size[1],
        CHANNELS: channels,
    }
    if label is not None:
        features |= {LABEL: label, LABEL_FORMAT: b"png"}
    entries = (
        _field(1, _field(1, key.encode()) + _field(2, _feature(features[key])))
        for key in sorted(features)
    )
    return _field(1, b"".join(entries))


def decode_example(serialized: bytes) -> dict[str, bytes | int]:
    """The features of an example by key: the first value of each; floats are left out.

    Raises:
      UserError: the bytes are no tf.train.Example.
    """
    try:
        return {
            key: value
            for number, features in _fields(serialized)
            if number == 1
            for entry in _entries(features)
            for key, value in _entry(entry)
        }
    except (LookupError, TypeError, AttributeError, UnicodeDecodeError):
        raise UserError("a record holds no tf.train.Example.") from None


def name_of(example: Mapping[str, Any]) -> str:
    """The file name that an example of `decode_example` or of a parser holds.

    Of names that others wrote, what is not UTF-8 is marked.
    """
    name = example.get(FILENAME, example.get("filename", b""))
    stored = name.numpy() if hasattr(name, "numpy") else name
    return stored.decode(errors="replace") if isinstance(stored, bytes) else ""


def make_parser(
    channels: int = 3, ignore_label: int = 255, has_labels: bool = True, bits: int = 8
) -> Parser:
    """Makes the map function from a serialised example to tensors.

    Args:
      channels: of the pictures; a JPEG or PNG of another number is converted.
      ignore_label: fills the labels of a split without labels.
      has_labels: whether an example must hold a label.
      bits: 8; 16 for 16-bit PNG or raw buffers; 32 for raw buffers of float32 in
        [0, 255].

    Returns:
      A function of a scalar string that gives "image": uint8 [H, W, channels], or
      float32 in [0, 255] where bits is more than 8; "labels": int32 [H, W]; "filename":
      scalar string.
    """
    import tensorflow as tf

    text = tf.io.FixedLenFeature([], tf.string)
    keys: dict[str, tf.io.FixedLenFeature] = {
        IMAGE: text,
        FILENAME: tf.io.FixedLenFeature([], tf.string, default_value=""),
    }
    if has_labels:
        keys[LABEL] = text
    if is_raw(channels, bits):
        keys |= {key: tf.io.FixedLenFeature([], tf.int64) for key in (HEIGHT, WIDTH)}

    def parse(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        example = tf.io.parse_single_example(serialized, keys)
        image = _decode_image(example, channels, bits)
        if has_labels:
            label = example[LABEL]
            # Depth and colour type of a PNG: other labels would be read as colours.
            kind = tf.strings.substr(label, 24, 2)
            is_label = tf.debugging.Assert(kind == b"\x08\x00", [_NO_LABEL])
            with tf.control_dependencies([is_label]):
                labels = tf.io.decode_png(label, channels=1)[:, :, 0]
        else:
            labels = tf.fill(tf.shape(image)[:2], ignore_label)
        return {
            "image": image,
            "labels": tf.cast(labels, tf.int32),
            "filename": example[FILENAME],
        }

    return parse


def _decode_image(
    example: Mapping[str, "tf.Tensor"], channels: int, bits: int
) -> "tf.Tensor":
    """The image of a parsed example, as make_parser's function gives it."""
    import tensorflow as tf

    dtype = {8: tf.uint8, 16: tf.uint16, 32: tf.float32}[bits]
    if is_raw(channels, bits):
        image = tf.io.decode_raw(example[IMAGE], dtype)
        image = tf.reshape(image, [example[HEIGHT], example[WIDTH], channels])
    elif bits == 16:
        image = tf.io.decode_png(example[IMAGE], channels, dtype)
    else:
        # Decodes PNG too. The accurate transform is the one that Pillow and the
        # conversion's checks use; TensorFlow's own default is the fast one.
        image = tf.io.decode_jpeg(
            example[IMAGE], channels, dct_method="INTEGER_ACCURATE"
        )
    return tf.cast(image, tf.float32) / 257.0 if bits == 16 else image


def _feature(value: bytes | int) -> bytes:
    """A tf.train.Feature of one byte string or one integer."""
    if isinstance(value, bytes):
        return _field(1, _field(1, value))
    return _field(3, _field(1, _varint(value)))


def _field(number: int, content: bytes) -> bytes:
    """A length-delimited field of a protocol buffer."""
    return bytes([number << 3 | 2]) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; the high bit says that more follow."""
    head = bytearray()
    while value > 0x7F:
        head.append(value & 0x7F | 0x80)
        value >>= 7
    head.append(value)
    return bytes(head)


def _entries(features: Part) -> Iterator[Part]:
    """The entries of the map of features; TensorFlow's parser wants nothing else."""
    for number, entry in _fields(features):
        if number != 1:
            raise IndexError
        yield entry


def _entry(entry: Part) -> Iterator[tuple[str, bytes | int]]:
    """Yields key and first value of one entry of the map of features."""
    parts = dict(_fields(entry))
    if not parts.keys() <= {1, 2}:
        raise IndexError
    # Of a wrong kind, a part is an integer, which has no bytes.
    key = parts[1].tobytes().decode()
    for kind, values in _fields(parts.get(2, b"")):
        for number, value in _fields(values):
            if kind == 1 and number == 1:
                yield key, value.tobytes()
            elif kind == 3:
                integer = value if isinstance(value, int) else _read_varint(value, 0)[0]
                yield key, integer
            break


def _fields(message: Part) -> Iterator[tuple[int, Part]]:
    """Yields number and content of the fields that hold bytes or an integer."""
    view, position = memoryview(message), 0
    while position < len(view):
        tag, position = _read_varint(view, position)
        value, position = _read_varint(view, position)
        if tag & 7 == 2:
            if position + value > len(view):
                raise IndexError
            yield tag >> 3, view[position : position + value]
            position += value
        elif tag & 7 == 0:
            yield tag >> 3, value
        else:
            raise IndexError


def _read_varint(view: memoryview, position: int) -> tuple[int, int]:
    """The number that starts at the position, and the position after it."""
    value = shift = 0
    while True:
        byte = view[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, position
        if shift >= _VARINT_BITS:
            raise IndexError
