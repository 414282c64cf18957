"""Normalisation, initialisers and names of the blocks."""

import keras
import numpy as np
import pytest

from deeplab_tf.network.layers import blocks
from deeplab_tf.network.layers.blocks import Style


def applied(build, channels):
    """The Keras model of build(input)."""
    x = keras.Input((None, None, channels))
    return keras.Model(x, build(x))


@pytest.mark.parametrize(("groups", "channels", "used"), [(4, 12, 4), (32, 24, 8)])
def test_group_norm_equals_numpy(groups, channels, used):
    style = Style(momentum=0.9, epsilon=1e-3, groups=groups)
    model = applied(lambda x: blocks.normalize(x, style, "block"), channels)
    generator = np.random.default_rng(0)
    gamma, beta = generator.normal(size=(2, channels))
    model.set_weights([gamma, beta])
    x = generator.normal(2.0, 3.0, (2, 5, 4, channels))
    grouped = x.reshape(2, 5, 4, used, channels // used)
    mean = grouped.mean((1, 2, 4), keepdims=True)
    variance = grouped.var((1, 2, 4), keepdims=True)
    wanted = ((grouped - mean) / np.sqrt(variance + 1e-3)).reshape(x.shape)
    actual = model(x.astype(np.float32))
    np.testing.assert_allclose(actual, wanted * gamma + beta, rtol=1e-4, atol=1e-4)


def test_kernels_start_as_released():
    keras.utils.set_random_seed(0)
    style = Style(momentum=0.9, epsilon=1e-3)
    model = applied(
        lambda x: blocks.conv(
            blocks.separable(x, 200, style=style, name="separable"),
            300,
            1,
            style=style,
            name="plain",
        ),
        500,
    )
    # A normal cut at two standard deviations keeps 0.8796 of its own.
    for name, deviation in (
        ("separable.depthwise", 0.33 * 0.8796),
        ("separable.pointwise", 0.06 * 0.8796),
        ("plain", np.sqrt(2 / (200 + 300))),  # Xavier
    ):
        kernel = model.get_layer(name).kernel.numpy()
        assert kernel.std() == pytest.approx(deviation, rel=0.05)


def test_two_layers_start_differently():
    style = Style(momentum=0.9, epsilon=1e-3, kernel=0.09)
    model = applied(
        lambda x: blocks.conv(
            blocks.conv(x, 4, 3, style=style, name="one"), 4, 3, style=style, name="two"
        ),
        4,
    )
    one, two = (model.get_layer(name).kernel.numpy() for name in ("one", "two"))
    assert np.abs(one - two).max() > 0


def test_names_are_paths():
    style = Style(momentum=0.9, epsilon=1e-3)
    model = applied(
        lambda x: blocks.separable(x, 4, style=style, name="aspp.atrous_6", rate=6), 3
    )
    assert [layer.name for layer in model.layers[1:]] == [
        f"aspp.atrous_6.{part}{suffix}"
        for part in ("depthwise", "pointwise")
        for suffix in ("", ".batch_norm", ".relu")
    ]


@pytest.mark.parametrize(
    ("rate", "stride", "scaled"), [(6, 8, 12), (6, 16, 6), (6, 32, 3), (1, 32, 1)]
)
def test_rates_keep_their_distance_in_the_picture(rate, stride, scaled):
    assert blocks.scale_rate(rate, stride) == scaled
