"""Images from any door: one rule for what is taken, and what is said of the rest.

A file, its bytes, a Pillow image and an array of the same pixels give the same labels,
and so do the shards that conversion makes of them: upright, in the network's channels,
the upper byte of 16 bits.
"""

import io
import pathlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageOps

from deeplab_tf.data import records
from deeplab_tf.data.conversion import pictures
from deeplab_tf.data.conversion.samples import SampleError
from deeplab_tf.errors import UserError

ImageLike = str | pathlib.Path | bytes | memoryview | Image.Image | ArrayLike
_WHITE = 255


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
