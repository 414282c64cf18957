import keras
import numpy as np
import pytest
import tiny_run

from deeplab_tf.config import Config
from deeplab_tf.network import folding
from deeplab_tf.network.deeplab import build_model
from deeplab_tf.network.layers import atrous


def build(**settings):
    keras.utils.set_random_seed(0)
    config = Config().replace({**tiny_run.NARROW, **settings})
    model = build_model(config.model, 3)
    tiny_run.randomize(model)
    return model


@pytest.mark.parametrize("kernel", [atrous.undilated, atrous.dilated])
@pytest.mark.parametrize(
    "settings",
    [
        {"model.output_stride": 8},
        {"model.aspp_separable": False, "model.decoder_strides": ()},
    ],
)
def test_function_stays(settings, kernel):
    model = build(**settings)
    folded = folding.fold(model, kernel)
    x = np.float32(tiny_run.pictures(61, 78, count=2))
    expected = np.asarray(model(x, training=False))
    np.testing.assert_allclose(
        folded(x, training=False), expected, atol=1e-4 * np.ptp(expected)
    )


def test_no_batch_norm_is_left():
    kinds = {type(layer) for layer in folding.fold(build()).layers}
    assert not any(issubclass(k, keras.layers.BatchNormalization) for k in kinds)


def test_batch_norm_of_a_map_that_others_read_stays():
    image = keras.Input((None, None, 3))
    conv = keras.layers.Conv2D(4, 3, padding="same", use_bias=False, name="conv")(image)
    normed = keras.layers.BatchNormalization(name="norm")(conv)
    model = keras.Model(image, keras.layers.Add()([conv, normed]))
    tiny_run.randomize_norms(model, np.random.default_rng(0))
    folded = folding.fold(model)
    x = np.float32(tiny_run.pictures(9, 8)) / 255
    assert folded.get_layer("norm")
    np.testing.assert_allclose(folded(x), model(x, training=False), atol=1e-6)


def test_bias_and_missing_scale_are_folded():
    image = keras.Input((None, None, 3))
    conv = keras.layers.Conv2D(4, 3, bias_initializer="normal")(image)
    normed = keras.layers.BatchNormalization(scale=False, center=False)(conv)
    model = keras.Model(image, normed)
    (norm,) = (
        x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)
    )
    norm.moving_mean.assign([0.1, -0.2, 0.3, 0.4])
    norm.moving_variance.assign([0.5, 1.5, 2.0, 0.7])
    x = np.float32(tiny_run.pictures(9, 8)) / 255
    folded = folding.fold(model)
    assert len(folded.layers) == 2
    np.testing.assert_allclose(folded(x), model(x, training=False), atol=1e-6)
