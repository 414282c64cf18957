"""Padding to a size and cutting back, alone and around the whole network."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from deeplab_tf.config import Model
from deeplab_tf.network.deeplab import build_model
from deeplab_tf.network.layers.padding import CutLike, Pad

NARROW = {
    "depth_multiplier": 0.25,
    "aspp_channels": 8,
    "decoder_channels": 8,
    "low_level_channels": 4,
}


def wanted_side(side, stride, least=1):
    """The next side of k * stride + 1."""
    return next(s for s in range(max(side, least), 999) if (s - 1) % stride == 0)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("least", [(), (5, 9), (5, 3), (2, 30)])
@pytest.mark.parametrize("stride", [1, 4, 8])
@pytest.mark.parametrize("size", [(3, 6), (5, 9), (17, 8)])
def test_pads_below_and_to_the_right(size, stride, least, known):
    x = np.random.default_rng(0).normal(size=(2, *size, 4)).astype(np.float32)
    layer = Pad(stride, least)
    shape = x.shape if known else (None, None, None, 4)
    padded = tf.function(layer, input_signature=[tf.TensorSpec(shape)])(x)
    sides = [
        wanted_side(s, stride, m) for s, m in zip(size, least or (1, 1), strict=True)
    ]
    missing = [(0, a - b) for a, b in zip(sides, size, strict=True)]
    np.testing.assert_array_equal(padded, np.pad(x, [(0, 0), *missing, (0, 0)]))
    assert layer.compute_output_shape(x.shape) == padded.shape
    np.testing.assert_array_equal(CutLike()([padded, x]), x)
    in_training = [wanted_side(side, stride) for side in size]
    assert layer(x, training=True).shape == (2, *in_training, 4)


@pytest.fixture(scope="module")
def plain():
    keras.utils.set_random_seed(0)
    return build_model(Model(**NARROW), 3)


@pytest.mark.parametrize("size", [(65, 81), (50, 113), (98, 113)])
@pytest.mark.parametrize("least", [(), (65, 97)])
def test_network_sees_the_mean_colour_around_the_picture(plain, size, least):
    padding = build_model(Model(**NARROW, padded_size=least), 3)
    padding.set_weights(plain.get_weights())
    picture = np.random.default_rng(1).uniform(0, 255, (1, *size, 3))
    sides = [wanted_side(s, 16, m) for s, m in zip(size, least or (1, 1), strict=True)]
    around = np.full((1, *sides, 3), 127.5)
    around[:, : size[0], : size[1]] = picture
    want = np.asarray(plain(np.float32(around)))[:, : size[0], : size[1]]
    got = np.asarray(padding(np.float32(picture)))
    assert got.shape == (1, *size, 3)
    np.testing.assert_allclose(got, want, atol=1e-5 * np.abs(want).max())


def test_a_wider_picture_keeps_its_cells_in_place():
    """Two more columns at the right do not move what is seen far to the left."""
    keras.utils.set_random_seed(0)
    model = build_model(Model(**NARROW, context="none", decoder_strides=()), 3)
    picture = np.random.default_rng(2).uniform(0, 255, (1, 65, 770, 3))
    logits, wider = (
        np.asarray(model(np.float32(x))) for x in (picture[:, :, :-1], picture)
    )
    far = np.abs(logits - wider[:, :, :-1])[:, :, :65].max()
    assert far < 1e-3 * np.abs(logits).max()


def test_padding_model_survives_saving(tmp_path):
    model = build_model(Model(**NARROW, padded_size=(65, 97)), 3)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    picture = np.random.default_rng(2).uniform(0, 255, (1, 40, 50, 3))
    np.testing.assert_array_equal(
        loaded(np.float32(picture)), model(np.float32(picture))
    )
