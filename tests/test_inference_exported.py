import dataclasses

import numpy as np
import pytest
import tiny_run
from PIL import Image

from deeplab_tf import runs
from deeplab_tf.errors import UserError
from deeplab_tf.export import proof, saved_model
from deeplab_tf.export.agreement import Agreement, compare
from deeplab_tf.export.tflite import converter
from deeplab_tf.inference import exported
from deeplab_tf.inference.exported import Export

pytestmark = pytest.mark.usefixtures("shallow_resnet")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return runs.open_run(
        tiny_run.write(tmp_path_factory.mktemp("export"), tiny_run.FEW_LAYERS)
    )


@pytest.fixture(scope="module")
def model(run):
    return runs.load_model(run)


@pytest.fixture(scope="module")
def lite(run, model, tmp_path_factory):
    path = tmp_path_factory.mktemp("lite") / "model.tflite"
    path.write_bytes(converter.convert(model, run, [(49, 81), (97, 65)]))
    return exported.open_export(str(path), num_threads=1)


class Outputs:
    """A runtime whose outputs are computed by functions of the images."""

    run, channels = {}, 3

    def __init__(self, *sizes, **outputs):
        self.sizes, self.outputs, self.names = sizes, outputs, set(outputs)

    def __call__(self, images, names):
        return {name: self.outputs[name](images) for name in names}


def opened(*sizes, **outputs):
    """An export of these outputs; by default logits that are the image's channels."""
    runner = Outputs(*sizes, **(outputs or {"logits": np.float32}))
    return Export(path=None, format="", runner=runner)


def test_padding_goes_right_and_below_in_the_backbones_mean(lite):
    picture = np.full((40, 70, 3), 7, np.uint8)
    fitted, (rows, columns) = lite.fit(picture)
    assert fitted.shape == (1, 49, 81, 3)
    np.testing.assert_array_equal(fitted[0, rows, columns], picture)
    mean = np.uint8([123.15, 115.90, 103.06])
    assert (fitted[0, 40:] == mean).all()
    assert (fitted[0, :, 70:] == mean).all()
    grey = (123.15 + 115.90 + 103.06) / 3
    np.testing.assert_allclose(exported.border(lite.run, 2), [grey, grey], rtol=1e-6)


@pytest.mark.parametrize(
    ("backbone", "channels", "mean"),
    [
        ("resnet_50", 3, (123.15, 115.90, 103.06)),
        ("resnet_50", 1, (114.03667,)),
        ("xception_65", 4, (127.5,) * 4),
        (None, 2, (127.5, 127.5)),
    ],
)
def test_border_of_other_channels_is_the_mean_of_the_means(backbone, channels, mean):
    run = {"config": {"model": {"backbone": backbone}}} if backbone else {}
    np.testing.assert_allclose(exported.border(run, channels), mean, rtol=1e-6)


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
    labels = opened((40, 90)).labels(picture[None])[0]
    assert labels.shape == (80, 120)
    assert (labels == expected).mean() > 0.98
    np.testing.assert_array_equal(opened().labels(picture[None])[0], expected)


def test_labels_of_many_classes_come_back():
    """A byte does not hold them, neither shrunk nor at the image's own size."""
    wide = opened(
        (40, 60), logits=lambda images: 9 * np.eye(300)[np.int32(images[..., 0]) + 44]
    )
    image = np.full((1, 80, 120, 3), 255, np.uint8)
    labels = wide.labels(image)
    assert labels.shape == (1, 80, 120)
    assert set(labels.ravel()) == {299}
    alone = opened((40, 60), labels=lambda images: np.int32(images[..., 0]) + 44)
    np.testing.assert_array_equal(alone.labels(image), labels)
    assert opened().labels(image).dtype == np.uint8


def test_probabilities_are_those_of_the_scores():
    images = np.random.default_rng(0).integers(0, 4, (2, 5, 7, 3)).astype(np.uint8)
    exp = np.exp(np.float64(images))
    expected = exp / exp.sum(-1, keepdims=True)
    np.testing.assert_allclose(opened().probabilities(images), expected, rtol=1e-5)
    labels, confidence = opened().labels_and_confidence(images)
    np.testing.assert_array_equal(labels, images.argmax(-1))
    np.testing.assert_allclose(confidence, expected.max(-1), rtol=1e-5)
    shrunk = opened((5, 4))
    assert shrunk.probabilities(images).shape == (2, 5, 7, 3)
    assert shrunk.labels_and_confidence(images)[1] is None
    alone = opened(labels=lambda images: images[..., 0])
    assert alone.labels_and_confidence(images)[1] is None
    with pytest.raises(UserError, match="gives labels, no probabilities"):
        alone.probabilities(images)


def test_a_saved_model_runs_once_an_image(run, model, tmp_path, monkeypatch):
    """Also from a folder whose name means something to glob."""
    saved_model.save(model, run, tmp_path / "[a] 1*")
    one = exported.open_export(str(tmp_path / "[a] 1*"))
    calls = []

    def counted(name, signature):
        return lambda **images: calls.append(name) or signature(**images)

    known = one.runner._signatures
    signatures = {name: counted(name, known[name]) for name in known}
    monkeypatch.setattr(one.runner, "_signatures", signatures)
    images = tiny_run.pictures(40, 50, 2)
    labels = one.labels(images)
    one.labels_and_confidence(images)
    one.probabilities(images)
    every = len(images)
    assert calls == ["labels"] * every + ["serving_default"] * 2 * every
    del signatures["labels"]  # as an earlier version wrote it
    np.testing.assert_array_equal(one.labels(images), labels)
    assert calls[3 * every :] == ["serving_default"] * every


def test_tflite_as_saved_model_as_keras(run, model, lite, tmp_path):
    saved_model.save(model, run, tmp_path / "export")
    examples = proof.sample(run, 3)
    assert len(examples) == 3
    for one in (exported.open_export(str(tmp_path / "export")), lite):
        assert one.run == run.to_dict()
        assert one.num_bytes > 4 * model.count_params()
        agreement = compare(model, one, examples, run.info)
        assert agreement.num_pictures == 3
        agreement.require_float("it")


def test_differences_are_those_of_numpy(run, model):
    """An export that is wrong by a known amount in a known place."""
    picture = tiny_run.pictures(40, 50)[0]
    logits = np.asarray(model(np.float32(picture[None]), training=False))
    wrong = logits.copy()
    wrong[0, :10] = 0
    wrong[0, :10, :, 2] = 50
    broken = opened(logits=lambda images: wrong)
    agreement = compare(model, broken, [(picture, None)], run.info)
    same = (logits.argmax(-1) == wrong.argmax(-1)).mean()
    assert agreement.pixel_agreement == pytest.approx(same)
    difference = np.abs(wrong - logits)
    assert agreement.max_difference == pytest.approx(difference.max(), rel=1e-3)
    assert agreement.mean_difference == pytest.approx(difference.mean(), rel=1e-3)
    assert agreement.logit_range == pytest.approx(np.ptp(logits), rel=1e-3)
    with pytest.raises(UserError, match="worse than Keras"):
        agreement.require_float("it")


def test_miou_is_that_of_both_predictions(run, model):
    """Labels that are Keras' own give mIoU 1 to Keras and less to a wrong export."""
    picture = tiny_run.pictures(40, 50)[0]
    truth = np.asarray(model(np.float32(picture[None]), training=False)).argmax(-1)[0]
    wrong = opened(labels=lambda images: 0 * truth[None])
    agreement = compare(model, wrong, [(picture, np.int32(truth))], run.info)
    present = np.unique(truth)
    zeros = (truth == 0).mean()
    assert agreement.keras_miou == 1.0
    assert agreement.miou == pytest.approx(zeros / len(set(present) | {0}))
    assert agreement.miou_drop == pytest.approx(1 - agreement.miou)
    agreement.require_miou("it", 1.0)
    with pytest.raises(UserError, match="mIoU"):
        agreement.require_miou("it", 0.5 * agreement.miou_drop)


def test_what_the_size_costs_is_measured(run, model):
    """Labels are Keras' own at the picture's size: mIoU 1 there, less if shrunk."""
    picture = tiny_run.pictures(60, 80)[0]
    logits = np.asarray(model(np.float32(picture[None]), training=False))
    truth = np.int32(logits.argmax(-1)[0])
    small = opened(
        (33, 49),
        logits=lambda images: np.asarray(model(np.float32(images), training=False)),
    )
    agreement = compare(model, small, [(picture, truth)], run.info)
    assert agreement.own_size_miou == 1.0
    assert agreement.keras_miou < 0.999
    assert agreement.miou == pytest.approx(agreement.keras_miou, abs=0.01)
    assert f"the fixed size costs {1 - agreement.keras_miou:.4f}" in str(agreement)
    assert "1 of 1 pictures are larger" in agreement.warning
    as_good = dataclasses.replace(agreement, keras_miou=1.00001)
    assert "the fixed size costs nothing" in str(as_good)
    better = dataclasses.replace(agreement, keras_miou=1.0002)
    assert "the fixed size gains 0.0002" in str(better)
    held = opened((60, 80), logits=small.runner.outputs["logits"])
    agreement = compare(model, held, [(picture, truth)], run.info)
    assert agreement.own_size_miou == agreement.keras_miou == 1.0
    assert "costs" not in str(agreement)
    assert not agreement.warning


def test_not_a_number_is_no_agreement():
    agreement = Agreement(
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
    released = exported.open_export(str(folder / "deeplabv3.tflite"))
    picture = np.asarray(Image.open(folder / f"segmentation_input_{name}.jpg"))
    golden = np.asarray(Image.open(folder / f"segmentation_golden_{name}.png"))
    # The turned picture is turned back for the network, and so is the mask of it.
    turns = "flop" in name
    upright = np.rot90(picture)[:, ::-1] if turns else picture
    labels = released.labels(upright[None])[0]
    labels = np.rot90(labels)[:, ::-1] if turns else labels
    assert (10 * labels == golden).mean() >= 0.999


@pytest.mark.parametrize("build", ["", "_toco"])
def test_released_quantized_files(shared_dir, build):
    """Also the one that the default delegate refuses."""
    folder = shared_dir / "weights/tflite"
    path = folder / f"deeplabv3_mnv2_pascal_quant{build}.tflite"
    released = exported.open_export(str(path))
    picture = np.asarray(Image.open(folder / "bird_segmentation.bmp").convert("RGB"))
    mask = np.asarray(Image.open(folder / "bird_segmentation_mask.bmp"))
    labels = released.labels(picture[None])[0]
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
        exported.open_export(str(tmp_path / name))
