"""Padding to a size and cutting back, alone and around the whole network."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from deeplab_tf.config import Model
from deeplab_tf.model import build_model
from deeplab_tf.padding import CutLike, PadTo

NARROW = {
    "depth_multiplier": 0.25,
    "aspp_channels": 8,
    "decoder_channels": 8,
    "low_level_channels": 4,
}


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("size", [(5, 9), (5, 3), (2, 9), (3, 6)])
def test_pads_below_and_to_the_right_up_to_the_size(size, known):
    x = np.random.default_rng(0).normal(size=(2, 3, 6, 4)).astype(np.float32)
    layer = PadTo(size)
    shape = x.shape if known else (None, None, None, 4)
    padded = tf.function(layer, input_signature=[tf.TensorSpec(shape)])(x)
    missing = [
        max(wanted - side, 0) for wanted, side in zip(size, x.shape[1:3], strict=True)
    ]
    np.testing.assert_array_equal(
        padded, np.pad(x, [(0, 0), (0, missing[0]), (0, missing[1]), (0, 0)])
    )
    assert layer.compute_output_shape(x.shape) == padded.shape
    np.testing.assert_array_equal(CutLike()([padded, x]), x)
    np.testing.assert_array_equal(layer(x, training=True), x)


@pytest.mark.parametrize("size", [(65, 81), (49, 113), (97, 113)])
def test_network_sees_the_mean_colour_around_the_picture(size):
    keras.utils.set_random_seed(0)
    plain = build_model(Model(**NARROW), 3)
    padding = build_model(Model(**NARROW, padded_size=(65, 97)), 3)
    padding.set_weights(plain.get_weights())
    height, width = size
    picture = np.random.default_rng(1).uniform(0, 255, (1, height, width, 3))
    around = np.full((1, max(height, 65), max(width, 97), 3), 127.5)
    around[:, :height, :width] = picture
    want = np.asarray(plain(np.float32(around)))[:, :height, :width]
    got = np.asarray(padding(np.float32(picture)))
    assert got.shape == (1, height, width, 3)
    np.testing.assert_allclose(got, want, atol=1e-5 * np.abs(want).max())


def test_padding_model_survives_saving(tmp_path):
    model = build_model(Model(**NARROW, padded_size=(65, 97)), 3)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    picture = np.random.default_rng(2).uniform(0, 255, (1, 40, 50, 3))
    np.testing.assert_array_equal(
        loaded(np.float32(picture)), model(np.float32(picture))
    )
