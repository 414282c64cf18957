"""What is in a .tflite file: metadata, operations, texts."""

import flatbuffers
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from deeplab_tf.export.tflite import inspection, model_metadata
from deeplab_tf.inference.runners import tflite_file


def convert(function, *shape, allow_flex=False):
    spec = tf.TensorSpec(shape, tf.float32, "x")
    concrete = tf.function(
        function, input_signature=[spec], autograph=False
    ).get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete])
    if allow_flex:
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.TFLITE_BUILTINS,
            tf.lite.OpsSet.SELECT_TF_OPS,
        ]
    return converter.convert()


def metadata(**changes):
    options = {
        "name": "shapes",
        "version": "1.2",
        "channels": 3,
        "output_type": "logits",
        "num_subgraphs": 2,
    }
    return model_metadata.describe(**{**options, **changes})


class Reader(flatbuffers.table.Table):
    """Reads the fields of a table by their number in the schema."""

    @classmethod
    def root(cls, content):
        return cls(content, int(np.frombuffer(content, np.uint32, 1)[0]))

    def text(self, slot):
        return self.String(self.Pos + self.Offset(4 + 2 * slot)).decode()

    def tables(self, slot):
        offset = self.Offset(4 + 2 * slot)
        start = self.Vector(offset)
        places = [start + 4 * i for i in range(self.VectorLen(offset))]
        return [Reader(self.Bytes, self.Indirect(place)) for place in places]

    def table(self, slot):
        return Reader(self.Bytes, self.Indirect(self.Pos + self.Offset(4 + 2 * slot)))

    def byte(self, slot):
        return self.Bytes[self.Pos + self.Offset(4 + 2 * slot)]


def test_metadata_by_the_numbers_of_the_schema():
    content = metadata()
    assert content[4:8] == b"M001"
    model = Reader.root(content)
    assert [model.text(slot) for slot in (0, 2, 7)] == [
        "DeepLab shapes",
        "1.2",
        "1.5.0",
    ]
    first, second = model.tables(3)
    (picture,), (scores,) = first.tables(2), second.tables(3)
    assert picture.text(0) == "pictures"
    image_properties, color_space_rgb = 2, 1
    assert picture.table(3).byte(0) == image_properties
    assert picture.table(3).table(1).byte(0) == color_space_rgb
    assert scores.text(0) == "logits"
    (labels,) = scores.tables(6)
    tensor_axis_labels = 2
    assert (labels.text(0), labels.byte(2)) == ("labels.txt", tensor_axis_labels)
    assert [file.text(0) for file in model.tables(6)] == ["run.json", "colors.txt"]


@pytest.mark.parametrize(
    ("output_type", "activation"), [("logits", 2), ("probabilities", 0), ("labels", -1)]
)
def test_what_a_segmenter_does_with_the_output(output_type, activation):
    (custom,) = Reader.root(metadata(output_type=output_type)).tables(3)[0].tables(9)
    assert custom.text(0) == "SEGMENTER_METADATA"
    start, length = custom.Vector(custom.Offset(6)), custom.VectorLen(custom.Offset(6))
    content = custom.Bytes[start : start + length]
    assert content[4:8] == b"V001"
    options = Reader.root(content)
    given = options.byte(0) if options.Offset(4) else 0
    assert np.uint8(given).astype(np.int8) == activation
    # From the end, by which flatbuffers are aligned.
    assert (len(custom.Bytes) - start) % 16 == 0


def test_values_of_labels_are_classes():
    (scores,) = Reader.root(metadata(output_type="labels")).tables(3)[0].tables(3)
    tensor_value_labels = 3
    assert scores.tables(6)[0].byte(2) == tensor_value_labels


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_normalization_is_none(channels):
    mean, deviation = tflite_file.normalization(metadata(channels=channels))
    assert (mean, deviation) == (0, 1)
    assert tflite_file.normalization(None) == (0, 1)


def test_normalization_of_a_released_file(shared_dir):
    path = shared_dir / "weights/tflite/golden/deeplabv3.tflite"
    content = tflite_file.read_metadata(path.read_bytes())
    assert tflite_file.normalization(content) == (127.5, 127.5)


def test_file_runs_as_before_with_metadata_and_texts(tmp_path):
    plain = convert(lambda x: 2 * x + 1, 1, 5)
    complete = inspection.attach(
        inspection.add_metadata(plain, metadata()), {"a.txt": "ä", "b.txt": ""}
    )
    path = tmp_path / "model.tflite"
    path.write_bytes(complete)
    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    x = np.float32([[1, 2, 3, 4, 5]])
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    y = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_array_equal(y, 2 * x + 1)
    assert tflite_file.read_metadata(complete) == metadata()
    assert tflite_file.read_metadata(plain) is None
    assert tflite_file.read_attached(path, "a.txt") == "ä"
    assert tflite_file.read_attached(path, "b.txt") == ""
    assert tflite_file.read_attached(path, "c.txt") is None


def test_dilated_is_an_operation_of_its_own():
    def call(x):
        for rate in (1, 2):
            x = tf.raw_ops.DepthwiseConv2dNative(
                input=x,
                filter=tf.ones([3, 3, 2, 1]),
                strides=[1, 1, 1, 1],
                padding="SAME",
                dilations=[1, rate, rate, 1],
            )
        return x

    content = convert(call, 1, 8, 8, 2)
    kinds = {kind.name: kind for kind in inspection.operations(content)}
    assert {name: kind.count for name, kind in kinds.items()} == {
        "DEPTHWISE_CONV_2D": 1,
        "DEPTHWISE_CONV_2D dilated": 1,
    }
    assert kinds["DEPTHWISE_CONV_2D"].delegates == ("XNNPACK", "GPU", "Edge TPU")
    assert kinds["DEPTHWISE_CONV_2D dilated"].delegates == ("XNNPACK", "GPU")
    assert inspection.faults(content) == []


@pytest.mark.parametrize(
    ("number", "byte", "name"), [(150, 127, "GELU"), (0, 3, "CONV_2D"), (0, 0, "ADD")]
)
def test_operations_of_new_files_and_of_old_ones(number, byte, name):
    """Which have no number, so that it reads as 0."""
    code, graph = schema.OperatorCodeT(), schema.SubGraphT()
    code.builtinCode, code.deprecatedBuiltinCode = number, byte
    graph.operators = [schema.OperatorT()]
    model = schema.ModelT()
    model.operatorCodes, model.subgraphs = [code], [graph]
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    (kind,) = inspection.operations(bytes(builder.Output()))
    assert (kind.name, kind.count) == (name, 1)


@pytest.mark.parametrize(
    ("function", "fault"),
    [
        (
            lambda x: tf.space_to_batch_nd(x, [2, 2], [[0, 0], [0, 0]]),
            "SPACE_TO_BATCH_ND",
        ),
        (lambda x: tf.argmax(x, -1), "int64 output"),
        (lambda x: tf.linalg.det(x[..., :2, :]), "FLEX MatrixDeterminant"),
    ],
)
def test_faults(function, fault):
    content = convert(function, 1, 4, 4, 2, allow_flex=fault.startswith("FLEX"))
    assert inspection.faults(content) == [fault]
