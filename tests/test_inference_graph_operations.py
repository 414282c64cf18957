"""A SavedModel that could do more than label pictures is not loaded."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny_run
from tensorflow.python.framework.convert_to_constants import (
    convert_variables_to_constants_v2,
)

from deeplab_tf.config import Config
from deeplab_tf.errors import UserError
from deeplab_tf.inference import exported, graph_operations
from deeplab_tf.network.deeplab import build_model

PICTURES = tf.TensorSpec([None, None, None, 3], tf.uint8, "pictures")


class Hostile(tf.Module):
    """Writes a file when it is called, from a branch of a loop in a function."""

    def __init__(self, written):
        super().__init__()
        self._written = written

    @tf.function(input_signature=[PICTURES])
    def serve(self, pictures):
        for number in tf.range(2):
            if number == 1:
                tf.io.write_file(self._written, "here")
        return {"labels": pictures[..., 0], "logits": tf.cast(pictures, tf.float32)}


def save(module, folder):
    serve = module.serve.get_concrete_function()
    signatures = {"serving_default": serve, "logits": serve}
    tf.saved_model.save(module, folder, signatures=signatures)
    extra = tf.io.gfile.join(folder, "assets.extra")
    tf.io.gfile.makedirs(extra)
    tf.io.write_file(tf.io.gfile.join(extra, "run.json"), "{}")


def test_a_saved_model_that_writes_files_is_refused(tmp_path):
    written, folder = tmp_path / "written", tmp_path / "model"
    module = Hostile(str(written))
    save(module, str(folder))
    with pytest.raises(UserError, match=r"model: is refused.* WriteFile"):
        exported.open_export(str(folder))
    # It is what it seems.
    module.serve(np.zeros((1, 2, 2, 3), np.uint8))
    assert written.read_text() == "here"


class Loading(Hostile):
    """Reads a file when it is loaded, to make a table anew."""

    def __init__(self, path):
        super().__init__(path)
        initializer = tf.lookup.TextFileInitializer(
            path,
            tf.string,
            tf.lookup.TextFileIndex.WHOLE_LINE,
            tf.int64,
            tf.lookup.TextFileIndex.LINE_NUMBER,
        )
        self.table = tf.lookup.StaticHashTable(initializer, -1)

    @tf.function(input_signature=[PICTURES])
    def serve(self, pictures):
        return {"labels": pictures[..., 0], "size": self.table.size()}


def test_a_saved_model_that_reads_files_when_it_is_loaded_is_refused(tmp_path):
    folder, secret = tmp_path / "model", tmp_path / "secret"
    secret.write_text("secret")
    save(Loading(str(secret)), str(folder))
    with pytest.raises(UserError, match=r"model: is refused.* InitializeTable"):
        exported.open_export(str(folder))


def test_a_saved_model_of_tensorflow_1_is_refused(tmp_path):
    folder = tmp_path / "model"
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        tf1 = tf.compat.v1
        pictures = tf1.placeholder(tf.uint8, [None, None, None, 3])
        tf1.saved_model.simple_save(
            session, str(folder), {"pictures": pictures}, {"labels": pictures[..., 0]}
        )
    with pytest.raises(UserError, match="is no SavedModel of this program"):
        exported.open_export(str(folder))


OTHER_NETWORKS = [
    {"model.backbone": "mobilenet_v3_small"},
    {"model.context": "dense_prediction_cell", "model.atrous_rates": ()},
    {"model.normalization": "group", "model.padded_size": (65, 65)},
]


@pytest.mark.parametrize(
    "settings",
    [
        {"model.context": "pyramid_pooling", "model.atrous_rates": ()},
        *(pytest.param(other, marks=pytest.mark.slow) for other in OTHER_NETWORKS),
    ],
    ids=str,
)
def test_the_networks_need_no_other_operations(settings):
    model = build_model(Config().replace({**tiny_run.FEW_LAYERS, **settings}).model, 3)
    shape = tf.TensorSpec([None, None, None, 3])
    function = tf.function(model, input_signature=[shape]).get_concrete_function()
    graph = convert_variables_to_constants_v2(function).graph.as_graph_def()
    nodes = [node for item in graph.library.function for node in item.node_def]
    operations = {node.op for node in [*graph.node, *nodes]}
    assert "Conv2D" in operations
    assert operations <= graph_operations.SERVING


def test_a_keras_file_with_python_code_is_refused(tmp_path):
    image = keras.Input((None, None, 3))
    layer = keras.layers.Lambda(lambda x: x, output_shape=(None, None, 3))
    path = tmp_path / "model.keras"
    keras.Model(image, layer(image)).save(path)
    with pytest.raises(UserError, match=r"model\.keras: cannot be loaded: .*unsafe"):
        exported.open_export(str(path))
