"""Reading released files: their forms, what is left out, and damage."""

import io
import os
import shutil
import tarfile

import numpy as np
import pytest
import released_variables
import tensorflow as tf

from deeplab_tf import files
from deeplab_tf.errors import UserError
from deeplab_tf.released import checkpoints, frozen_graph

RNG = np.random.default_rng(0)
TENSORS = {
    "MobilenetV2/Conv/weights": RNG.normal(size=(3, 3, 3, 8)).astype(np.float32),
    "MobilenetV2/Conv/BatchNorm/gamma": RNG.normal(size=8).astype(np.float32),
    "logits/semantic/biases": RNG.normal(size=4).astype(np.float32),
}
SLOTS = {
    "MobilenetV2/Conv/weights/Momentum": np.zeros((3, 3, 3, 8), np.float32),
    "global_step": np.int64(7),
}


@pytest.fixture
def prefix(tmp_path):
    folder = tmp_path / "deeplabv3_some"
    folder.mkdir()
    return released_variables.write(folder / "model.ckpt-7", {**TENSORS, **SLOTS})


def graph_def(picture="ImageTensor", window=3, rates=(12, 24)):
    """A graph in the form of the released export, with next to no network."""
    with tf.compat.v1.Graph().as_default() as graph:
        tf1 = tf.compat.v1
        image = tf1.placeholder(tf.uint8, [1, None, None, 3], name=picture)
        size = tf.shape(image)
        missing = [tf.maximum(33 - size[1], 0), tf.maximum(49 - size[2], 0)]
        x = tf.pad(
            tf.cast(image, tf.float32),
            [[0, 0], [0, missing[0]], [0, missing[1]], [0, 0]],
        )
        for name, value in TENSORS.items():
            tf.constant(value, name=name)
        pooled = tf.nn.avg_pool2d(x, [window, window], 1, "VALID", name="pool")
        kernel = tf.constant(np.ones((1, 1, 3, 4), np.float32))
        tf.nn.conv2d(pooled, kernel, 1, "SAME", name="image_pooling/Conv2D")
        for number, rate in enumerate(rates, 1):
            name = f"aspp{number}_depthwise/depthwise/SpaceToBatchND/block_shape"
            tf.constant([rate, rate], name=name)
        labels = tf.argmax(x, -1)[:, : size[1], : size[2]]
        tf.identity(labels, name="SemanticPredictions")
    return graph.as_graph_def()


def archive(path, *members):
    with tarfile.open(path, "w:gz") as file:
        for member in members:
            file.add(member, f"deeplabv3_some/{member.name}")
    return path


def assert_read(path):
    released = checkpoints.read(str(path))
    assert set(released.tensors) == set(TENSORS)
    for name, value in TENSORS.items():
        np.testing.assert_array_equal(released.tensors[name], value)
    return released


@pytest.mark.parametrize("ending", ["", ".index", ".data-00000-of-00001"])
def test_checkpoint_by_any_of_its_names(prefix, ending):
    released = assert_read(prefix + ending)
    assert released.ignored == {
        "MobilenetV2/Conv/weights/Momentum": "optimiser slot",
        "global_step": "step counter",
    }


def test_folder_and_archive_of_a_checkpoint(prefix, tmp_path):
    folder = tmp_path / "deeplabv3_some"
    graph = folder / "frozen_inference_graph.pb"
    graph.write_bytes(b"which is not looked at")
    assert_read(folder)
    assert_read(archive(tmp_path / "zoo.tar.gz", *folder.iterdir()))


def test_frozen_graph_alone_and_in_an_archive(tmp_path):
    path = tmp_path / "frozen_inference_graph.pb"
    path.write_bytes(graph_def().SerializeToString())
    assert_read(path)
    released = assert_read(archive(tmp_path / "zoo.tgz", path))
    assert released.source.endswith("zoo.tgz")
    # (33 - 1) / (3 - 1) = 16; the rates are stated at output stride 16.
    assert released.settings == {
        "model.padded_size": (33, 49),
        "model.output_stride": 16,
        "model.atrous_rates": (12, 24),
    }


def test_rates_of_a_graph_are_brought_to_output_stride_16():
    graph = frozen_graph.FrozenGraph(graph_def(window=5), "x.pb")
    assert graph.settings()["output_stride"] == (33 - 1) / (5 - 1)
    assert graph.settings()["atrous_rates"] == (12 * 8 // 16, 24 * 8 // 16)


def test_a_scope_that_was_entered_twice_is_read_once(tmp_path):
    doubled = {
        "MobilenetV2/Conv/BatchNorm/MobilenetV2/Conv/BatchNorm/gamma"
        if name.endswith("gamma")
        else name: value
        for name, value in TENSORS.items()
    }
    assert_read(released_variables.write(tmp_path / "model.ckpt", doubled))


def test_two_checkpoints_in_a_folder_are_named(prefix, tmp_path):
    folder = tmp_path / "deeplabv3_some"
    shutil.copy(f"{prefix}.index", folder / "model.ckpt-9.index")
    with pytest.raises(UserError, match=r"found model\.ckpt-7\.index, model\.ckpt-9"):
        checkpoints.read(str(folder))


@pytest.mark.parametrize("ending", ["index", "data-00000-of-00001"])
def test_truncated_checkpoint_is_refused(prefix, tmp_path, ending):
    path = tmp_path / "deeplabv3_some" / f"model.ckpt-7.{ending}"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match=r"model\.ckpt-7: is damaged or incomplete"):
        checkpoints.read(prefix)


def test_missing_shard_is_refused(prefix, tmp_path):
    (tmp_path / "deeplabv3_some" / "model.ckpt-7.data-00000-of-00001").unlink()
    with pytest.raises(UserError, match="is damaged or incomplete"):
        checkpoints.read(prefix)


def test_tf2_checkpoint_is_refused(tmp_path):
    path = tf.train.Checkpoint(x=tf.Variable(1.0)).save(str(tmp_path / "ckpt"))
    with pytest.raises(UserError, match="is a TF2 checkpoint"):
        checkpoints.read(path)


@pytest.mark.parametrize("name", ["none.ckpt", "none.pb", "none.tar.gz"])
def test_missing_file_is_named(tmp_path, name):
    with pytest.raises(UserError, match=f"{name}.*no such file"):
        checkpoints.read(str(tmp_path / name))


@pytest.mark.parametrize("name", ["cut.pb", "text.pb", "cut.tar.gz", "empty.tar.gz"])
def test_damaged_file_is_refused(tmp_path, name):
    whole = tmp_path / "whole.pb"
    whole.write_bytes(graph_def().SerializeToString())
    path = tmp_path / name
    if name == "cut.pb":
        path.write_bytes(whole.read_bytes()[:-20])
    elif name == "text.pb":
        path.write_text("This is no graph.")
    elif name == "cut.tar.gz":
        archive(path, whole)
        path.write_bytes(path.read_bytes()[:-30])
    else:
        note = tmp_path / "note.txt"
        note.write_text("nothing")
        archive(path, note)
    with pytest.raises(UserError, match=name):
        checkpoints.read(str(path))


def test_graph_of_another_export_is_refused(tmp_path):
    path = tmp_path / "other.pb"
    path.write_bytes(graph_def(picture="image_tensor").SerializeToString())
    with pytest.raises(UserError, match=r"other\.pb.*ImageTensor missing"):
        checkpoints.read(str(path))


def test_released_graph_and_checkpoint_hold_the_same(shared_dir):
    weights = shared_dir / "weights"
    frozen = checkpoints.read(
        str(weights / "frozen_mnv2_dm05_voc/frozen_inference_graph_513.pb")
    )
    trained = checkpoints.read(
        str(weights / "tf1_checkpoints/deeplabv3_mnv2_dm05_pascal_trainaug")
    )
    assert frozen.settings == {
        "model.padded_size": (513, 513),
        "model.output_stride": 8,
    }
    assert set(frozen.tensors) == set(trained.tensors)
    assert len(trained.ignored) == 164 + 1  # a slot a trained variable, the step
    for name, value in trained.tensors.items():
        np.testing.assert_array_equal(frozen.tensors[name], value)


def hostile(path, *, in_function=False):
    """A graph of the released form that writes a file where it is run."""
    write = tf.raw_ops.WriteFile
    with tf.compat.v1.Graph().as_default() as graph:
        if in_function:

            @tf.function(input_signature=[])
            def function():
                write(filename=str(path), contents="here")
                return tf.constant(1)

            called = [function()]
        else:
            called = [write(filename=str(path), contents="here")]
        tf1 = tf.compat.v1
        image = tf1.placeholder(tf.uint8, [1, None, None, 3], name="ImageTensor")
        with tf.control_dependencies(called):
            tf.identity(image[..., 0], name="SemanticPredictions")
    return graph.as_graph_def()


@pytest.mark.parametrize(
    ("in_function", "words"), [(False, "WriteFile"), (True, "it has functions")]
)
def test_a_graph_that_could_write_files_is_refused(tmp_path, in_function, words):
    written, path = tmp_path / "written", tmp_path / "hostile.pb"
    graph = hostile(written, in_function=in_function)
    path.write_bytes(graph.SerializeToString())
    with pytest.raises(UserError, match=rf"hostile\.pb: is refused.*{words}"):
        checkpoints.read_graph(str(path))
    # It is what it seems: TensorFlow runs it.
    frozen_graph.FrozenGraph(graph, "hostile.pb").run(
        np.zeros((2, 2, 3), np.uint8), ["SemanticPredictions"]
    )
    assert written.read_text() == "here"


def test_a_constant_that_declares_the_memory_of_the_machine_is_refused(tmp_path):
    graph = graph_def()
    node = next(node for node in graph.node if node.name == "logits/semantic/biases")
    node.attr["value"].tensor.tensor_shape.dim[0].size = 2**40
    path = tmp_path / "huge.pb"
    path.write_bytes(graph.SerializeToString())
    with pytest.raises(UserError, match=r"huge\.pb: is refused: it unpacks to more"):
        checkpoints.read(str(path))


def member(name, kind=tarfile.REGTYPE, size=0, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, size, link
    return info


@pytest.mark.parametrize(
    ("info", "words"),
    [
        (member("/outside"), "leads out of the folder"),
        (member("a/../../outside"), "leads out of the folder"),
        (member("C:\\outside"), "leads out of the folder"),
        (member("link", tarfile.SYMTYPE, link="/etc/passwd"), "no file or folder"),
        (member("link", tarfile.LNKTYPE, link="model.ckpt"), "no file or folder"),
        (member("pipe", tarfile.FIFOTYPE), "no file or folder"),
    ],
)
def test_archives_that_reach_out_are_refused(tmp_path, info, words):
    path = tmp_path / "zoo.tar.gz"
    with tarfile.open(path, "w:gz") as file:
        file.addfile(info, io.BytesIO(bytes(info.size)))
    with pytest.raises(UserError, match=rf"zoo\.tar\.gz: is refused: .*{words}"):
        checkpoints.read(str(path))
    assert os.listdir(tmp_path) == ["zoo.tar.gz"]


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MAX_UNPACKED", 100_000)
    note = tmp_path / "zeros.pb"
    note.write_bytes(bytes(300_000))
    path = archive(tmp_path / "bomb.tar.gz", note)
    assert path.stat().st_size < 2000
    with pytest.raises(UserError, match=r"bomb\.tar\.gz: is refused: it unpacks to"):
        checkpoints.read(str(path))


def test_a_path_of_letters_that_mean_something_to_glob(tmp_path):
    folder = tmp_path / "[exp] 1*\\"
    folder.mkdir()
    path = released_variables.write(folder / "model[2].ckpt-7", TENSORS)
    for given in (path, folder):
        read = checkpoints.read(str(given))
        np.testing.assert_equal(dict(read.tensors), TENSORS)


@pytest.mark.parametrize("field", ["dtype", "tensor_content"])
def test_a_graph_with_odd_constants_is_damaged(tmp_path, field):
    graph = graph_def()
    name = "logits/semantic/biases"
    (node,) = [node for node in graph.node if node.name == name]
    node.attr["value"].tensor.ClearField(field)
    node.attr["value"].tensor.tensor_content = b"odd"
    path = tmp_path / "graph.pb"
    path.write_bytes(graph.SerializeToString())
    with pytest.raises(UserError, match=r"graph\.pb: is a damaged graph"):
        checkpoints.read(str(path))
