"""Images from any door: one rule for what is taken, and what is said of the rest.

A file, its bytes, a Pillow image and an array of the same pixels give the same labels,
and so do the shards that conversion makes of them: upright, in the network's channels,
the upper byte of 16 bits.
"""

import glob
import io
import pathlib
import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageOps

from deeplab_tf.data import records
from deeplab_tf.data.conversion import contents, pictures
from deeplab_tf.data.conversion.samples import SampleError
from deeplab_tf.errors import UserError

ImageLike = str | pathlib.Path | bytes | memoryview | Image.Image | ArrayLike
_WHITE = 255
_NAMED = 3  # files that are passed over, in the line that tells of them


def find(pattern: str) -> list[pathlib.Path]:
    """The files of pictures of a folder, a glob, a list or a single file.

    Hidden files and those whose ending is no picture's are passed over, as conversion
    does, and a line on standard error says so; a single file is taken as it is. A list
    is a .txt file of one path a line, or a .csv file with a column "image"; paths are
    as seen from the list, or else from where the command runs.

    Raises:
      UserError: nothing matches, or a list names a file that is not there.
    """
    path = pathlib.Path(pattern).expanduser()
    if path.suffix.lower() in (".txt", ".csv") and path.is_file():
        return _listed(path)
    matches = (
        path.iterdir() if path.is_dir() else map(pathlib.Path, glob.glob(str(path)))
    )
    found = sorted(match for match in matches if match.is_file())
    if not found:
        raise UserError(f"--images={pattern}: no such file, or an empty folder.")
    paths = found if path.is_file() else _only_pictures(found)
    if not paths:
        raise UserError(f"--images={pattern}: none of {len(found)} files is a picture.")
    return paths


def _listed(path: pathlib.Path) -> list[pathlib.Path]:
    """The pictures of a list, in its order."""
    if path.suffix.lower() == ".csv":
        columns, rows = contents.read_table(path)
        if "image" not in columns:
            raise UserError(
                f"{path}: has no column 'image'; it has {', '.join(columns)}."
            )
        names = [row["image"] for row in rows]
    else:
        names = contents.read_lines(path)
    found = []
    for name in names:
        places = path.parent / name, pathlib.Path(name).expanduser()
        there = next((place for place in places if place.is_file()), None)
        if there is None:
            raise UserError(f"{path}: names {name!r}, which is no file.")
        found.append(there)
    if not found:
        raise UserError(f"{path}: lists no picture.")
    return found


def _only_pictures(paths: Sequence[pathlib.Path]) -> list[pathlib.Path]:
    """Those that conversion would take; arrays have no colours to be shown in."""
    endings = {*contents.IMAGE_ENDINGS} - {".npy"}
    kept = [p for p in paths if p.suffix.lower() in endings and p.name[0] != "."]
    other = [one.name for one in paths if one not in kept]
    if other:
        names = ", ".join(other[:_NAMED]) + ", ..." * (len(other) > _NAMED)
        print(
            f"passed over {len(other)} that are no pictures: {names}", file=sys.stderr
        )
    return kept


def read(image: ImageLike, channels: int, bits: int = 8) -> np.ndarray:
    """An image as the network takes it.

    Args:
      image: a path; the bytes of a file; a Pillow image; or what NumPy makes an array
        of numbers: [H, W] or [H, W, C].
      channels: that the network takes.
      bits: of its data set's pixels: of more than 8, floats of 0..1 are dark ones.

    Returns:
      uint8, or float32 in 0..255, [H, W, channels], rows in order.

    Raises:
      UserError: it is no image, has too few or too many channels, or its values are
        not in 0..255.
    """
    if isinstance(image, str | pathlib.Path):
        path = pathlib.Path(image)
        try:
            content = path.read_bytes()
        except (OSError, ValueError) as error:
            raise UserError(f"{path}: cannot be read ({error}).") from None
        return _from_file(content, str(path), channels)
    if isinstance(image, bytes | bytearray | memoryview):
        return _from_file(bytes(image), "the bytes", channels)
    if isinstance(image, Image.Image):
        return _from_pillow(image, "the image", channels)
    return _from_array(image, channels, bits)


def _from_file(content: bytes, name: str, channels: int) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(content)) as opened:
            opened.load()
            return _from_pillow(opened, name, channels)
    except (UserError, MemoryError):
        raise
    except Exception as error:  # Pillow's plugins raise nearly anything
        raise UserError(f"{name}: {pictures.explain(error)}") from None


def _from_pillow(image: Image.Image, name: str, channels: int) -> np.ndarray:
    if channels not in records.IMAGE_FILE_CHANNELS:
        raise UserError(
            f"{name}: no picture file has the {channels} channels that the model "
            f"takes; give an array [height, width, {channels}]."
        )
    if not image.width or not image.height:
        raise _wrong(channels, [image.height, image.width])
    # Always a copy: what was given stays as it is.
    upright = ImageOps.exif_transpose(image)
    try:
        changed = pictures.to_channels(upright, name, channels)
    except SampleError as error:
        raise UserError(str(error)) from None
    return np.asarray(changed).reshape(changed.height, changed.width, channels)


def _from_array(image: ArrayLike, channels: int, bits: int) -> np.ndarray:
    try:
        array = np.asarray(image)
    except (ValueError, TypeError) as error:  # lists of several lengths
        raise UserError(f"an image must be an array of numbers ({error}).") from None
    if array.dtype.kind not in "uif":
        raise UserError(
            "an image must hold numbers, uint8 or float in 0..255; received type "
            f"{array.dtype}."
        )
    if array.ndim not in (2, 3) or 0 in array.shape:
        raise _wrong(channels, array.shape)
    if array.ndim == 2:
        array = array[..., None]
    array = _to_range(array, bits)
    if array.shape[2] == channels:
        return np.ascontiguousarray(array)
    if array.shape[2] not in (1, 2, 3, 4) or array.dtype != np.uint8:
        raise _wrong(channels, array.shape)
    # Grey, grey with alpha, RGB, RGBA: as the same pixels in a file.
    plain = np.ascontiguousarray(array[..., 0] if array.shape[2] == 1 else array)
    return _from_pillow(Image.fromarray(plain), "the array", channels)


def _to_range(array: np.ndarray, bits: int) -> np.ndarray:
    """Pixels as uint8 or float32 in 0..255."""
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.uint16:
        if bits == 16:
            return array.astype(np.float32) / 257.0
        try:
            return pictures.upper_byte(array, "the array")
        except SampleError as error:
            raise UserError(str(error)) from None
    low, high = array.min(), array.max()
    if not (low >= 0 and high <= _WHITE):  # also where there is a NaN
        raise UserError(
            f"an image's values must be in 0..{_WHITE}, not normalised; received "
            f"{low:g}..{high:g} of type {array.dtype}."
        )
    is_dark = array.dtype.kind == "f" and 0 < high <= 1
    if is_dark and bits == 8:
        raise UserError(
            f"an image's values must be in 0..{_WHITE}; received {low:g}..{high:g} of "
            f"type {array.dtype}, which is all but black: multiply it by {_WHITE}."
        )
    # Whole numbers are the same image in every type, also for what is padded.
    is_whole = array.dtype.kind in "ui" or (bits == 8 and not np.any(array % 1))
    return array.astype(np.uint8 if is_whole else np.float32)


def _wrong(channels: int, shape: Sequence[int]) -> UserError:
    return UserError(
        f"an image must be [height, width, {channels}], neither empty nor a batch; "
        f"received an array of shape {list(shape)}."
    )
