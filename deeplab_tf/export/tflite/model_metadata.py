"""The model metadata that LiteRT's and MediaPipe's tools read, as a flatbuffer.

Written by hand: tflite-support, whose writer it was, has no release for current
Pythons, and MediaPipe's needs MediaPipe. Source of the layout: MediaPipe,
tasks/metadata, metadata_schema.fbs 1.5.0 and image_segmenter_metadata_schema.fbs.
"""

from collections.abc import Sequence
from typing import Any

import flatbuffers
import numpy as np

from deeplab_tf.inference.runners.tflite_file import NORMALIZATION

LABELS_FILE = "labels.txt"
COLORS_FILE = "colors.txt"
RUN_FILE = "run.json"
_IDENTIFIER = b"M001"
# AssociatedFileType
_DESCRIPTIONS, _AXIS_LABELS, _VALUE_LABELS = np.int8(1), np.int8(2), np.int8(3)
_FEATURE, _IMAGE = np.uint8(1), np.uint8(2)  # union ContentProperties
_RGB, _GRAYSCALE = np.int8(1), np.int8(2)  # ColorSpaceType
# Activation: what MediaPipe's ImageSegmenter does with the output. Labels it would take
# for scores without a word; at a number that means nothing it refuses the file.
_ACTIVATIONS = {
    "logits": np.int8(2),
    "probabilities": np.int8(0),
    "labels": np.int8(-1),
}

# A table is the list of its fields in the order of the schema; a union takes two, its
# kind and its value. None: not given.
Table = list[Any]


def describe(
    *, name: str, version: str, channels: int, output_type: str, num_subgraphs: int
) -> bytes:
    """The metadata of a segmentation model.

    Args:
      name: of the data set that it knows.
      version: of this program.
      channels: of the picture.
      output_type: "logits", "probabilities" or "labels".
      num_subgraphs: one for each signature.
    """
    labels_kind = _VALUE_LABELS if output_type == "labels" else _AXIS_LABELS
    labels_file = [LABELS_FILE, "The classes, one a line.", labels_kind]
    segmenter = _finish([_ACTIVATIONS[output_type]], b"V001")
    subgraph = [
        *[None, None, [_input(channels)], [_output(output_type, labels_file)]],
        *[None] * 5,
        [["SEGMENTER_METADATA", segmenter]],
    ]
    files = [
        [RUN_FILE, "The run: settings, data set, provenance.", _DESCRIPTIONS],
        [COLORS_FILE, "Red, green and blue of each class.", _DESCRIPTIONS],
    ]
    description = "Gives each pixel of a picture its class (DeepLabv3+)."
    model = [
        f"DeepLab {name}",
        description,
        version,
        [subgraph] * num_subgraphs,
        None,
        None,
        files,
        "1.5.0",
    ]
    return _finish(model, _IDENTIFIER)


def _finish(root: Table, identifier: bytes) -> bytes:
    builder = flatbuffers.Builder()
    builder.Finish(_write(builder, root), file_identifier=identifier)
    return bytes(builder.Output())


def _input(channels: int) -> Table:
    color_space = {1: _GRAYSCALE, 3: _RGB}.get(channels)
    content = [_IMAGE, [color_space]] if color_space else [_FEATURE, []]
    # The model normalises by itself, so its tools must not.
    normalization = [NORMALIZATION, [_floats(0), _floats(1)]]
    stats = [_floats(255), _floats(0)]
    description = "The picture, RGB in 0 to 255, not normalised."
    return ["pictures", description, None, content, [normalization], stats]


def _output(output_type: str, labels_file: Table) -> Table:
    description = {
        "logits": "A score of each class for each pixel.",
        "probabilities": "The probability of each class for each pixel.",
        "labels": "The class of each pixel.",
    }[output_type]
    content = [_FEATURE, []]
    return [output_type, description, None, content, None, None, [labels_file]]


def _floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def _write(
    builder: flatbuffers.Builder, value: str | bytes | np.ndarray | Table
) -> int:
    """Writes a string, vector or table; returns its place in the buffer."""
    if isinstance(value, str):
        return builder.CreateString(value)
    if isinstance(value, bytes):  # a flatbuffer in the flatbuffer, so aligned
        builder.StartVector(1, len(value), 16)
        for byte in reversed(value):
            builder.PrependByte(byte)
        return builder.EndVector()
    if isinstance(value, np.ndarray):
        return builder.CreateNumpyVector(value)
    if value and all(isinstance(item, list) for item in value):
        return _write_vector(builder, value)
    return _write_table(builder, value)


def _write_vector(builder: flatbuffers.Builder, tables: Sequence[Table]) -> int:
    places = [_write(builder, table) for table in tables]
    builder.StartVector(4, len(places), 4)
    for place in reversed(places):
        builder.PrependUOffsetTRelative(place)
    return builder.EndVector()


def _write_table(builder: flatbuffers.Builder, fields: Table) -> int:
    # What a field points to must be written before the table begins.
    places = [
        None
        if value is None or isinstance(value, np.integer)
        else _write(builder, value)
        for value in fields
    ]
    builder.StartObject(len(fields))
    for slot, (value, place) in enumerate(zip(fields, places, strict=True)):
        if place is not None:
            builder.PrependUOffsetTRelativeSlot(slot, place, 0)
        elif isinstance(value, np.int8):
            builder.PrependInt8Slot(slot, int(value), 0)
        elif isinstance(value, np.uint8):
            builder.PrependUint8Slot(slot, int(value), 0)
    return builder.EndObject()
