import io
import json

import numpy as np
import pytest
import tensorflow as tf
import tiny_run
from PIL import Image

from deeplab_tf import runs
from deeplab_tf.export import saved_model
from deeplab_tf.inference import predictor

pytestmark = pytest.mark.usefixtures("shallow_resnet")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return runs.open_run(
        tiny_run.write(tmp_path_factory.mktemp("serving"), tiny_run.FEW_LAYERS)
    )


@pytest.fixture(scope="module")
def model(run):
    return runs.load_model(run)


@pytest.fixture(scope="module")
def folder(run, model, tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "saved_model"
    saved_model.save(model, run, path, max_pixels=100_000)
    return path


@pytest.fixture(scope="module")
def signatures(folder):
    return tf.saved_model.load(str(folder)).signatures


def png(picture):
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("shape", [(65, 97, 2), (48, 50, 1)])
def test_pictures(signatures, model, shape):
    pictures = tiny_run.pictures(*shape)
    logits = np.asarray(model(np.float32(pictures), training=False))
    outputs = signatures["serving_default"](pictures=tf.constant(pictures))
    probabilities = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    np.testing.assert_allclose(outputs["probabilities"], probabilities, atol=1e-3)
    assert (outputs["labels"] == logits.argmax(-1)).numpy().mean() > 0.999
    assert outputs["labels"].dtype == tf.int32
    alone = signatures["labels"](pictures=tf.constant(pictures))
    assert list(alone) == ["labels"]
    np.testing.assert_array_equal(alone["labels"], outputs["labels"])
    assert alone["labels"].dtype == tf.int32


def test_logits(signatures, model):
    pictures = tiny_run.pictures(51, 62)
    expected = model(np.float32(pictures), training=False)
    actual = signatures["logits"](pictures=tf.constant(pictures))["logits"]
    np.testing.assert_allclose(actual, expected, atol=1e-4 * np.ptp(expected))


def test_bytes_of_several_sizes(signatures, model, run):
    pictures = [tiny_run.pictures(40, 65)[0], tiny_run.pictures(57, 35)[0]]
    outputs = signatures["serving_bytes"](
        contents=tf.constant([png(picture) for picture in pictures])
    )
    assert outputs["sizes"].numpy().tolist() == [[40, 65], [57, 35]]
    labels, confidence = outputs["labels"].numpy(), outputs["confidence"].numpy()
    assert labels.shape == confidence.shape == (2, 57, 65)
    for i, picture in enumerate(pictures):
        height, width = picture.shape[:2]
        logits = np.asarray(model(np.float32(picture[None]), training=False))[0]
        inside = labels[i, :height, :width]
        assert (inside == logits.argmax(-1)).mean() > 0.999
        winner = 1 / np.exp(logits - logits.max(-1, keepdims=True)).sum(-1)
        np.testing.assert_allclose(confidence[i, :height, :width], winner, atol=1e-3)
        assert not confidence[i, height:].any()
        assert not confidence[i, :, width:].any()
        assert set(labels[i, height:].ravel()) <= {run.info.ignore_label}
        assert set(labels[i, :, width:].ravel()) <= {run.info.ignore_label}
        assert not confidence[i, height:].any()
        assert not confidence[i, :, width:].any()


def test_config(signatures, folder, run):
    outputs = signatures["config"]()
    assert json.loads(outputs["run_json"].numpy()) == run.to_dict()
    assert [name.decode() for name in outputs["class_names"].numpy()] == [
        "ground",
        "red",
        "blue",
    ]
    assert json.loads((folder / "assets.extra/run.json").read_text()) == run.to_dict()


def test_weights_are_constants_and_stored_once(folder, model):
    variables = folder / "variables/variables.data-00000-of-00001"
    assert variables.stat().st_size < 10_000
    weights = 4 * model.count_params()
    assert weights < (folder / "saved_model.pb").stat().st_size < 1.5 * weights + 1e6


def test_graph_runs_on_every_device(folder):
    """No dilated depthwise kernel, which some devices lack, no SpaceToBatch."""
    graph = tf.saved_model.load(str(folder)).signatures["logits"].graph
    definitions = graph.as_graph_def().library.function
    nodes = [node for function in definitions for node in function.node_def]
    dilations = {
        tuple(node.attr["dilations"].list.i)
        for node in nodes
        if node.op == "DepthwiseConv2dNative"
    }
    assert dilations == {(1, 1, 1, 1)}
    ops = {node.op for node in nodes}
    assert not ops & {"SpaceToBatchND", "FusedBatchNormV3", "IdentityN"}


def test_scales_and_flip(run, model, tmp_path):
    scales = (0.75, 1.0)
    saved_model.save(model, run, tmp_path / "export", scales=scales, flip=True)
    loaded = tf.saved_model.load(str(tmp_path / "export"))
    pictures = tf.constant(tiny_run.pictures(65, 80))
    predict = predictor.make_predictor(model, scales=scales, flip=True)
    expected = predict.probabilities(pictures)
    outputs = loaded.signatures["serving_default"](pictures=pictures)
    np.testing.assert_allclose(outputs["probabilities"], expected, atol=1e-4)
    alone = loaded.signatures["labels"](pictures=pictures)["labels"]
    np.testing.assert_array_equal(alone, outputs["labels"])


def test_labels_take_no_softmax(folder):
    """The function of a signature calls none that has one."""
    signatures = tf.saved_model.load(str(folder)).signatures
    for name, count in (("labels", 0), ("serving_default", 1)):
        functions = {
            item.signature.name: item.node_def
            for item in signatures[name].graph.as_graph_def().library.function
        }
        nodes = [node for nodes in functions.values() for node in nodes]
        assert sum(node.op == "Softmax" for node in nodes) == count, name


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 0, 40, 3), "must not be empty"),
        ((1, 40, 40, 4), r"not compatible with expected shape \[\?,\?,\?,3\]"),
        ((1, 2, 20_000, 3), "16384"),
        ((1, 400, 400, 3), "100000"),
        ((4, 200, 200, 3), "160000"),
        # The network computes 33 x 33 for each.
        ((100, 1, 1, 3), "108900"),
    ],
)
def test_bad_pictures(signatures, shape, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        signatures["serving_default"](pictures=tf.zeros(shape, tf.uint8))


def test_bad_bytes_leave_the_process_alive(signatures):
    good = png(tiny_run.pictures(40, 40)[0])
    for bad in (good[:300], b"no picture", png(np.zeros((400, 400), np.uint8))):
        with pytest.raises(tf.errors.InvalidArgumentError):
            signatures["serving_bytes"](contents=tf.constant([good, bad]))
    outputs = signatures["serving_bytes"](contents=tf.constant([good]))
    assert outputs["labels"].shape == (1, 40, 40)


def test_a_batch_is_bounded_with_its_padding(signatures):
    """Each of them is small, and so is the file of both."""
    wide, tall = np.zeros((1, 16_384), np.uint8), np.zeros((16_384, 1), np.uint8)
    serve = signatures["serving_bytes"]
    with pytest.raises(tf.errors.InvalidArgumentError, match=str(2 * 16_384**2)):
        serve(contents=tf.constant([png(wide), png(tall)]))
    with pytest.raises(tf.errors.InvalidArgumentError, match=str(92 * 33 * 33)):
        serve(contents=tf.constant([png(wide[:, :1])] * 92))


def test_no_picture_at_all(signatures):
    outputs = signatures["serving_bytes"](contents=tf.zeros([0], tf.string))
    assert outputs["labels"].shape[0] == 0
