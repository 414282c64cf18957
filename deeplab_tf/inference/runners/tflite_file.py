"""What a .tflite file says of itself: attached texts and model metadata."""

import pathlib
import zipfile

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import encode
from flatbuffers.number_types import Float32Flags as Float32
from flatbuffers.number_types import Uint8Flags as Uint8
from flatbuffers.number_types import Uint32Flags as Uint32
from flatbuffers.table import Table as Reader

from deeplab_tf import files

BUFFER_NAME = "TFLITE_METADATA"
NORMALIZATION = np.uint8(1)  # union ProcessUnitOptions of the metadata's schema


def read_attached(path: pathlib.Path, name: str) -> str | None:
    """A text that `attach` put into a file, or None."""
    if not zipfile.is_zipfile(path):
        return None
    with files.open_zip(path) as archive:
        return archive.read(name).decode() if name in archive.namelist() else None


def read_metadata(content: bytes) -> bytes | None:
    """The metadata's flatbuffer, or None."""
    model = schema.Model.GetRootAs(content, 0)
    for i in range(model.MetadataLength()):
        entry = model.Metadata(i)
        if entry.Name() == BUFFER_NAME.encode():
            return model.Buffers(entry.Buffer()).DataAsNumpy().tobytes()
    return None


def normalization(metadata: bytes | None) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation that a picture in [0, 255] is normalised by, (x - m) / d.

    For files of any origin; 0 and 1 where the metadata say nothing of it.
    """
    nothing = np.zeros(1, np.float32), np.ones(1, np.float32)
    if not metadata:
        return nothing
    root = Reader(metadata, Uint32.py_type(encode.Get(Uint32.packer_type, metadata, 0)))
    for subgraph in _tables(root, 3):
        for tensor in _tables(subgraph, 2):
            for unit in _tables(tensor, 4):
                if unit.GetSlot(4, 0, Uint8) == NORMALIZATION:
                    options = Reader(metadata, unit.Indirect(unit.Pos + unit.Offset(6)))
                    return _vector(options, 0), _vector(options, 1)
    return nothing


def _tables(table: Reader, slot: int) -> list[Reader]:
    """The tables of a vector, the field in `slot`."""
    offset = table.Offset(4 + 2 * slot)
    if not offset:
        return []
    first, count = table.Vector(offset), table.VectorLen(offset)
    return [Reader(table.Bytes, table.Indirect(first + 4 * i)) for i in range(count)]


def _vector(table: Reader, slot: int) -> np.ndarray:
    """The float32 vector in `slot`."""
    return table.GetVectorAsNumpy(Float32, table.Offset(4 + 2 * slot))
