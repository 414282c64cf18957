import subprocess
import sys

import numpy as np
import pytest
import tiny_run
from PIL import Image

from deeplab_tf import load, runs
from deeplab_tf.errors import UserError
from deeplab_tf.evaluation import evaluate, image_scores
from deeplab_tf.export import saved_model
from deeplab_tf.inference import predictor
from deeplab_tf.inference.exported import open_export

pytestmark = pytest.mark.usefixtures("shallow_resnet")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return runs.open_run(
        tiny_run.write(tmp_path_factory.mktemp("segmenter"), tiny_run.FEW_LAYERS)
    )


@pytest.fixture(scope="module")
def model(run):
    return runs.load_model(run)


@pytest.fixture(scope="module")
def exported(run, model):
    path = run.path / "saved_model"
    saved_model.save(model, run, path)
    return path


def expected_labels(model, picture):
    return predictor.make_predictor(model).labels(picture[None])[0]


def test_three_lines(run, model, tmp_path):
    picture = tiny_run.pictures(61, 82)[0]
    Image.fromarray(picture).save(tmp_path / "picture.png")
    segmenter = load(run.path)
    expected = expected_labels(model, picture)
    for given in (picture, Image.fromarray(picture), tmp_path / "picture.png"):
        np.testing.assert_array_equal(segmenter.predict(given), expected)
    labels, confidence = segmenter.predict_with_confidence(
        str(tmp_path / "picture.png")
    )
    np.testing.assert_array_equal(labels, expected)
    assert confidence.shape == (61, 82)
    assert segmenter.draw(picture).size == (82, 61)
    assert segmenter.info == run.info


def test_a_saved_model_predicts_the_same(exported, model):
    picture = tiny_run.pictures(61, 82)[0]
    labels = load(exported).predict(picture)
    assert (labels == expected_labels(model, picture)).mean() > 0.995


def test_a_saved_model_is_evaluated_like_its_run(run, model, exported):
    results = [
        evaluate.evaluate(
            predict, run.config.data.dataset_dir, run.info, "val", detailed=True
        )
        for predict in (predictor.make_predictor(model), open_export(str(exported)))
    ]
    first, second = (
        image_scores.class_pixels(result["pictures"], 3) for result in results
    )
    total = first[:, 1].sum()
    assert np.abs(first - second).sum() < 0.001 * total
    errors = [r["calibration"]["expected_calibration_error"] for r in results]
    assert errors[1] == pytest.approx(errors[0], abs=1e-3)


def test_tiles_of_a_picture_that_fits_are_the_picture(run, model):
    picture = tiny_run.pictures(65, 97)[0]
    labels = load(run.path, tile_size=97).predict(picture)
    assert (labels == expected_labels(model, picture)).mean() > 0.995


def test_wrong_pictures_and_paths_are_told(run, exported, tmp_path):
    with pytest.raises(UserError, match=r"width, 3\].*received .*\[4, 5, 5\]"):
        load(run.path).predict(np.zeros((4, 5, 5)))
    with pytest.raises(UserError, match="no such file or folder"):
        load(tmp_path / "missing")
    with pytest.raises(UserError, match="takes no options"):
        load(exported, flip=True)


def test_the_package_itself_loads_no_tensorflow():
    code = "import sys, deeplab_tf; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
