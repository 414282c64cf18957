import dataclasses

import numpy as np
import pytest
import tiny_run
from PIL import Image

from deeplab_tf import runs
from deeplab_tf.errors import UserError
from deeplab_tf.export import proof, saved_model
from deeplab_tf.export.tflite import converter
from deeplab_tf.inference import exported
from deeplab_tf.inference.exported import Artefact


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return runs.open_run(tiny_run.write(tmp_path_factory.mktemp("artefact")))


@pytest.fixture(scope="module")
def model(run):
    return runs.load_model(run)


@pytest.fixture(scope="module")
def lite(run, model, tmp_path_factory):
    path = tmp_path_factory.mktemp("lite") / "model.tflite"
    path.write_bytes(converter.convert(model, run, [(49, 81), (97, 65)]))
    return exported.open_artefact(str(path), num_threads=1)


def argmax_of_channels(*sizes, **fields):
    """An artefact whose logits are the picture's channels."""
    return Artefact(
        path=None,
        format="",
        run={},
        sizes=sizes,
        call=lambda pictures: {"logits": np.float32(pictures)},
        infer=None,
        **fields,
    )


def test_padding_goes_right_and_below_in_the_backbones_mean(lite):
    picture = np.full((40, 70, 3), 7, np.uint8)
    fitted, (rows, columns) = lite.fit(picture)
    assert fitted.shape == (1, 49, 81, 3)
    np.testing.assert_array_equal(fitted[0, rows, columns], picture)
    assert set(fitted[0, 40:].ravel()) == set(fitted[0, :, 70:].ravel()) == {127}


@pytest.mark.parametrize(
    ("picture", "size"),
    [((40, 70), (49, 81)), ((60, 50), (97, 65)), ((96, 162), (97, 65))],
)
def test_smallest_size_that_holds_the_picture_or_the_largest(lite, picture, size):
    fitted, (rows, columns) = lite.fit(np.zeros((*picture, 3), np.uint8))
    assert fitted.shape[1:3] == size
    factor = min(1, size[0] / picture[0], size[1] / picture[1])
    assert (rows.stop, columns.stop) == (
        round(picture[0] * factor),
        round(picture[1] * factor),
    )


def test_labels_come_back_at_the_pictures_size():
    picture = np.zeros((80, 120, 3), np.uint8)
    picture[:, :60, 1] = picture[:, 60:, 2] = 200
    expected = np.repeat([[1] * 60 + [2] * 60], 80, 0)
    labels = argmax_of_channels((40, 90)).labels(picture)
    assert labels.shape == (80, 120)
    assert (labels == expected).mean() > 0.98
    np.testing.assert_array_equal(argmax_of_channels().labels(picture), expected)


def test_tflite_as_saved_model_as_keras(run, model, lite, tmp_path):
    saved_model.save(model, run, tmp_path / "export")
    examples = proof.sample(run, 3)
    assert len(examples) == 3
    for opened in (exported.open_artefact(str(tmp_path / "export")), lite):
        assert opened.run == run.to_dict()
        assert opened.num_bytes > 4 * model.count_params()
        agreement = proof.compare(model, opened, examples, run.info)
        assert agreement.num_pictures == 3
        agreement.require_float("it")


def test_differences_are_those_of_numpy(run, model):
    """An artefact that is wrong by a known amount in a known place."""
    picture = tiny_run.pictures(40, 50)[0]
    logits = np.asarray(model(np.float32(picture[None]), training=False))
    wrong = logits.copy()
    wrong[0, :10] = 0
    wrong[0, :10, :, 2] = 50
    broken = dataclasses.replace(
        argmax_of_channels(), call=lambda pictures: {"logits": wrong}
    )
    agreement = proof.compare(model, broken, [(picture, None)], run.info)
    same = (logits.argmax(-1) == wrong.argmax(-1)).mean()
    assert agreement.pixel_agreement == pytest.approx(same)
    difference = np.abs(wrong - logits)
    assert agreement.max_difference == pytest.approx(difference.max(), rel=1e-3)
    assert agreement.mean_difference == pytest.approx(difference.mean(), rel=1e-3)
    assert agreement.logit_range == pytest.approx(np.ptp(logits), rel=1e-3)
    with pytest.raises(UserError, match="worse than Keras"):
        agreement.require_float("it")


def test_miou_is_that_of_both_predictions(run, model):
    """Labels that are Keras' own give mIoU 1 to Keras and less to a wrong artefact."""
    picture = tiny_run.pictures(40, 50)[0]
    truth = np.asarray(model(np.float32(picture[None]), training=False)).argmax(-1)[0]
    wrong = dataclasses.replace(
        argmax_of_channels(), call=lambda pictures: {"labels": 0 * truth[None]}
    )
    agreement = proof.compare(model, wrong, [(picture, np.int32(truth))], run.info)
    present = np.unique(truth)
    zeros = (truth == 0).mean()
    assert agreement.keras_miou == 1.0
    assert agreement.miou == pytest.approx(zeros / len(set(present) | {0}))
    assert agreement.miou_drop == pytest.approx(1 - agreement.miou)
    agreement.require_miou("it", 1.0)
    with pytest.raises(UserError, match="mIoU"):
        agreement.require_miou("it", 0.5 * agreement.miou_drop)


def test_not_a_number_is_no_agreement():
    agreement = proof.Agreement(
        num_pictures=1,
        pixel_agreement=1.0,
        max_difference=float("nan"),
        mean_difference=float("nan"),
        logit_range=1.0,
    )
    with pytest.raises(UserError):
        agreement.require_float("it")
    with pytest.raises(UserError):
        agreement.require_miou("it", 1.0)


@pytest.mark.parametrize("name", ["rotation0", "rotation90_flop"])
def test_released_file_and_its_golden_masks(shared_dir, name):
    """A mask holds ten times the class, in the frame of its picture."""
    folder = shared_dir / "weights/tflite/golden"
    released = exported.open_artefact(str(folder / "deeplabv3.tflite"))
    picture = np.asarray(Image.open(folder / f"segmentation_input_{name}.jpg"))
    golden = np.asarray(Image.open(folder / f"segmentation_golden_{name}.png"))
    # The turned picture is turned back for the network, and so is the mask of it.
    turns = "flop" in name
    upright = np.rot90(picture)[:, ::-1] if turns else picture
    labels = released.labels(np.ascontiguousarray(upright))
    labels = np.rot90(labels)[:, ::-1] if turns else labels
    assert (10 * labels == golden).mean() >= 0.999


@pytest.mark.parametrize("build", ["", "_toco"])
def test_released_quantized_files(shared_dir, build):
    """Also the one that the default delegate refuses."""
    folder = shared_dir / "weights/tflite"
    path = folder / f"deeplabv3_mnv2_pascal_quant{build}.tflite"
    released = exported.open_artefact(str(path))
    picture = np.asarray(Image.open(folder / "bird_segmentation.bmp").convert("RGB"))
    mask = np.asarray(Image.open(folder / "bird_segmentation_mask.bmp"))
    labels = released.labels(picture)
    assert labels.dtype == np.int32
    bird = 3
    union = ((labels == bird) | (mask == bird)).sum()
    assert ((labels == bird) & (mask == bird)).sum() > 0.9 * union


def test_pictures_without_the_data_set(run):
    gone = run.config.replace({"data.dataset_dir": "/nowhere"})
    examples = proof.sample(dataclasses.replace(run, config=gone), 2)
    assert [(image.dtype, labels) for image, labels in examples] == [
        (np.uint8, None)
    ] * 2


@pytest.mark.parametrize(
    ("name", "message"),
    [("missing.tflite", "no such"), ("text.tflite", "loaded"), ("a.txt", "must be")],
)
def test_bad_paths(tmp_path, name, message):
    if name != "missing.tflite":
        (tmp_path / name).write_text("no model")
    with pytest.raises(UserError, match=message):
        exported.open_artefact(str(tmp_path / name))
