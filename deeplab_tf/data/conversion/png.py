"""The parts of the PNG format that Pillow does not offer."""

import struct
import zlib
from collections.abc import Iterator

import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _PALETTE = 0, 3  # colour types
_UP = 2  # the filter of a row that holds differences from the one above
_COLOR_TYPES = {1: _GREY, 3: 2, 4: 6}  # by number of channels


def encode_png(pixels: np.ndarray, *, photograph: bool = False) -> bytes:
    """A PNG of uint8 or uint16 pixels [H, W, 1, 3 or 4]; Pillow lacks 16-bit colour.

    Args:
      pixels: the picture.
      photograph: takes each row's difference from the one above and looks for runs
        alone: half of Pillow's time for a tenth more bytes, and other threads go on
        meanwhile.
    """
    height, width, channels = pixels.shape
    rows = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder(">"))
    rows = rows.view(np.uint8).reshape(height, -1)
    filtered = np.zeros((height, 1 + rows.shape[1]), np.uint8)
    filtered[:, 1:] = rows
    level, strategy = 6, zlib.Z_DEFAULT_STRATEGY
    if photograph:
        filtered[:, 0] = _UP
        filtered[1:, 1:] -= rows[:-1]
        level, strategy = 1, zlib.Z_RLE
    compressor = zlib.compressobj(level, strategy=strategy)
    compressed = compressor.compress(filtered.data) + compressor.flush()
    depth, color_type = 8 * pixels.itemsize, _COLOR_TYPES[channels]
    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, 0)
    return (
        SIGNATURE
        + _chunk(b"IHDR", header)
        + _chunk(b"IDAT", compressed)
        + _chunk(b"IEND", b"")
    )


def bit_depth(data: bytes) -> int:
    """Bits of each sample of an encoded PNG."""
    return data[24]


def is_label(data: bytes) -> bool:
    """Whether TensorFlow reads the PNG's pixels as they are: grey, of 8 bits.

    It turns palettes into colours, stretches fewer bits to 0..255, and of 16 takes the
    upper 8.
    """
    return data[:8] == SIGNATURE and data[24:26] == bytes([8, _GREY])


def fault(data: bytes) -> str:
    """What a strict decoder as TensorFlow's objects to, or "".

    Pillow reads on after a wrong checksum and does not look for the end; chunks that a
    decoder may leave out are not checked here either.
    """
    for kind, chunk in _chunks(data):
        if len(chunk) < 12 + int.from_bytes(chunk[:4]):
            break
        if kind[:1].isupper() and zlib.crc32(chunk[4:-4]) != int.from_bytes(chunk[-4:]):
            part = kind.decode("ascii", "replace")
            return f"its part {part if part.isalpha() else '?'} has a wrong checksum"
        if kind == b"IEND":
            return ""
    return "its end is missing"


def without_palette(data: bytes) -> bytes | None:
    """The same PNG as grey: its compressed indices as they are, its palette left out.

    TensorFlow's decoder would turn a palette into colours. None if the file is no PNG
    of 8 bits a pixel, grey or palette.
    """
    if not data.startswith(SIGNATURE):
        return None
    width, height, depth, color_type, *rest = struct.unpack(">IIBBBBB", data[16:29])
    if depth != 8 or color_type not in (_GREY, _PALETTE):
        return None
    header = struct.pack(">IIBBBBB", width, height, depth, _GREY, *rest)
    kept = b"".join(chunk for kind, chunk in _chunks(data) if kind == b"IDAT")
    return data[:8] + _chunk(b"IHDR", header) + kept + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    crc = zlib.crc32(data, zlib.crc32(kind))
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yields kind and whole bytes of each chunk."""
    start = len(SIGNATURE)
    while start + 12 <= len(data):
        (length,) = struct.unpack(">I", data[start : start + 4])
        end = start + 12 + length
        yield data[start + 4 : start + 8], data[start:end]
        start = end
