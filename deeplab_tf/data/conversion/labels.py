"""Reads a label, maps it to classes, and refuses what would silently be wrong."""

import dataclasses
import functools
import io
import warnings

import numpy as np
from PIL import Image

from deeplab_tf.data.conversion import png
from deeplab_tf.data.conversion.pictures import ORIENTATION, explain
from deeplab_tf.data.conversion.png import encode_png, without_palette
from deeplab_tf.data.conversion.samples import (
    INDICES,
    Coding,
    Color,
    Content,
    SampleError,
)
from deeplab_tf.data.dataset_info import DatasetInfo

_INDEX_MODES = ("L", "P", "1", "I;16", "I;16B", "I;16L", "I")
_COLOR_MODES = ("RGB", "RGBA", "P", "L", "LA", "1")
_MANY_COLORS = 1 << 12  # a mask with more was smoothed
# Raw pixels (of a colour mask its codes), the values that occur, and their numbers.
_Tallied = tuple[np.ndarray | Image.Image, list[int], list[int]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Label:
    """A label as it is stored.

    Attributes:
      encoded: PNG, grey, 8 bits; each pixel a class or the ignored label.
      size: height and width.
      counts: number of pixels of each value that occurs; the values are strings, as
        JSON would make them.
    """

    encoded: bytes
    size: tuple[int, int]
    counts: dict[str, int]


def read_label(content: Content, name: str, info: DatasetInfo, coding: Coding) -> Label:
    """Decodes, maps and checks a label.

    Palette files give their indices, never their colours.

    Raises:
      SampleError: the file cannot be decoded, has the wrong kind of pixels, or holds
        a value that is no class.
    """
    codes, values, numbers = _tally(content, name, coding)
    known = _classes_of(coding, info.num_classes, info.ignore_label)
    foreign = [value for value in values if value not in known]
    if foreign:
        raise _foreign(name, foreign, info, coding)
    counts: dict[str, int] = {}
    for value, number in zip(values, numbers, strict=True):
        label = str(known[value])
        counts[label] = counts.get(label, 0) + number
    encoded = None
    if isinstance(content, bytes) and coding == INDICES:
        encoded = without_palette(content)
    if encoded is None:
        mapped = _mapped(np.asarray(codes), values, known)
        encoded = encode_png(mapped[:, :, None])
    size = codes.shape if isinstance(codes, np.ndarray) else codes.size[::-1]
    return Label(encoded=encoded, size=(size[0], size[1]), counts=counts)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Look:
    """What a label file holds, before anybody says what it means.

    Attributes:
      in_colors: whether its pixels are RGB; else numbers.
      counts: pixels of each value, or of each colour as 0xRRGGBB.
      palette: the colours of a palette file by index.
      codes: values or colours [H, W].
    """

    in_colors: bool
    counts: dict[int, int]
    palette: dict[int, Color]
    codes: np.ndarray


def look(content: Content, name: str) -> Look:
    """Reads a label without knowing its coding.

    Raises:
      SampleError: the file cannot be decoded or has the wrong kind of pixels.
    """
    if isinstance(content, np.ndarray):
        in_colors, palette = content.ndim == 3, {}
    else:
        image = _decode(content, name)
        in_colors, palette = image.mode not in _INDEX_MODES, _palette(image)
    coding = Coding(colors=(((0, 0, 0), 0),)) if in_colors else INDICES
    codes, values, numbers = _tally(content, name, coding)
    counts = dict(zip(values, numbers, strict=True))
    return Look(
        in_colors=in_colors, counts=counts, palette=palette, codes=np.asarray(codes)
    )


def _palette(image: Image.Image) -> dict[int, Color]:
    if image.mode != "P" or image.palette is None:
        return {}
    flat = image.getpalette("RGB") or []
    colors = zip(flat[::3], flat[1::3], flat[2::3], strict=False)
    return dict(enumerate(colors))


def classes_in(content: Content, name: str, info: DatasetInfo, coding: Coding) -> set:
    """The classes that occur in a label; what is foreign is passed over."""
    known = _classes_of(coding, info.num_classes, info.ignore_label)
    values = _tally(content, name, coding)[1]
    return {known[value] for value in values if value in known} - {info.ignore_label}


def _tally(content: Content, name: str, coding: Coding) -> _Tallied:
    in_colors = bool(coding.colors)
    if isinstance(content, np.ndarray):
        return _from_pixels(content, name, in_colors)
    return _from_file(content, name, in_colors)


def _from_pixels(pixels: np.ndarray, name: str, in_colors: bool) -> _Tallied:
    if in_colors:
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
            raise _wrong(name, f"must be RGB [H, W, 3]; received {_kind(pixels)}")
        return _tallied(_color_codes(pixels))
    if pixels.ndim != 2 or pixels.dtype.kind not in "uib":
        raise _wrong(name, f"must be integers [H, W]; received {_kind(pixels)}")
    return _tallied(pixels)


def _from_file(data: bytes, name: str, in_colors: bool) -> _Tallied:
    image = _decode(data, name)
    if in_colors:
        if image.mode not in _COLOR_MODES:
            raise _wrong(name, f"must be an RGB mask; its mode is {image.mode}")
        return _colors_tallied(image.convert("RGB"))
    if image.mode not in _INDEX_MODES:
        raise _wrong(
            name,
            f"must hold one class index a pixel; its mode is {image.mode}. Colour "
            "masks need a table of colours (see datasets/README.md)",
        )
    if image.mode not in ("L", "P"):
        return _tallied(np.asarray(image))
    histogram = image.histogram()  # three times as fast as counting in NumPy
    values = [value for value, number in enumerate(histogram) if number]
    return image, values, [histogram[value] for value in values]


def _kind(pixels: np.ndarray) -> str:
    return f"{pixels.dtype} {list(pixels.shape)}"


def _tallied(codes: np.ndarray) -> _Tallied:
    values, numbers = np.unique(codes, return_counts=True)
    return codes, [int(value) for value in values], numbers.tolist()


def _colors_tallied(image: Image.Image) -> _Tallied:
    codes = _color_codes(np.asarray(image))
    counted = image.getcolors(_MANY_COLORS)  # much faster than sorting the pixels
    if counted is None:
        return _tallied(codes)
    numbers = {r << 16 | g << 8 | b: n for n, (r, g, b) in counted}  # type: ignore[misc]
    values = sorted(numbers)
    return codes, values, [numbers[value] for value in values]


def _color_codes(rgb: np.ndarray) -> np.ndarray:
    return rgb.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], np.int32)


@functools.lru_cache(maxsize=64)
def _classes_of(coding: Coding, num_classes: int, ignore_label: int) -> dict[int, int]:
    """The class of every raw value, or code of a colour, that is allowed."""
    if coding.colors:
        return {r << 16 | g << 8 | b: label for (r, g, b), label in coding.colors}
    return dict(coding.values) or {
        value: value for value in (*range(num_classes), ignore_label)
    }


def _mapped(codes: np.ndarray, values: list[int], known: dict[int, int]) -> np.ndarray:
    """The class of each pixel, uint8 [H, W]; `values` are those that occur, sorted."""
    classes = np.array([known[value] for value in values], np.uint8)
    if codes.dtype != np.uint8:
        return classes[np.searchsorted(values, codes)]
    table = np.zeros(256, np.uint8)
    table[values] = classes
    return table[codes]


def _decode(data: bytes, name: str) -> Image.Image:
    if data.startswith(png.SIGNATURE) and (fault := png.fault(data)):
        raise SampleError("unreadable_label", f"{name}: cannot be decoded: {fault}.")
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
    return image


def _wrong(name: str, message: str) -> SampleError:
    return SampleError("not_indices", f"{name}: {message}.")


def _foreign(
    name: str, values: list[int], info: DatasetInfo, coding: Coding
) -> SampleError:
    """The error for values or colours without a class."""
    if coding.colors:
        colors = [f"{c >> 16},{c >> 8 & 255},{c & 255}" for c in values]
        return SampleError(
            "unknown_color",
            f"{name}: colours without a class: {_some(colors)}. Add them to "
            f'classes.json, as "colors": {{"{colors[0]}": "ignore"}}, or save the '
            "mask without smoothing.",
        )
    allowed = f"allowed are 0..{info.num_classes - 1} and {info.ignore_label} (void)"
    if coding.values:
        listed = _some([str(raw) for raw, _ in coding.values], at_most=20)
        allowed = f"only the values of the mapping are allowed: {listed}"
    cure = ", ".join(f'"{value}": "ignore"' for value in values[:8])
    return SampleError(
        "label_value",
        f"{name}: holds {_some([str(value) for value in values])}; {allowed}. To count "
        f'them nowhere, add to classes.json: "values": {{{cure}}}.',
    )


def _some(items: list[str], at_most: int = 8) -> str:
    more = f" and {len(items) - at_most} more" if len(items) > at_most else ""
    return " ".join(items[:at_most]) + more
