"""Rounding and its gradient, against NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from deeplab_tf.network.quantized.layers import (
    FakeQuantize,
    Normalization,
    QuantizedConv2D,
    round_kernel,
)


@pytest.mark.parametrize("axis", [2, 3])
def test_kernels_have_127_steps_to_either_side_of_zero(axis):
    kernel = np.random.default_rng(0).normal(0, 1, (3, 3, 5, 4)).astype(np.float32)
    kernel *= np.logspace(-3, 2, kernel.shape[axis]).reshape(
        [-1 if i == axis else 1 for i in range(4)]
    )
    rounded = np.asarray(round_kernel(kernel, axis))
    for channel in range(kernel.shape[axis]):
        exact = kernel.take(channel, axis)
        step = np.abs(exact).max() / 127
        expected = np.round(exact / step) * step
        np.testing.assert_allclose(rounded.take(channel, axis), expected, rtol=1e-5)
    np.testing.assert_allclose(round_kernel(rounded, axis), rounded, rtol=1e-6)


def test_maps_have_256_steps_and_gradients_end_at_the_range():
    layer = FakeQuantize(group="all")
    layer.build(None)
    layer.set_range(-1.0, 3.0)
    x = np.random.default_rng(0).uniform(-2, 5, 1000).astype(np.float32)
    weights = np.random.default_rng(1).normal(0, 1, 1000).astype(np.float32)
    with tf.GradientTape() as tape:
        given = tf.constant(x)
        tape.watch(given)
        y = layer(given)
        total = tf.reduce_sum(y * weights)
    step = 4 / 255
    zero = np.round(1 / step)  # the place of 0 among the steps
    expected = (np.clip(np.round(x / step) + zero, 0, 255) - zero) * step
    np.testing.assert_allclose(y, expected, atol=1e-5)
    inside = (x > -zero * step) & (x < (255 - zero) * step)
    assert 0.3 < inside.mean() < 0.8
    np.testing.assert_allclose(tape.gradient(total, given), weights * inside)


@pytest.mark.parametrize(
    ("given", "widened"),
    [
        ((-1.0, 3.0), (-1.0, 3.0)),
        ((0.5, 3.0), (0.0, 3.0)),
        ((-3.0, -0.5), (-3.0, 0.0)),
        ((0.0, 0.0), (0.0, 1e-6)),
    ],
)
def test_ranges_hold_zero_and_more(given, widened):
    layer = FakeQuantize(group="all")
    layer.build(None)
    layer.set_range(*given)
    np.testing.assert_allclose((layer.low, layer.high), widened, rtol=1e-6)
    assert not np.asarray(layer(np.zeros(1, np.float32))).any()


@pytest.mark.parametrize(
    ("scale", "means", "rounded", "step"),
    [
        # Its steps are those of the pixels.
        (1 / 127.5, (127.5,) * 3, (128, 128, 128), 0),
        # One range for all channels: 255 pixels and the 20 between the means.
        (1.0, (123.15, 115.90, 103.06), (123, 116, 103), 275 / 255),
    ],
)
def test_pixels_and_their_mean_are_whole(scale, means, rounded, step):
    offset = [-scale * mean for mean in means]
    pixels = np.tile(np.arange(256, dtype=np.float32)[:, None], 3)
    given = pixels + np.random.default_rng(0).uniform(-0.4, 0.4, pixels.shape)
    layer = Normalization(scale, offset)
    actual = layer(given[None, None].astype(np.float32))[0, 0]
    expected = (pixels - rounded) * scale
    np.testing.assert_allclose(actual, expected, rtol=0, atol=scale * step / 2 + 1e-5)


def test_gradient_passes_the_rounding_of_kernels():
    layer = QuantizedConv2D(4, 3, padding="same")
    layer.build((None, None, None, 3))
    rng = np.random.default_rng(0)
    factor = rng.uniform(0.5, 2, 4).astype(np.float32)
    layer.factor.assign(factor)
    weights = rng.normal(0, 1, (3, 3, 3, 4)).astype(np.float32)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(layer.rounded() * weights)
    gradient = tape.gradient(total, layer.kernel.value)
    np.testing.assert_allclose(gradient, weights * factor, rtol=1e-5)
