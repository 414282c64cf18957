import numpy as np
import pytest
import tensorflow as tf
import tiny_run

from deeplab_tf import config
from deeplab_tf.inference import predictor
from deeplab_tf.network.deeplab import build_model

pytestmark = pytest.mark.usefixtures("shallow_resnet")

MODEL = config.Config().replace({**tiny_run.NARROW, **tiny_run.FEW_LAYERS}).model
CLASSES = 4


@pytest.fixture(scope="module")
def model():
    model = build_model(MODEL, CLASSES)
    tiny_run.randomize(model)
    return model


def align_corners(x, height, width):
    """Bilinear interpolation of [H, W, C] by the definition, in float64."""
    for axis, size in ((0, height), (1, width)):
        old = x.shape[axis]
        at = np.arange(size) * (old - 1) / (size - 1)
        low = np.clip(np.floor(at).astype(int), 0, old - 2)
        weight = (at - low).reshape([-1, 1, 1] if axis == 0 else [1, -1, 1])
        x = np.take(x, low, axis) * (1 - weight) + np.take(x, low + 1, axis) * weight
    return x


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def by_hand(model, picture, scales, flip):
    """One picture [H, W, 3], each pass for itself, averaged in NumPy."""
    height, width = picture.shape[:2]
    maps = []
    for scale in scales:
        for mirrored in (False, True) if flip else (False,):
            x = np.float64(picture[:, ::-1] if mirrored else picture)
            if scale != 1:
                x = align_corners(x, int(height * scale), int(width * scale))
            y = np.float64(model(np.float32(x[None]), training=False)[0])
            y = softmax(align_corners(y, height, width))
            maps.append(y[:, ::-1] if mirrored else y)
    return np.mean(maps, 0)


@pytest.mark.parametrize(
    ("scales", "flip"), [((1.0,), False), ((1.0,), True), ((0.5, 1.0, 1.3), True)]
)
def test_averages_equal_those_by_hand(model, scales, flip):
    picture = tiny_run.pictures(74, 91)[0]
    predict = predictor.make_predictor(model, scales=scales, flip=flip)
    expected = by_hand(model, picture, scales, flip)
    probabilities = predict.probabilities(tf.constant(picture[None]))[0].numpy()
    np.testing.assert_allclose(probabilities, expected, atol=2e-4)
    labels, confidence = predict.labels_and_confidence(picture[None])
    np.testing.assert_array_equal(labels[0], probabilities.argmax(-1))
    np.testing.assert_allclose(confidence[0], probabilities.max(-1), atol=1e-6)
    np.testing.assert_array_equal(predict.labels(picture[None]), labels)
    assert labels.dtype == np.uint8


def test_a_batch_equals_its_pictures(model):
    pictures = tiny_run.pictures(50, 67, count=3)
    predict = predictor.make_predictor(model, flip=True)
    singly = np.concatenate([predict.labels(pictures[i : i + 1]) for i in range(3)])
    np.testing.assert_array_equal(predict.labels(pictures), singly)


def test_float_pictures_are_taken_too(model):
    pictures = tiny_run.pictures(50, 67)
    predict = predictor.make_predictor(model)
    for dtype in (np.float32, np.float64, np.int32):
        np.testing.assert_array_equal(
            predict.labels(pictures.astype(dtype)), predict.labels(pictures)
        )


def test_frozen_keeps_the_weights_and_unfrozen_follows_them():
    model = build_model(MODEL, CLASSES)
    tiny_run.randomize(model, seed=3)
    pictures = tiny_run.pictures(49, 49)
    frozen = predictor.make_predictor(model, frozen=True)
    living = predictor.make_predictor(model)
    before = living.labels(pictures)
    np.testing.assert_array_equal(frozen.labels(pictures), before)
    bias = model.get_layer("logits").bias
    bias.assign(np.array(bias) + 100.0 * (np.arange(CLASSES) == 2))
    assert (living.labels(pictures) == 2).all()
    np.testing.assert_array_equal(frozen.labels(pictures), before)


@pytest.mark.parametrize("count", [1, 3])
def test_two_replicas_equal_one_device(model, count):
    strategy = tf.distribute.MirroredStrategy(
        ["CPU:0", "CPU:1"], tf.distribute.ReductionToOneDevice()
    )
    with strategy.scope():
        mirrored = build_model(MODEL, CLASSES)
        mirrored.set_weights(model.get_weights())
    pictures = tiny_run.pictures(40, 52, count=count)
    single = predictor.make_predictor(model)
    double = predictor.make_predictor(mirrored, strategy=strategy)
    for given, expected in zip(
        double.labels_and_confidence(pictures),
        single.labels_and_confidence(pictures),
        strict=True,
    ):
        np.testing.assert_allclose(given, expected, atol=1e-6)
