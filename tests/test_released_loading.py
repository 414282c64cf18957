"""One door for every trained network: what is loaded labels as its own model does."""

import pathlib

import numpy as np
import pytest
import released_variables
import tiny_run
from PIL import Image
from released_variables import Variables

import deeplab_tf
from deeplab_tf import runs
from deeplab_tf.errors import UserError
from deeplab_tf.inference import exported, predictor
from deeplab_tf.released import checkpoints, loading

pytestmark = pytest.mark.usefixtures("shallow_resnet")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A released MobileNetV2 of a third of its width, of random weights."""
    variables = Variables()
    cin, tap = released_variables.backbone(variables, "mobilenet_v2", 0.35)
    released_variables.head(variables, cin, tap, 21)
    folder = tmp_path_factory.mktemp("checkpoint")
    tensors = released_variables.fill(variables)
    return released_variables.write(folder / "model.ckpt", tensors)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return runs.open_run(
        str(tiny_run.write(tmp_path_factory.mktemp("run"), tiny_run.FEW_LAYERS))
    )


def test_a_checkpoint_is_imported_with_the_options(checkpoint):
    segmenter = deeplab_tf.load(checkpoint, output_stride=8)
    tensors = checkpoints.read(checkpoint).tensors
    kernel = tensors["logits/semantic/weights"]
    np.testing.assert_array_equal(segmenter.model.get_layer("logits").kernel, kernel)
    assert segmenter.model.get_layer("padding").stride == 8
    assert segmenter.info.name == "voc2012"
    assert segmenter(tiny_run.pictures(40, 50)[0]).shape == (40, 50)


def test_one_image_a_list_and_a_batch(run, tmp_path):
    segmenter = deeplab_tf.load(run.path)
    small, large = tiny_run.pictures(33, 49)[0], tiny_run.pictures(65, 50)[0]
    Image.fromarray(small).save(tmp_path / "small.png")
    want = segmenter.predict(small)
    for one in (small, tmp_path / "small.png", small.tolist()):
        np.testing.assert_array_equal(segmenter(one), want)
    first, second = segmenter([tmp_path / "small.png", large])
    np.testing.assert_array_equal(first, want)
    np.testing.assert_array_equal(second, segmenter.predict(large))
    batch = segmenter(np.stack([small, small[::-1]]))
    np.testing.assert_array_equal(batch[0], want)
    assert batch.shape == (2, 33, 49)
    assert segmenter([]) == []


def test_the_keras_model_is_that_of_the_run(run):
    kernel = runs.load_model(run).get_layer("logits").kernel
    for options in ({}, {"tile_size": 65}):
        model = deeplab_tf.load(run.path, **options).model
        np.testing.assert_array_equal(model.get_layer("logits").kernel, kernel)


def test_a_keras_file_from_elsewhere_has_its_classes_by_number(run, tmp_path):
    model = runs.load_model(run)
    model.save(tmp_path / "theirs.keras")
    segmenter = deeplab_tf.load(tmp_path / "theirs.keras")
    assert segmenter.info.class_names == ("class_0", "class_1", "class_2")
    images = tiny_run.pictures(65, 65)
    labels = predictor.make_predictor(segmenter.model).labels(images)
    np.testing.assert_array_equal(segmenter(images), labels)


@pytest.mark.parametrize(
    ("names", "expected"), [(["logits"], 7), (["labels"], 255), (["features"], 0)]
)
def test_the_classes_of_a_file_from_elsewhere_are_counted(names, expected):
    class Elsewhere:
        channels, sizes, run = 3, ((8, 9),), {}

        def __call__(self, images, wanted):
            assert images.shape == (1, 8, 9, 3)
            return {"logits": np.zeros((1, 8, 9, 7), np.float32)}

    runner = Elsewhere()
    runner.names = names
    path = pathlib.Path("theirs.tflite")
    opened = exported.Export(path=path, format="TFLite", runner=runner)
    if expected:
        assert loading._num_classes(opened) == expected
    else:
        with pytest.raises(UserError, match=r"must be labels, .* received features"):
            loading._num_classes(opened)


def test_what_released_files_are(run, checkpoint, tmp_path):
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "saved_model.pb").touch()
    (tmp_path / "saved" / "variables.index").touch()
    folder = checkpoint.rpartition("/")[0]
    for source in ("zoo:any", checkpoint, folder, "a.tar.gz", f"{checkpoint}.index"):
        assert loading.is_released(str(source))
    for source in (run.path, tmp_path / "saved", tmp_path / "none", "a.tflite"):
        assert not loading.is_released(str(source))


def test_what_is_nothing_is_told(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        deeplab_tf.load(tmp_path / "nothing")
    with pytest.raises(UserError, match="unknown released model 'nothing'"):
        deeplab_tf.load("zoo:nothing")
