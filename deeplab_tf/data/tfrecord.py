"""The TFRecord file format without TensorFlow.

A record is: length (uint64, little endian), its masked CRC, the data, their masked
CRC, where a CRC is CRC-32C (Castagnoli). Processes that convert pictures start in a
fraction of the time when they need not load TensorFlow for these sixteen bytes.
"""

import functools
import os
import struct
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from deeplab_tf.errors import UserError

_POLYNOMIAL = 0x82F63B78  # Castagnoli, bits reversed
_MASK_DELTA = 0xA282EAD8
_Table = np.ndarray  # uint32 lookup table


def write_record(file: BinaryIO, data: bytes) -> None:
    """Appends one record."""
    length = struct.pack("<Q", len(data))
    file.write(length + _masked_crc(length))
    file.write(data)
    file.write(_masked_crc(data))


def read_records(path: str | os.PathLike[str]) -> Iterator[bytes]:
    """Yields the records of a shard, each checked against its CRCs.

    Raises:
      UserError: the file is truncated or corrupt; names file and position.
    """
    with open(path, "rb") as file:
        while header := file.read(12):
            position = file.tell() - len(header)
            if len(header) < 12 or _masked_crc(header[:8]) != header[8:]:
                raise _damaged(path, position)
            (length,) = struct.unpack("<Q", header[:8])
            data, crc = file.read(length), file.read(4)
            if len(data) < length or _masked_crc(data) != crc:
                raise _damaged(path, position)
            yield data


def _damaged(path: str | os.PathLike[str], position: int) -> UserError:
    return UserError(
        f"{os.fspath(path)}: truncated or corrupt at byte {position}. Copy the file "
        "again, or remove it and run datasets/convert.py again."
    )


def crc32c(data: bytes) -> int:
    """CRC-32C of the data.

    A CRC is linear over GF(2), so the CRCs of two-byte pieces, looked up all at once,
    are joined pairwise: crc(a + b) = advance(crc(a), len(b)) ^ crc(b). Zeros in front
    change nothing while the register starts at 0, which makes the length even at
    each round; the standard's start value is the first four bytes inverted.
    """
    if len(data) < 4:
        return _crc_bytewise(data)
    padded = np.frombuffer(data, np.uint8)
    padded = np.concatenate([np.zeros(len(data) % 2, np.uint8), padded])
    start = len(data) % 2
    padded[start : start + 4] ^= 0xFF
    crcs = _two_byte_table().take(padded.view("<u2"), mode="wrap")
    size = 2
    while len(crcs) > 1:
        if len(crcs) % 2:
            crcs = np.concatenate([np.zeros(1, np.uint32), crcs])
        crcs = _apply(_advance_tables(size), crcs[0::2]) ^ crcs[1::2]
        size *= 2
    return int(crcs[0]) ^ 0xFFFFFFFF


def _masked_crc(data: bytes) -> bytes:
    crc = crc32c(data)
    rotated = (crc >> 15 | crc << 17) & 0xFFFFFFFF
    return struct.pack("<I", (rotated + _MASK_DELTA) & 0xFFFFFFFF)


def _crc_bytewise(data: bytes) -> int:
    crc, table = 0xFFFFFFFF, _byte_table()
    for byte in data:
        crc = int(table[(crc ^ byte) & 0xFF]) ^ crc >> 8
    return crc ^ 0xFFFFFFFF


@functools.cache
def _byte_table() -> _Table:
    """[256]: the register after one byte, from 0."""
    crc = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        crc = np.where(crc & 1, crc >> 1 ^ np.uint32(_POLYNOMIAL), crc >> 1)
    return crc.astype(np.uint32)


@functools.cache
def _two_byte_table() -> _Table:
    """[65536]: the register after two bytes, the first one the lower."""
    table, pair = _byte_table(), np.arange(65536)
    first = table[pair & 0xFF]
    return table[(first ^ (pair >> 8).astype(np.uint32)) & 0xFF] ^ first >> 8


@functools.cache
def _advance_tables(size: int) -> tuple[_Table, _Table]:
    """What `size` zero bytes do to the lower and to the upper half of the register."""
    if size > 2:
        half = _advance_tables(size // 2)
        return _apply(half, half[0]), _apply(half, half[1])
    low, shifted = np.arange(65536, dtype=np.uint32), _two_byte_table()
    return shifted, low  # two bytes: the lower half is looked up, the upper moves down


def _apply(tables: tuple[_Table, _Table], crcs: np.ndarray) -> np.ndarray:
    # No index is out of range; "wrap" is the quickest way not to have that checked.
    low = tables[0].take(crcs & 0xFFFF, mode="wrap")
    return low ^ tables[1].take(crcs >> 16, mode="wrap")
