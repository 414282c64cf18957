"""Reads a picture, checks it, and says what had to be changed to store it."""

import dataclasses
import hashlib
import io
import struct
import warnings
import zlib

import numpy as np
from PIL import Image, ImageOps

from conversion.samples import Content, SampleError
from deeplab_tf.data.info import DatasetInfo
from deeplab_tf.data.records import IMAGE_FILE_CHANNELS

_ORIENTATION = 0x0112  # EXIF tag
_KEPT_FORMATS = {"JPEG": "jpeg", "MPO": "jpeg", "PNG": "png"}
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}  # by number of channels
_KEPT_MODES = {1: ("L",), 3: ("RGB", "L"), 4: ("RGBA",)}
Note = tuple[str, str]  # kind, and what was done


@dataclasses.dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture as it is stored.

    Attributes:
      encoded: JPEG, PNG or raw bytes; the file's own wherever they are fine.
      format: "jpeg", "png" or "raw".
      size: height and width.
      digest: of the decoded pixels, to find duplicates.
      notes: what is odd about the file and what was done about it.
    """

    encoded: bytes
    format: str
    size: tuple[int, int]
    digest: str
    notes: tuple[Note, ...] = ()


def read_picture(
    content: Content, name: str, info: DatasetInfo, label_size: tuple[int, int] | None
) -> Picture:
    """Decodes the picture to prove that it can be, and encodes it where it must be.

    Args:
      content: the file's bytes or the pixels.
      name: for messages.
      info: says how many channels and bits are wanted.
      label_size: settles whether a picture with an EXIF orientation is to be turned.

    Raises:
      SampleError: the picture cannot be decoded, or not be brought to the channels
        that are wanted.
    """
    if isinstance(content, np.ndarray):
        return _from_pixels(content, name, info)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            picture = _from_file(content, name, info, label_size)
    except SampleError:
        raise
    except Exception as error:  # Pillow's plugins raise nearly anything
        message = str(error) or type(error).__name__
        raise SampleError(
            "unreadable_image", f"{name}: cannot be decoded: {message}."
        ) from None
    odd = [("odd_file", str(warning.message).strip()) for warning in caught]
    return dataclasses.replace(picture, notes=(*picture.notes, *odd))


def _from_file(
    data: bytes, name: str, info: DatasetInfo, label_size: tuple[int, int] | None
) -> Picture:
    image = Image.open(io.BytesIO(data))
    image.load()
    notes: list[Note] = []
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        notes.append(("frames", f"the first of its {frames} frames is used"))
    upright = _turn(image, label_size, notes)
    deep = _is_deep(image, data)
    if deep and info.bits == 8:
        notes.append(("16_bit", "16 bits a channel reduced to the upper 8"))
    keep = (
        upright is image
        and image.format in _KEPT_FORMATS
        and not (deep and info.bits == 8)
        and not (image.format == "PNG" and frames > 1)
        and _fits(image, info, notes)
    )
    if not keep:
        upright = _convert(upright, name, info, notes)
    pixels = upright.tobytes()
    return Picture(
        encoded=data if keep else _encode(upright),
        format=_KEPT_FORMATS[image.format or ""] if keep else "png",
        size=(upright.height, upright.width),
        digest=hashlib.sha1(pixels, usedforsecurity=False).hexdigest(),
        notes=tuple(notes),
    )


def _turn(
    image: Image.Image, label_size: tuple[int, int] | None, notes: list[Note]
) -> Image.Image:
    """Applies the EXIF orientation, unless only the unturned picture fits the label."""
    orientation = image.getexif().get(_ORIENTATION, 1)
    if orientation not in range(2, 9):
        return image
    turned = ImageOps.exif_transpose(image)
    fits = [
        label_size == (candidate.height, candidate.width)
        for candidate in (turned, image)
    ]
    if fits == [False, True]:
        text = f"EXIF orientation {orientation} dropped: the label fits the raw pixels"
        notes.append(("exif", text))
        return image
    notes.append(("exif", f"turned by its EXIF orientation {orientation}"))
    return turned


def _is_deep(image: Image.Image, data: bytes) -> bool:
    """More than 8 bits a channel; Pillow hides it where a PNG has colours."""
    if image.format == "PNG":
        return data[24] == 16  # the bit depth in the header chunk
    return image.mode.startswith("I") or image.mode == "F"


def _fits(image: Image.Image, info: DatasetInfo, notes: list[Note]) -> bool:
    """Whether the file's own bytes decode to the channels wanted."""
    if info.channels not in _MODES or "transparency" in image.info:
        return False
    if info.bits == 16 and image.mode == "I;16":
        return info.channels == 1
    fits = image.mode in _KEPT_MODES[info.channels]
    if fits and image.mode == "L" and info.channels == 3:
        notes.append(("grey", "grey; read as three equal channels"))
    return fits


def _convert(
    image: Image.Image, name: str, info: DatasetInfo, notes: list[Note]
) -> Image.Image:
    """Brings the picture to the mode that its channels need."""
    if info.channels not in _MODES:
        raise SampleError(
            "channels",
            f"{name}: a picture file cannot hold {info.channels} channels; "
            "store such pictures as .npy arrays [H, W, C].",
        )
    if info.bits == 16:
        if image.mode == "I;16" and info.channels == 1:
            return image
        raise SampleError(
            "16_bit", f"{name}: of 16-bit files PNG, grey TIFF and .npy are read."
        )
    if image.format is not None and image.format not in _KEPT_FORMATS:
        notes.append(("format", f"{image.format} stored as PNG"))
    mode = _MODES[info.channels]
    if image.mode.startswith("I;16") or image.mode == "I":
        pixels = np.asarray(image)
        if pixels.min() < 0 or pixels.max() > 0xFFFF:
            raise SampleError(
                "16_bit", f"{name}: pixels beyond 16 bits ({image.mode})."
            )
        image = Image.fromarray((pixels >> 8).astype(np.uint8))
    elif image.mode == "F":
        raise SampleError(
            "16_bit", f"{name}: floating-point pixels have no known range."
        )
    has_alpha = image.mode in ("RGBA", "LA", "PA", "La", "RGBa")
    if has_alpha or "transparency" in image.info:
        if mode == "RGBA":
            return image.convert(mode)
        notes.append(("alpha", "transparency dropped, colours kept"))
        image.info.pop("transparency", None)
        if image.mode == "PA":
            image = image.convert("RGBA")
    elif mode == "RGBA":
        raise SampleError("channels", f"{name}: has no fourth channel ({image.mode}).")
    if image.mode in ("CMYK", "YCbCr", "HSV"):
        notes.append(("cmyk", f"{image.mode} turned to {mode}"))
    elif image.mode in ("P", "1"):
        notes.append(("palette", f"mode {image.mode} turned to {mode}"))
    elif image.mode in ("L", "LA") and mode == "RGB":
        notes.append(("grey", "grey; read as three equal channels"))
    return image if image.mode == mode else image.convert(mode)


def _encode(image: Image.Image) -> bytes:
    """As PNG without metadata, which keeps the pixels as they are."""
    buffer = io.BytesIO()
    image.info = {}
    image.save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()


def _from_pixels(pixels: np.ndarray, name: str, info: DatasetInfo) -> Picture:
    dtype = np.uint8 if info.bits == 8 else np.uint16
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    if pixels.ndim != 3 or pixels.dtype != dtype or pixels.shape[2] != info.channels:
        raise SampleError(
            "channels",
            f"{name}: pixels must be {dtype.__name__} [H, W, {info.channels}]; "
            f"received {pixels.dtype} {list(pixels.shape)}.",
        )
    raw = np.ascontiguousarray(pixels, np.dtype(dtype).newbyteorder("<")).tobytes()
    in_file = info.channels in IMAGE_FILE_CHANNELS
    return Picture(
        encoded=encode_png(pixels) if in_file else raw,
        format="png" if in_file else "raw",
        size=(pixels.shape[0], pixels.shape[1]),
        digest=hashlib.sha1(raw, usedforsecurity=False).hexdigest(),
    )


def encode_png(pixels: np.ndarray) -> bytes:
    """A PNG of uint8 or uint16 pixels [H, W, 1, 3 or 4]; Pillow lacks 16-bit colour."""
    height, width, channels = pixels.shape
    depth = 8 * pixels.itemsize
    rows = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder(">"))
    rows = rows.view(np.uint8).reshape(height, -1)
    filtered = np.concatenate([np.zeros((height, 1), np.uint8), rows], axis=1)
    color_type = {1: 0, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", zlib.compress(filtered.tobytes(), 6))
        + png_chunk(b"IEND", b"")
    )


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """One chunk of a PNG file: length, kind, data, CRC."""
    crc = zlib.crc32(data, zlib.crc32(kind))
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)
