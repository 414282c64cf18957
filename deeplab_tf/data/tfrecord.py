"""The TFRecord file format without TensorFlow.

A record is: length (uint64, little endian), its masked CRC, the data, their masked
CRC, where a CRC is CRC-32C (Castagnoli). Processes that convert pictures start in a
fraction of the time when they need not load TensorFlow for these sixteen bytes.
"""

import os
import struct
from collections.abc import Iterator
from typing import BinaryIO

import google_crc32c

from deeplab_tf.errors import UserError

_MASK_DELTA = 0xA282EAD8


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
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        while header := file.read(12):
            position = file.tell() - len(header)
            if len(header) < 12 or _masked_crc(header[:8]) != header[8:]:
                raise _damaged(path, position)
            (length,) = struct.unpack("<Q", header[:8])
            if length > size - file.tell():
                raise _damaged(path, position)
            data, crc = file.read(length), file.read(4)
            if len(data) < length or _masked_crc(data) != crc:
                raise _damaged(path, position)
            yield data


def _damaged(path: str | os.PathLike[str], position: int) -> UserError:
    return UserError(
        f"{os.fspath(path)}: truncated or corrupt at byte {position}. Copy the file "
        "again, or remove it and run datasets/convert.py again."
    )


def _masked_crc(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    rotated = (crc >> 15 | crc << 17) & 0xFFFFFFFF
    return struct.pack("<I", (rotated + _MASK_DELTA) & 0xFFFFFFFF)
