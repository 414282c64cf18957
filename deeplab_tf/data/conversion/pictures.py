"""Reads a picture, checks it, and says what had to be changed to store it."""

import dataclasses
import io
import warnings
import zlib

import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from deeplab_tf.data.conversion import jpeg, png
from deeplab_tf.data.conversion.png import bit_depth, encode_png
from deeplab_tf.data.conversion.samples import Content, SampleError
from deeplab_tf.data.dataset_info import DatasetInfo
from deeplab_tf.data.records import PIXEL_TYPES, is_raw

ORIENTATION = 0x0112  # EXIF tag
_KEPT_FORMATS = {"JPEG": "jpeg", "MPO": "jpeg", "PNG": "png"}
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}  # by number of channels
_KEPT_MODES = {1: ("L",), 3: ("RGB", "L"), 4: ("RGBA",)}
_ALPHA_MODES = {"RGBA": "RGB", "LA": "L", "PA": "P", "RGBa": "RGB", "La": "L"}
Note = tuple[str, str]  # kind, and what was done
_GREY_NOTE = ("grey", "grey; read as three equal channels")
_DEEP_NOTE = ("16_bit", "16 bits a channel reduced to the upper 8")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture as it is stored.

    Attributes:
      encoded: JPEG, PNG or raw bytes; the file's own wherever they are fine.
      format: "jpeg", "png" or "raw".
      size: height and width.
      digest: of the encoded bytes, to find duplicates.
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
        raise SampleError("unreadable_image", f"{name}: {explain(error)}") from None
    if not caught:
        return picture
    odd = [("odd_file", str(warning.message).strip()) for warning in caught]
    return dataclasses.replace(picture, notes=(*picture.notes, *odd))


def decoding_fault(data: bytes) -> str:
    """Why TensorFlow would not decode bytes that Pillow does, or "".

    Workers do not load TensorFlow, so what its decoders want is checked here.
    """
    if data.startswith(png.SIGNATURE):
        return png.fault(data)
    if data.startswith(jpeg.SIGNATURE):
        return "" if jpeg.is_whole(data) else "its end is missing"
    return "it is neither a JPEG nor a PNG"


def explain(error: Exception) -> str:
    """Why Pillow could not decode a file, as the end of a message."""
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return "is too large for one example; cut it into tiles."
    if isinstance(error, UnidentifiedImageError):
        return "cannot be decoded: no format that Pillow knows, or a broken header."
    return f"cannot be decoded: {str(error) or type(error).__name__}."


def _from_file(
    data: bytes, name: str, info: DatasetInfo, label_size: tuple[int, int] | None
) -> Picture:
    if is_raw(info.channels, info.bits):
        raise SampleError(
            "channels",
            f"{name}: a picture file cannot hold {info.channels} channels of "
            f"{info.bits} bits; store such pictures as .npy arrays [H, W, C].",
        )
    if data.startswith(png.SIGNATURE) and (wrong := png.fault(data)):
        raise SampleError("unreadable_image", f"{name}: cannot be decoded: {wrong}.")
    image = Image.open(io.BytesIO(data))
    upright, notes = _turn(image, label_size)
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        notes.append(("frames", f"the first of its {frames} frames is used"))
    size = (upright.height, upright.width)
    if upright is image and _can_stay(image, data, info, frames):
        notes += _about_kept(image, info)
        # All that can be wrong shows while the entropy code is read; the transforms
        # of a JPEG are left out where they can be.
        image.draft(image.mode, (1, 1))
        image.load()
        return _as_is(data, _KEPT_FORMATS[image.format or ""], size, notes)
    if info.bits == 16:
        upright = _to_16_bits(upright, name, info)
    else:
        upright, changes = _to_8_bits(upright, data, name, info.channels)
        notes += changes
    return _as_is(_encode(upright), "png", size, notes)


def _as_is(
    encoded: bytes, kind: str, size: tuple[int, int], notes: list[Note]
) -> Picture:
    # Two checksums and a length: enough to tell files apart, and quicker than a hash.
    checksums = zlib.crc32(encoded), zlib.adler32(encoded), len(encoded)
    return Picture(
        encoded=encoded,
        format=kind,
        size=size,
        digest="{:08x}{:08x}{:x}".format(*checksums),
        notes=tuple(notes),
    )


def _turn(
    image: Image.Image, label_size: tuple[int, int] | None
) -> tuple[Image.Image, list[Note]]:
    """Applies the EXIF orientation, unless only the unturned picture fits the label."""
    orientation = image.getexif().get(ORIENTATION, 1)
    if orientation not in range(2, 9):
        return image, []
    turned = ImageOps.exif_transpose(image)
    fits = [label_size == (i.height, i.width) for i in (turned, image)]
    if fits == [False, True]:
        text = f"EXIF orientation {orientation} dropped: the label fits the raw pixels"
        return image, [("exif", text)]
    return turned, [("exif", f"turned by its EXIF orientation {orientation}")]


def _can_stay(
    image: ImageFile.ImageFile, data: bytes, info: DatasetInfo, frames: int
) -> bool:
    """Whether the file's own bytes decode to the channels and bits wanted."""
    if image.format not in _KEPT_FORMATS or "transparency" in image.info:
        return False
    if info.bits == 16:
        modes = ("I;16",) if info.channels == 1 else _KEPT_MODES[info.channels]
        return image.format == "PNG" and image.mode in modes
    if image.format == "PNG" and (frames > 1 or bit_depth(data) == 16):
        return False
    return image.mode in _KEPT_MODES[info.channels] and not decoding_fault(data)


def _about_kept(image: Image.Image, info: DatasetInfo) -> list[Note]:
    notes = []
    if image.mode == "L" and info.channels == 3:
        notes.append(_GREY_NOTE)
    profile = image.info.get("icc_profile")
    if profile and b"sRGB" not in profile:
        text = "its colour profile is not sRGB and is not applied"
        notes.append(("color_profile", text))
    return notes


def _to_16_bits(image: Image.Image, name: str, info: DatasetInfo) -> Image.Image:
    if image.mode == "I;16" and info.channels == 1:
        return image
    raise SampleError(
        "16_bit", f"{name}: of 16-bit pictures PNG, grey TIFF and .npy are read."
    )


def to_channels(image: Image.Image, name: str, channels: int) -> Image.Image:
    """A picture of 8 bits in the mode of so many channels, as conversion stores it.

    Raises:
      SampleError: it cannot be brought there.
    """
    return _to_8_bits(image, b"", name, channels)[0]


def _to_8_bits(
    image: Image.Image, data: bytes, name: str, channels: int
) -> tuple[Image.Image, list[Note]]:
    """Brings the picture to the mode of its channels, and says what that changes."""
    mode, notes = _MODES[channels], []
    kind = image.format or ""
    if kind and kind not in _KEPT_FORMATS:
        notes.append(("format", f"{kind} stored as PNG"))
    elif decoding_fault(data):
        notes.append(("odd_file", f"{decoding_fault(data)}; stored as PNG"))
    if kind == "PNG" and bit_depth(data) == 16 and not image.mode.startswith("I"):
        notes.append(_DEEP_NOTE)  # Pillow has done it already
    if image.mode == "F" or image.mode.startswith("I"):
        image = Image.fromarray(upper_byte(np.asarray(image), name))
        notes.append(_DEEP_NOTE)
    has_alpha = image.mode in _ALPHA_MODES or "transparency" in image.info
    if mode == "RGBA" and not has_alpha:
        raise SampleError("channels", f"{name}: has no fourth channel ({image.mode}).")
    if has_alpha and mode != "RGBA":
        notes.append(("alpha", "transparency dropped, colours kept"))
        image.info.pop("transparency", None)
    base = _ALPHA_MODES.get(image.mode, image.mode)
    if base == "L" and mode == "RGB":
        notes.append(_GREY_NOTE)
    elif base not in ("RGB", mode):
        kind = "cmyk" if base == "CMYK" else "palette" if base in "P1" else "color"
        notes.append((kind, f"mode {base} turned to {mode}"))
    return image if image.mode == mode else image.convert(mode), notes


def upper_byte(pixels: np.ndarray, name: str) -> np.ndarray:
    """The upper 8 bits of pixels of 16, where they hold the picture.

    Raises:
      SampleError: they do not.
    """
    is_float = pixels.dtype.kind == "f"
    if is_float or not 1 << 12 <= pixels.max() < 1 << 16 or pixels.min() < 0:
        raise SampleError(
            "16_bit",
            f"{name}: its pixels of type {pixels.dtype} are in {pixels.min()}.."
            f"{pixels.max()}, so their upper 8 bits of 16 are no picture; rescale it.",
        )
    return (pixels >> 8).astype(np.uint8)


def _encode(image: Image.Image) -> bytes:
    """As PNG without metadata, which keeps the pixels as they are."""
    buffer = io.BytesIO()
    image.info = {}
    image.save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()


def _from_pixels(pixels: np.ndarray, name: str, info: DatasetInfo) -> Picture:
    dtype = np.dtype(PIXEL_TYPES[info.bits])
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    if pixels.ndim != 3 or pixels.dtype != dtype or pixels.shape[2] != info.channels:
        raise SampleError(
            "channels",
            f"{name}: pixels must be {dtype.name} [H, W, {info.channels}]; "
            f"received {pixels.dtype} {list(pixels.shape)}.",
        )
    if not pixels.size:
        raise SampleError("channels", f"{name}: has no pixel: {list(pixels.shape)}.")
    if info.bits == 32 and not (pixels.min() >= 0 and pixels.max() <= 255):
        raise SampleError(
            "pixel_range",
            f"{name}: float pixels must be in 0..255; received {pixels.min()}.."
            f"{pixels.max()}.",
        )
    size = (pixels.shape[0], pixels.shape[1])
    if is_raw(info.channels, info.bits):
        raw = np.ascontiguousarray(pixels, dtype).tobytes()
        return _as_is(raw, "raw", size, [])
    return _as_is(encode_png(pixels), "png", size, [])
