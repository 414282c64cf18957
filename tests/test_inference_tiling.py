import itertools

import numpy as np
import pytest
import tensorflow as tf

from deeplab_tf import config
from deeplab_tf.errors import UserError
from deeplab_tf.inference import tiling
from deeplab_tf.inference.predictor import make_predictor
from deeplab_tf.network.deeplab import build_model

CLASSES = 3


class Blur:
    """A predictor whose answer for a pixel depends on its neighbours, as a net's."""

    spacings = ()

    def __init__(self, reach):
        self.reach = reach
        self.sizes = set()

    def features(self, pictures):
        return []

    def probabilities(self, pictures, means=()):
        self.sizes.add(tuple(pictures.shape[1:3]))
        x = tf.cast(pictures, tf.float32) / 255
        kernel = tf.ones([2 * self.reach + 1] * 2 + [CLASSES, 1])
        x = tf.nn.depthwise_conv2d(x, kernel, [1] * 4, "SAME")
        return tf.nn.softmax(x / 10)


def pictures(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (1, height, width, 3), np.uint8)


@pytest.mark.parametrize(("length", "tile"), [(40, 97), (97, 97), (98, 97), (1000, 97)])
@pytest.mark.parametrize("overlap", [0.0, 0.3, 0.5, 0.9])
def test_tiles_cover_a_side_with_weights_of_sum_one(length, tile, overlap):
    places = tiling.places(length, tile, overlap)
    total = np.zeros(length)
    for start, weights in places:
        total[start : start + len(weights)] += weights
    np.testing.assert_allclose(total, 1, rtol=1e-5)
    starts = np.array([start for start, _ in places])
    assert not (starts % 32).any()
    assert (np.diff(starts) <= max(32, tile * (1 - overlap))).all()
    sizes = [len(weights) for _, weights in places]
    assert set(sizes[:-1]) <= {tile}
    assert min(length, tile) <= sizes[-1] < tile + 32


@pytest.mark.parametrize("size", [(300, 401), (97, 200), (50, 60)])
def test_a_local_model_gives_the_same_in_tiles(size):
    predict, x = Blur(2), pictures(*size)
    whole = predict.probabilities(x)[0].numpy()
    labels, confidence = tiling.make_tiled(predict, 97, 0.5).labels_and_confidence(x)
    # Near a tile's border padding counts, with a weight near 0.
    np.testing.assert_allclose(confidence[0], whole.max(-1), atol=0.01)
    assert (labels[0] == whole.argmax(-1)).mean() > 0.995
    assert labels.dtype == np.uint8


def test_blend_equals_weighted_sum_by_hand():
    x, predict = pictures(130, 180), Blur(7)
    tiled = tiling.make_tiled(predict, 97, 0.5)
    total = np.zeros((130, 180, CLASSES))
    norm = np.zeros((130, 180, 1))
    # 97 pixels to a tile, the last one to the picture's end.
    rows, columns = [(0, 97), (32, 130)], [(0, 97), (32, 129), (64, 180)]
    for (top, bottom), (left, right) in itertools.product(rows, columns):
        box = np.s_[top:bottom, left:right]
        weight = (window(bottom - top)[:, None] * window(right - left))[..., None]
        total[box] += weight * predict.probabilities(x[:, *box])[0].numpy()
        norm[box] += weight
    np.testing.assert_allclose(
        tiled.labels_and_confidence(x)[1][0], (total / norm).max(-1), rtol=1e-4
    )


def window(length):
    return np.sin(np.pi * (np.arange(length) + 0.5) / length) ** 8


class Samples(Blur):
    """Its features are the pixels at two strides, so that means are exact."""

    spacings = (16.0, 32.0)

    def features(self, pictures):
        return [tf.cast(pictures[:, ::step, ::step], tf.float32) for step in (16, 32)]


@pytest.mark.parametrize("size", [(289, 513), (300, 500), (90, 402), (400, 97)])
@pytest.mark.parametrize("overlap", [0.0, 0.3, 0.5])
def test_mean_features_are_those_of_the_whole_picture(size, overlap):
    predict, x = Samples(1), pictures(*size)
    means = tiling.make_tiled(predict, 97, overlap)._means(x[0])
    for mean, features in zip(means, predict.features(x), strict=True):
        whole = np.mean(features, (1, 2))
        np.testing.assert_allclose(mean[0, 0], whole, rtol=1e-4)


@pytest.mark.parametrize("output_stride", [8, 16, 32])
def test_cells_of_every_scale_have_the_spacing_that_is_said(output_stride):
    settings = config.Model(depth_multiplier=0.25, output_stride=output_stride)
    scales = (0.5, 1.0)
    predict = make_predictor(build_model(settings, CLASSES), scales=scales, flip=True)
    maps = predict.features(pictures(257, 321))
    assert len(maps) == len(predict.spacings) == 2 * len(scales)
    for features, spacing in zip(maps, predict.spacings, strict=True):
        cells = [-(-side // spacing) for side in (257, 321)]
        assert list(features.shape[1:3]) == cells


def test_tiles_are_labelled_in_the_context_of_the_whole():
    """A tile on its own has another mean than the picture that it is cut from."""
    model = build_model(config.Model(depth_multiplier=0.25), CLASSES)
    predict = make_predictor(model)
    x = pictures(97, 97)
    (features,) = predict.features(x)
    mean = tf.reduce_mean(features, [1, 2], keepdims=True)
    own = predict.probabilities(x).numpy()
    np.testing.assert_allclose(predict.probabilities(x, [mean]), own, rtol=1e-4)
    assert np.abs(predict.probabilities(x, [mean + 1]) - own).max() > 1e-4


@pytest.mark.parametrize(("tile", "overlap"), [(64, 0.5), (97, 1.0), (97, -0.1)])
def test_impossible_tiles_are_refused(tile, overlap):
    with pytest.raises(UserError, match=r"--(tile_size|overlap) must be"):
        tiling.make_tiled(Blur(1), tile, overlap)
