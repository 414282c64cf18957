"""The fast layers against Keras' own and against plain NumPy."""

import os
import subprocess
import sys

import keras
import numpy as np
import numpy_network
import pytest
import tensorflow as tf

from deeplab_tf.network.layers import atrous, batch_norm, depthwise, resize

RATES = (1, 2, 4, 6, 12, 18, 24, 36, (1, 6), (18, 15))


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def relative_error(actual, expected):
    actual, expected = np.asarray(actual), np.asarray(expected)
    return np.abs(actual - expected).max() / np.abs(expected).max()


def numpy_atrous_depthwise(x, kernel, rate):
    """Sum over taps of the zero-padded map, shifted by the tap times the rate."""
    (height, width), (down, across) = x.shape[1:3], rate
    reach_y, reach_x = kernel.shape[0] // 2 * down, kernel.shape[1] // 2 * across
    margins = ((0, 0), (reach_y, reach_y), (reach_x, reach_x), (0, 0))
    padded = np.pad(x.astype(np.float64), margins)
    return sum(
        padded[:, i * down : i * down + height, j * across : j * across + width]
        * kernel[i, j, :, 0]
        for i in range(kernel.shape[0])
        for j in range(kernel.shape[1])
    )


def value_and_gradients(function, x, kernel, upstream):
    with tf.GradientTape() as tape:
        tape.watch([x, kernel])
        y = function(x, kernel)
    return y, *tape.gradient(y, [x, kernel], upstream)


@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("kernel_of", [atrous.native, atrous.folded])
def test_atrous_depthwise_value_and_gradients(kernel_of, rate, size):
    if kernel_of is atrous.native and not atrous.native_is_exact(tf.float32):
        pytest.skip("the dilated kernel is not exact on this machine")
    rates = rate if isinstance(rate, tuple) else (rate, rate)
    x, kernel = tf.constant(random(2, 9, 14, 5)), tf.constant(random(size, size, 5, 1))
    upstream = tf.constant(random(2, 9, 14, 5, seed=1))

    @tf.function
    def ours(x, kernel, upstream):
        return value_and_gradients(
            lambda x, k: kernel_of(x, k, rates), x, kernel, upstream
        )

    def stock(x, kernel):
        return tf.nn.depthwise_conv2d(x, kernel, [1, 1, 1, 1], "SAME", dilations=rates)

    actual = ours(x, kernel, upstream)
    expected = value_and_gradients(stock, x, kernel, upstream)
    reference = numpy_atrous_depthwise(x.numpy(), kernel.numpy(), rates)
    assert relative_error(actual[0], reference) < 1e-5
    for one, other in zip(actual, expected, strict=True):
        assert relative_error(one, other) < 1e-5


@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("kernel_of", [atrous.native, atrous.folded])
def test_unknown_sizes_have_the_same_gradients(kernel_of, static):
    x, upstream = random(2, 9, 14, 5), random(2, 9, 14, 5, seed=1)
    kernel = tf.constant(random(3, 3, 5, 1))
    known = tf.TensorSpec(x.shape if static else (None, None, None, 5))

    @tf.function(input_signature=[known, known])
    def ours(x, upstream):
        return value_and_gradients(
            lambda x, k: kernel_of(x, k, (6, 5)), x, kernel, upstream
        )

    def stock(x, kernel):
        return tf.nn.depthwise_conv2d(x, kernel, [1, 1, 1, 1], "SAME", dilations=(6, 5))

    expected = value_and_gradients(stock, tf.constant(x), kernel, upstream)
    for one, other in zip(ours(x, upstream), expected, strict=True):
        assert relative_error(one, other) < 1e-5


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize("rate", [1, 2, 12])
def test_layer_equals_keras_on_every_path(monkeypatch, rate, native, training):
    exact = native and atrous.native_is_exact(tf.float32)
    monkeypatch.setattr(atrous, "native_is_exact", lambda dtype: exact)
    arguments = {"dilation_rate": rate, "padding": "same", "use_bias": False}
    ours = depthwise.AtrousDepthwiseConv2D(3, **arguments)
    stock = keras.layers.DepthwiseConv2D(3, **arguments)
    x = tf.constant(random(2, 11, 8, 6))
    stock.build(x.shape)
    ours.build(x.shape)
    ours.set_weights([random(3, 3, 6, 1)])
    stock.set_weights(ours.get_weights())
    assert relative_error(ours(x, training=training), stock(x)) < 1e-6


@pytest.mark.parametrize("rate", [2, 12])
@pytest.mark.parametrize("kernel_of", [atrous.native, atrous.folded])
def test_xla_computes_the_same(kernel_of, rate):
    x, upstream = tf.constant(random(2, 9, 14, 5)), tf.constant(random(2, 9, 14, 5))
    kernel = tf.constant(random(3, 3, 5, 1))

    def both(x, kernel, upstream):
        return value_and_gradients(
            lambda x, k: kernel_of(x, k, (rate, rate)), x, kernel, upstream
        )

    plain = tf.function(both)(x, kernel, upstream)
    compiled = tf.function(both, jit_compile=True)(x, kernel, upstream)
    for one, other in zip(compiled, plain, strict=True):
        assert relative_error(one, other) < 1e-5


def test_without_the_dilated_kernel_the_layer_is_right():
    script = (
        "import numpy, tensorflow as tf\n"
        "from deeplab_tf.network.layers import atrous, depthwise\n"
        "assert not atrous.native_is_exact(tf.float32)\n"
        "layer = depthwise.AtrousDepthwiseConv2D(\n"
        "    3, dilation_rate=2, padding='same', use_bias=False)\n"
        "x = tf.random.normal([1, 9, 8, 4])\n"
        "y = [layer(x, training=training) for training in (False, True)]\n"
        "z = tf.nn.depthwise_conv2d(\n"
        "    x, layer.kernel, [1, 1, 1, 1], 'SAME', dilations=(2, 2))\n"
        "assert max(numpy.abs(one - z).max() for one in y) < 1e-5\n"
    )
    environment = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": "0"}
    subprocess.run([sys.executable, "-c", script], check=True, env=environment)


@pytest.mark.parametrize("training", [False, True])
def test_batch_norm_equals_keras(training):
    ours, stock = (
        layer(momentum=0.7, epsilon=0.02)
        for layer in (batch_norm.BatchNormalization, keras.layers.BatchNormalization)
    )
    x, upstream = tf.constant(random(3, 5, 4, 6) * 2 + 3), random(3, 5, 4, 6, seed=1)
    results = []
    for layer in (ours, stock):
        layer.build(x.shape)
        layer.set_weights(
            [random(6), random(6, seed=1), random(6, seed=2), random(6, seed=3) ** 2]
        )
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=training)
        wanted = [x, layer.gamma.value, layer.beta.value]
        results.append([y, *tape.gradient(y, wanted, upstream), *layer.get_weights()])
    for one, other in zip(*results, strict=True):
        assert relative_error(one, other) < 1e-5


def test_frozen_batch_norm_keeps_statistics_and_trains_gamma():
    layer = batch_norm.BatchNormalization(frozen=True, epsilon=1e-3)
    layer.build((None, None, None, 4))
    mean, variance = random(4), random(4, seed=1) ** 2
    layer.set_weights([*layer.get_weights()[:2], mean, variance])
    x = random(2, 5, 5, 4, seed=2)
    y = layer(x, training=True)
    assert relative_error(y, (x - mean) / np.sqrt(variance + 1e-3)) < 1e-5
    np.testing.assert_array_equal(layer.get_weights()[2], mean)
    assert len(layer.trainable_variables) == 2


@pytest.mark.parametrize("size", [(9, 13), (10, 4), (1, 1), (5, 7)])
def test_resize_like_aligns_corners(size):
    x = random(2, 5, 7, 3)
    y = resize.ResizeLike()([x, np.zeros((2, *size, 1), np.float32)])
    np.testing.assert_allclose(y, numpy_network.resize(x, size), atol=1e-5)


@pytest.fixture(scope="module")
def mirrored():
    """One for all tests: a second strategy may meet the first one's collectives."""
    return tf.distribute.MirroredStrategy(
        ["/cpu:0", "/cpu:1"], tf.distribute.ReductionToOneDevice()
    )


def one_step(strategy, x, wanted):
    """(loss, gradients, moving statistics) of the global batch in a small network."""
    keras.utils.set_random_seed(1)
    with strategy.scope():
        y = inputs = keras.Input((None, None, 4))
        for _ in range(3):
            left = keras.layers.Conv2D(6, 3, padding="same")(y)
            right = keras.layers.Conv2D(6, 1)(y)
            y = keras.layers.Add()(
                [batch_norm.BatchNormalization(momentum=0.5)(z) for z in (left, right)]
            )
            y = keras.layers.Activation("relu")(y)
        network = keras.Model(inputs, y)
    replicas = strategy.num_replicas_in_sync

    def share(values):
        return strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(
                np.split(values, replicas)[context.replica_id_in_sync_group]
            )
        )

    def replica_step(x, wanted):
        with tf.GradientTape() as tape:
            y = network(x, training=True)
            loss = tf.reduce_mean(tf.square(y - wanted)) / replicas
        gradients = tape.gradient(loss, network.trainable_variables)
        context = tf.distribute.get_replica_context()
        return context.all_reduce("SUM", [loss, *gradients])

    step = tf.function(lambda *batch: strategy.run(replica_step, batch))
    outputs = [
        strategy.experimental_local_results(value)[0].numpy()
        for value in step(share(x), share(wanted))
    ]
    moving = [weight.numpy() for weight in network.non_trainable_weights]
    return [*outputs, *moving]


def test_replicas_take_the_step_of_one_device(mirrored):
    x, wanted = random(4, 7, 9, 4) + 5, random(4, 7, 9, 6, seed=1)
    x[:2] *= 3  # the replicas' own statistics differ
    one = one_step(tf.distribute.OneDeviceStrategy("/cpu:0"), x, wanted)
    two = one_step(mirrored, x, wanted)
    assert len(one) == len(two)
    for expected, actual in zip(one, two, strict=True):
        scale = max(np.abs(expected).max(), 1e-2)  # biases before batch norm: 0
        assert np.abs(actual - expected).max() < 1e-4 * scale
