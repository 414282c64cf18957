import numpy as np
import pytest
import tensorflow as tf

from deeplab_tf import tiling
from deeplab_tf.errors import UserError

CLASSES = 3


class Blur:
    """A predictor whose answer for a pixel depends on its neighbours, as a net's."""

    def __init__(self, reach):
        self.reach = reach
        self.sizes = set()

    def __call__(self, pictures):
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
    starts = tiling.positions(length, tile, overlap)
    size = min(tile, length)
    total = np.zeros(length)
    for start, weight in zip(starts, tiling.weights(starts, size, length), strict=True):
        total[start : start + size] += weight
    np.testing.assert_allclose(total, 1, rtol=1e-5)
    assert all(start % 16 == 0 for start in starts[:-1])
    steps = np.diff(starts)
    assert (steps <= max(16, tile * (1 - overlap))).all()


@pytest.mark.parametrize("size", [(300, 401), (97, 200), (50, 60)])
def test_a_local_model_gives_the_same_in_tiles(size):
    predict, x = Blur(2), pictures(*size)
    whole = predict(x)[0].numpy()
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
    hann = np.sin(np.pi * (np.arange(97) + 0.5) / 97) ** 2
    for top in (0, 33):
        for left in (0, 48, 83):
            box = np.s_[top : top + 97, left : left + 97]
            weight = (hann[:, None] * hann)[..., None]
            total[box] += weight * predict(x[:, *box])[0].numpy()
            norm[box] += weight
    np.testing.assert_allclose(
        tiled.labels_and_confidence(x)[1][0], (total / norm).max(-1), rtol=1e-4
    )


def test_all_tiles_have_one_size_and_rows_are_let_go():
    predict = Blur(1)
    tiling.make_tiled(predict, 100).labels(pictures(500, 333))
    assert predict.sizes == {(97, 97)}


@pytest.mark.parametrize(("tile", "overlap"), [(64, 0.5), (97, 1.0), (97, -0.1)])
def test_impossible_tiles_are_refused(tile, overlap):
    with pytest.raises(UserError, match=r"--(tile_size|overlap) must be"):
        tiling.make_tiled(Blur(1), tile, overlap)
