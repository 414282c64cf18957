"""Good files that the fuzzer breaks."""

import io

import numpy as np
from PIL import Image

from deeplab_tf.data.conversion.png import encode_png

_RNG = np.random.default_rng(0)
_SMOOTH = np.asarray(
    Image.fromarray(_RNG.integers(0, 256, (5, 7, 3)).astype(np.uint8)).resize((37, 29))
)
_LABELS = _RNG.integers(0, 20, (29, 37)).astype(np.uint8)


def _encoded(pixels: object, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _palette() -> Image.Image:
    image = Image.fromarray(_LABELS)
    image.putpalette(bytes(range(256)) * 3)
    return image


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a note"
    return exif


PICTURES = [
    _encoded(_SMOOTH, "JPEG"),
    _encoded(_SMOOTH, "JPEG", progressive=True),
    _encoded(_SMOOTH, "JPEG", exif=_exif()),
    _encoded(_SMOOTH[:, :, 0], "JPEG", quality=30),
    _encoded(_SMOOTH, "JPEG", subsampling=0, restart_marker_blocks=2),
    _encoded(_SMOOTH, "PNG"),
    _encoded(_SMOOTH[:, :, 0], "PNG", exif=_exif(), dpi=(3, 3)),
    _encoded(_palette(), "PNG", transparency=3),
    encode_png(_SMOOTH.astype(np.uint16) * 257),
    *(_encoded(_SMOOTH, kind) for kind in ("BMP", "GIF", "TIFF", "WEBP", "MPO")),
]
LABEL_FILES = [
    _encoded(_LABELS, "PNG"),
    _encoded(_palette(), "PNG"),
    _encoded(_palette(), "PNG", bits=5),
    encode_png(_LABELS.astype(np.uint16)[:, :, None]),
    _encoded(_LABELS, "BMP"),
    _encoded(_LABELS, "TIFF", compression="tiff_lzw"),
]


def npy(dtype: str, shape: tuple[int, ...]) -> bytes:
    """A .npy file of ones."""
    buffer = io.BytesIO()
    np.save(buffer, np.ones(shape, dtype))
    return buffer.getvalue()
