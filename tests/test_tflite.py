import collections
import json

import numpy as np
import pytest
import tiny_run
from ai_edge_litert.interpreter import Interpreter

from deeplab_tf import run as runs
from deeplab_tf import tflite, tflite_file

CLEAN = {
    "CONV_2D",
    "DEPTHWISE_CONV_2D",
    "ADD",
    "MUL",
    "MEAN",
    "CONCATENATION",
    "RESIZE_BILINEAR",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return runs.open_run(tiny_run.write(tmp_path_factory.mktemp("tflite")))


@pytest.fixture(scope="module")
def model(run):
    return runs.load_model(run)


def interpret(content):
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    return interpreter


def op_counts(content):
    details = interpret(content)._get_ops_details()
    return collections.Counter(op["op_name"] for op in details)


@pytest.mark.parametrize("size", [(65, 97), (64, 80)])
def test_logits(run, model, size):
    interpreter = interpret(tflite.convert(model, run, [size]))
    pictures = np.float32(tiny_run.pictures(*size))
    expected = np.asarray(model(pictures, training=False))
    outputs = interpreter.get_signature_runner()(pictures=pictures)
    assert list(outputs) == ["logits"]
    np.testing.assert_allclose(
        outputs["logits"], expected, atol=1e-4 * np.ptp(expected)
    )


def test_operations(run, model):
    """One operation a convolution; in one piece for the delegate."""
    counts = op_counts(tflite.convert(model, run, [(65, 65)]))
    assert set(counts) <= CLEAN | {"DELEGATE"}
    assert counts["DELEGATE"] <= 1
    atrous = [
        layer
        for layer in model.layers
        if max(getattr(layer, "dilation_rate", (1,))) > 1
    ]
    assert len(atrous) >= 2


@pytest.mark.parametrize("output_type", ["probabilities", "labels"])
def test_output_types(run, model, output_type):
    content = tflite.convert(model, run, [(49, 49)], output_type=output_type)
    pictures = np.float32(tiny_run.pictures(49, 49))
    logits = np.asarray(model(pictures, training=False))
    output = interpret(content).get_signature_runner()(pictures=pictures)[output_type]
    if output_type == "labels":
        assert output.dtype == np.int32
        assert (output == logits.argmax(-1)).mean() > 0.999
    else:
        exp = np.exp(logits - logits.max(-1, keepdims=True))
        np.testing.assert_allclose(output, exp / exp.sum(-1, keepdims=True), atol=1e-3)


def test_sizes_share_their_weights(run, model):
    sizes = [(65, 97), (97, 65)]
    one = tflite.convert(model, run, sizes[:1])
    two = tflite.convert(model, run, sizes)
    assert len(two) < 1.3 * len(one)
    interpreter = interpret(two)
    for size in sizes:
        pictures = np.float32(tiny_run.pictures(*size))
        runner = interpreter.get_signature_runner(f"size_{size[0]}x{size[1]}")
        expected = np.asarray(model(pictures, training=False))
        np.testing.assert_allclose(
            runner(pictures=pictures)["logits"], expected, atol=1e-4 * np.ptp(expected)
        )


def test_run_json_is_inside(run, model, tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(tflite.convert(model, run, [(33, 33)]))
    assert json.loads(tflite_file.read_attached(path, "run.json")) == run.to_dict()
    assert tflite_file.read_attached(path, "other.txt") is None
