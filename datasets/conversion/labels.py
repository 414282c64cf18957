"""Reads a label, maps it to classes, and refuses what would silently be wrong."""

import dataclasses
import functools
import io
import warnings

import numpy as np
from PIL import Image

from conversion.pictures import ORIENTATION, explain
from conversion.png import encode_png, without_palette
from conversion.samples import Coding, Content, SampleError
from deeplab_tf.data.info import DatasetInfo

_NO_CLASS = -1
_INDEX_MODES = ("L", "P", "1", "I;16", "I;16B", "I;16L", "I")
_COLOR_MODES = ("RGB", "RGBA", "P")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Label:
    """A label as it is stored.

    Attributes:
      encoded: PNG, grey, 8 bits; each pixel a class or the ignored label.
      size: height and width.
      pixels: number of pixels of each value, [256].
    """

    encoded: bytes
    size: tuple[int, int]
    pixels: np.ndarray

    def counts(self) -> dict[str, int]:
        """Number of pixels of each value that occurs, for JSON."""
        return {str(value): int(n) for value, n in enumerate(self.pixels) if n}


def read_label(content: Content, name: str, info: DatasetInfo, coding: Coding) -> Label:
    """Decodes, maps and checks a label.

    Palette files give their indices, never their colours.

    Raises:
      SampleError: the file cannot be decoded, has the wrong kind of pixels, or holds
        a value that is no class.
    """
    if isinstance(content, np.ndarray):
        raw, data = content, None
    else:
        raw, data = _decode(content, name, bool(coding.colors)), content
    if coding.colors:
        classes = _from_colors(raw, name, coding)
    else:
        classes = _from_values(raw, name, info, coding)
    unchanged = data is not None and not coding.values and not coding.colors
    encoded = without_palette(data) if unchanged and data else None
    return Label(
        encoded=encoded or encode_png(classes[:, :, None]),
        size=(classes.shape[0], classes.shape[1]),
        pixels=np.bincount(classes.ravel(), minlength=256),
    )


def _decode(data: bytes, name: str, in_colors: bool) -> np.ndarray:
    """Indices [H, W], or RGB [H, W, 3]."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data))
            frames = getattr(image, "n_frames", 1)
            orientation = image.getexif().get(ORIENTATION, 1)
            image.load()
    except Exception as error:  # Pillow's plugins raise nearly anything
        raise SampleError("unreadable_label", f"{name}: {explain(error)}") from None
    if image.format in ("JPEG", "MPO", "WEBP", "JPEG2000"):
        raise _wrong(name, f"{image.format} changes values; save labels as PNG")
    if frames > 1:
        raise _wrong(name, f"holds {frames} pictures; save one as PNG")
    if orientation not in (0, 1):
        raise _wrong(name, "has an EXIF orientation; turn the pixels and drop it")
    if in_colors:
        if image.mode not in _COLOR_MODES:
            raise _wrong(name, f"must be an RGB mask; its mode is {image.mode}")
        return np.asarray(image.convert("RGB"))
    if image.mode not in _INDEX_MODES:
        raise _wrong(
            name,
            f"must hold one class index a pixel; its mode is {image.mode}. Colour "
            "masks need a table of colours (see datasets/README.md)",
        )
    return np.asarray(image)


def _wrong(name: str, message: str) -> SampleError:
    return SampleError("not_indices", f"{name}: {message}.")


def _from_values(
    raw: np.ndarray, name: str, info: DatasetInfo, coding: Coding
) -> np.ndarray:
    if raw.ndim != 2 or raw.dtype.kind not in "uib":
        raise _wrong(
            name, f"must be integers [H, W]; received {raw.dtype} {list(raw.shape)}"
        )
    table = _value_table(coding, info.num_classes, info.ignore_label)
    bounded = np.clip(raw.astype(np.int64, copy=False), -1, len(table) - 1)
    classes = table[bounded]
    if classes.min() == _NO_CLASS:
        values = np.unique(raw[classes == _NO_CLASS])
        raise _out_of_range(name, [str(v) for v in values], info, bool(coding.values))
    return classes.astype(np.uint8)


@functools.cache
def _value_table(coding: Coding, num_classes: int, ignore_label: int) -> np.ndarray:
    """Class of each raw value from 0; the last entry is for all that is outside."""
    pairs = coding.values or (
        *((value, value) for value in range(num_classes)),
        (ignore_label, ignore_label),
    )
    table = np.full(max(value for value, _ in pairs) + 2, _NO_CLASS, np.int16)
    for value, label in pairs:
        table[value] = label
    return table


def _from_colors(raw: np.ndarray, name: str, coding: Coding) -> np.ndarray:
    if raw.ndim != 3 or raw.shape[2] != 3:
        raise _wrong(name, f"must be RGB [H, W, 3]; received {list(raw.shape)}")
    codes = raw.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], np.int32)
    known = {r << 16 | g << 8 | b: label for (r, g, b), label in coding.colors}
    found, inverse = np.unique(codes, return_inverse=True)
    unknown = [code for code in found if int(code) not in known]
    if unknown:
        colors = [f"{c >> 16},{c >> 8 & 255},{c & 255}" for c in unknown]
        raise SampleError(
            "unknown_color",
            f"{name}: colours without a class: {_some(colors)}. Add them to the table "
            "of colours, or save the mask without smoothing.",
        )
    classes = np.array([known[int(code)] for code in found], np.uint8)
    return classes[inverse].reshape(codes.shape)


def _out_of_range(
    name: str, values: list[str], info: DatasetInfo, mapped: bool
) -> SampleError:
    if mapped:
        allowed = "only the values of the mapping are allowed"
    else:
        allowed = (
            f"allowed are 0..{info.num_classes - 1} and {info.ignore_label} (void)"
        )
    return SampleError("label_value", f"{name}: holds {_some(values)}; {allowed}.")


def _some(items: list[str], at_most: int = 8) -> str:
    more = f" and {len(items) - at_most} more" if len(items) > at_most else ""
    return " ".join(items[:at_most]) + more
