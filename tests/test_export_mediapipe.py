"""MediaPipe's ImageSegmenter on our files: its masks are ours."""

import dataclasses

import numpy as np
import pytest
import tiny_run

from deeplab_tf import runs
from deeplab_tf.config.options import TFLiteOptions
from deeplab_tf.export import write
from deeplab_tf.export.tflite import converter
from deeplab_tf.export.tflite import mediapipe as ours
from deeplab_tf.inference import exported
from deeplab_tf.network.deeplab import build_model

mediapipe = pytest.importorskip(
    "mediapipe", reason="the extra [mediapipe] is not installed"
)
from mediapipe.tasks.python import BaseOptions, vision  # noqa: E402

pytestmark = pytest.mark.usefixtures("shallow_resnet")
SIZE = 97, 129


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mediapipe")
    return runs.open_run(tiny_run.write(folder, tiny_run.FEW_LAYERS))


def exported_file(run, folder, **options):
    path = folder / "model.tflite"
    options = {"input_size": SIZE, "measure": False, "check_pictures": 1, **options}
    write(run, "tflite", path, TFLiteOptions(max_miou_drop=1.0, **options))
    return path


def segment(path, image):
    """Class names, category mask [H, W] and confidences [H, W, K] of MediaPipe."""
    options = vision.ImageSegmenterOptions(
        base_options=BaseOptions(model_asset_path=str(path)),
        output_category_mask=True,
        output_confidence_masks=True,
    )
    picture = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=image)
    with vision.ImageSegmenter.create_from_options(options) as segmenter:
        result = segmenter.segment(picture)
        masks = [mask.numpy_view().copy() for mask in result.confidence_masks]
        labels = result.category_mask.numpy_view().copy()
        confidences = np.stack([np.squeeze(mask) for mask in masks], -1)
        return list(segmenter.labels), np.squeeze(labels), confidences


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"output_type": "probabilities"},
        {"quantize": "float16"},
        {"quantize": "int8", "calibration_pictures": 2},
    ],
    ids=lambda options: "-".join(map(str, options.values())),
)
def test_masks_are_ours_and_confidences_sum_to_one(run, tmp_path, options):
    path = exported_file(run, tmp_path, **options)
    assert ours.obstacles(path.read_bytes()) == []
    (image,) = tiny_run.pictures(*SIZE)
    names, labels, confidences = segment(path, image)
    assert names == list(run.info.class_names)
    opened = exported.open_export(str(path))
    probabilities = opened.probabilities(image[None])[0]
    assert (labels == probabilities.argmax(-1)).mean() >= 0.999
    np.testing.assert_allclose(confidences.sum(-1), 1, atol=1e-4)
    np.testing.assert_allclose(confidences, probabilities, atol=1e-3)


@pytest.mark.parametrize(
    ("options", "told", "by_mediapipe"),
    [
        ({"output_type": "labels"}, "it reads scores", "Invalid activation type"),
        ({"input_size": (*SIZE, 65, 65)}, "it takes one size", "a single subgraph"),
    ],
)
def test_what_does_not_suit_it_is_told_and_refused(
    run, tmp_path, options, told, by_mediapipe
):
    path = exported_file(run, tmp_path, **options)
    (found,) = ours.obstacles(path.read_bytes())
    assert found.startswith(told)
    assert f"does not take it: {told}" in ours.describe([found])
    with pytest.raises((RuntimeError, ValueError), match=by_mediapipe):
        segment(path, tiny_run.pictures(*SIZE)[0])


def test_other_channels_are_told_and_refused(run, tmp_path):
    info = dataclasses.replace(run.info, channels=1)
    grey = dataclasses.replace(run, info=info)
    model = build_model(run.config.model, info.num_classes, channels=1)
    path = tmp_path / "model.tflite"
    path.write_bytes(converter.convert(model, grey, [SIZE]))
    (found,) = ours.obstacles(path.read_bytes())
    assert found == "it gives 3 channels, and the network takes 1"
    with pytest.raises((RuntimeError, ValueError)):
        segment(path, tiny_run.pictures(*SIZE)[0])
