"""Kernels of the atrous depthwise convolution, which TensorFlow lacks in one piece.

`native` is TensorFlow's dilated kernel with a right gradient; `folded` turns the rate
into channels and needs no dilated kernel at all. `native_is_exact` tells whether the
first can be trusted in this process.
"""

import functools
from typing import Any

import tensorflow as tf


def _dilated(x: tf.Tensor, kernel: tf.Tensor, rate: int) -> tf.Tensor:
    return tf.raw_ops.DepthwiseConv2dNative(
        input=x,
        filter=kernel,
        strides=[1, 1, 1, 1],
        padding="SAME",
        dilations=[1, rate, rate, 1],
    )


def native(x: tf.Tensor, kernel: tf.Tensor, rate: int) -> tf.Tensor:
    """Atrous depthwise convolution, SAME, on TensorFlow's dilated kernel.

    Args:
      x: Tensor[B, H, W, C].
      kernel: Tensor[h, w, C, 1], h and w odd.
      rate: distance between taps, in pixels of x.
    """

    @tf.custom_gradient
    def convolve(x: tf.Tensor, kernel: tf.Tensor) -> Any:
        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            flipped = tf.reverse(kernel, [0, 1])
            to_kernel = _folded_kernel_gradient(x, upstream, kernel.shape, rate)
            return _dilated(upstream, flipped, rate), to_kernel

        return _dilated(x, kernel, rate), gradient

    return convolve(x, kernel)


def fold(x: tf.Tensor, rate: int, margin: int) -> tf.Tensor:
    """Lays pixels that are `rate` apart side by side, without moving them.

    Padded to H' = k * rate rows and W' = m * rate columns, the map [B, H', W', C] is
    in memory also the map [B, k, rate * m, rate * C]: row r of the new one holds the
    old rows r * rate ... r * rate + rate - 1 one after the other, and a new pixel
    holds `rate` neighbours as channels. Old pixels that are `rate` apart are
    neighbours in it, so an undilated kernel, repeated for each of the `rate` groups
    of channels, computes the atrous convolution. The zero columns at the end of each
    old row keep the rows apart.

    Args:
      x: Tensor[B, H, W, C].
      rate: distance between taps.
      margin: how many taps a kernel reaches to the side: (w - 1) / 2.
    """
    batch, height, width, channels = known_shape(x)
    more_rows = -height % rate
    more_columns = margin * rate + -width % rate
    x = tf.pad(x, [[0, 0], [0, more_rows], [0, more_columns], [0, 0]])
    rows, columns = (height + more_rows) // rate, width + more_columns
    return tf.reshape(x, [batch, rows, columns, rate * channels])


def folded(x: tf.Tensor, kernel: tf.Tensor, rate: int) -> tf.Tensor:
    """As `native`, on the undilated kernel and with TensorFlow's gradient."""
    batch, height, width, channels = known_shape(x)
    wide = fold(x, rate, kernel.shape[1] // 2)
    y = tf.nn.depthwise_conv2d(
        wide, tf.tile(kernel, [1, 1, rate, 1]), [1, 1, 1, 1], "SAME"
    )
    rows, columns = known_shape(wide)[1:3]
    y = tf.reshape(y, [batch, rows * rate, columns, channels])
    return y[:, :height, :width]


def _folded_kernel_gradient(
    x: tf.Tensor, upstream: tf.Tensor, kernel_shape: tf.TensorShape, rate: int
) -> tf.Tensor:
    """Gradient of the kernel, summed over the `rate` groups of channels."""
    height, width, channels, _ = kernel_shape
    repeated = tf.raw_ops.DepthwiseConv2dNativeBackpropFilter(
        input=fold(x, rate, width // 2),
        filter_sizes=[height, width, rate * channels, 1],
        out_backprop=fold(upstream, rate, width // 2),
        strides=[1, 1, 1, 1],
        padding="SAME",
    )
    groups = tf.reshape(repeated, [height, width, rate, channels, 1])
    return tf.reduce_sum(groups, axis=2)


def known_shape(x: tf.Tensor) -> list[Any]:
    """Static sizes where they are known, so that graphs of fixed shape stay plain."""
    dynamic = tf.shape(x)
    return [dynamic[i] if size is None else size for i, size in enumerate(x.shape)]


@functools.cache
def native_is_exact(dtype: tf.DType | str) -> bool:
    """Whether the dilated depthwise kernel is right on every device of this process.

    Some kernels ignore the rate, some refuse it, depending on device, library and
    environment; so it is compared once, in a graph and on small maps, with
    tf.nn.depthwise_conv2d.
    """
    with tf.init_scope():
        devices = [
            device.name
            for device in tf.config.list_logical_devices()
            if device.device_type in ("CPU", "GPU")
        ]
        return all(_is_exact_on(device, tf.as_dtype(dtype)) for device in devices)


def _is_exact_on(device: str, dtype: tf.DType) -> bool:
    generator = tf.random.Generator.from_seed(0)

    @tf.function(autograph=False)
    def difference(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        pairs = [
            (
                _dilated(x, kernel, rate),
                tf.nn.depthwise_conv2d(
                    x, kernel, [1, 1, 1, 1], "SAME", dilations=(rate, rate)
                ),
            )
            for rate in (2, 3, 9)
        ]
        return tf.reduce_max([tf.reduce_max(tf.abs(a - b)) for a, b in pairs])

    try:
        with tf.device(device):
            x = tf.cast(generator.uniform([2, 7, 9, 16], -1.0, 1.0), dtype)
            kernel = tf.cast(generator.uniform([3, 3, 16, 1], -1.0, 1.0), dtype)
            error = float(difference(x, kernel))
    except tf.errors.OpError:  # refused: no kernel for this rate, type or device
        return False
    return error < (1e-5 if dtype == tf.float32 else 0.1)
