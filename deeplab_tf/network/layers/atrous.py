"""Kernels of the atrous depthwise convolution, which TensorFlow lacks in one piece.

`native` is TensorFlow's dilated kernel with a right gradient; `folded` turns the rate
into channels and needs no dilated kernel at all. `native_is_exact` tells whether the
first can be trusted in this process. Both compute, for an odd kernel of h x w taps,

  y[b, i, j, c] = sum over p, q of
      kernel[p, q, c, 0] * x[b, i + (p - h // 2) * r, j + (q - w // 2) * s, c]

with rates (r, s) and zeros outside of x.
"""

import functools
from collections.abc import Callable

import tensorflow as tf

Rates = tuple[int, int]  # distance between taps in pixels: down, across
# What a custom gradient wants: the result, and (its gradient) -> those of the inputs.
WithGradient = tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]]


def dilated(
    x: tf.Tensor, kernel: tf.Tensor, rates: Rates, bias: tf.Tensor | None = None
) -> tf.Tensor:
    """TensorFlow's dilated kernel without our gradient: what converters know.

    Args:
      x: Tensor[B, H, W, C].
      kernel: Tensor[h, w, C, 1], h and w odd.
      rates: as in this file's formula.
      bias: Tensor[C], added to the result.
    """
    y = tf.raw_ops.DepthwiseConv2dNative(
        input=x,
        filter=kernel,
        strides=[1, 1, 1, 1],
        padding="SAME",
        dilations=[1, *rates, 1],
    )
    return y if bias is None else tf.nn.bias_add(y, bias)


def undilated(
    x: tf.Tensor, kernel: tf.Tensor, rates: Rates, bias: tf.Tensor | None = None
) -> tf.Tensor:
    """As `dilated`, by the ordinary kernel on the folded map: for every device."""
    batch, height, width, channels = known_shape(x)
    wide = fold(x, rates, kernel.shape[1] // 2)
    repeated = tf.tile(kernel, [1, 1, rates[1], 1])
    y = tf.nn.depthwise_conv2d(wide, repeated, [1, 1, 1, 1], "SAME")
    if bias is not None:  # here TensorFlow makes one operation of both
        y = tf.nn.bias_add(y, tf.tile(bias, [rates[1]]))
    rows = known_shape(wide)[1] * rates[0]
    return tf.reshape(y, [batch, rows, -1, channels])[:, :height, :width]


def _with_gradient(
    forward: Callable[[tf.Tensor, tf.Tensor, Rates], tf.Tensor],
    x: tf.Tensor,
    kernel: tf.Tensor,
    rates: Rates,
) -> tf.Tensor:
    """Gives a kernel its gradient.

    TensorFlow's for the dilated kernel ignores the rates on a CPU, and its gradient
    for the input is slow on the many channels of a folded map. The input's gradient
    is the same convolution with the kernel turned by 180 degrees.
    """

    @tf.custom_gradient
    def convolve(x: tf.Tensor, kernel: tf.Tensor) -> WithGradient:
        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            turned = tf.reverse(kernel, [0, 1])
            to_kernel = _kernel_gradient(x, upstream, kernel.shape, rates)
            return forward(upstream, turned, rates), to_kernel

        return forward(x, kernel, rates), gradient

    return convolve(x, kernel)


def native(x: tf.Tensor, kernel: tf.Tensor, rates: Rates) -> tf.Tensor:
    """Atrous depthwise convolution, SAME, on TensorFlow's dilated kernel.

    Args:
      x: Tensor[B, H, W, C].
      kernel: Tensor[h, w, C, 1], h and w odd.
      rates: as in this file's formula.
    """
    return _with_gradient(dilated, x, kernel, rates)


def folded(x: tf.Tensor, kernel: tf.Tensor, rates: Rates) -> tf.Tensor:
    """As `native`, on the undilated kernel."""
    return _with_gradient(undilated, x, kernel, rates)


def fold(x: tf.Tensor, rates: Rates, reach: int) -> tf.Tensor:
    """Lays pixels that are a rate apart side by side, without moving them.

    Padded to H' = k * r rows and W' = m * s columns, the map [B, H', W', C] is in
    memory also the map [B, k, r * m, s * C]: a row of the new one holds r old rows
    one after the other, and a new pixel holds s neighbours as channels. Old pixels
    that are (r, s) apart are neighbours in it, so that the undilated kernel, repeated
    for each of the s groups of channels, computes the atrous convolution. The zero
    columns at the end of each old row keep the rows apart.

    Args:
      x: Tensor[B, H, W, C].
      rates: (r, s).
      reach: how many taps the kernel has to either side: (w - 1) / 2.
    """
    batch, height, width, channels = known_shape(x)
    down, across = rates
    more_rows = -height % down
    more_columns = reach * across + -width % across
    x = tf.pad(x, [[0, 0], [0, more_rows], [0, more_columns], [0, 0]])
    rows, columns = height + more_rows, width + more_columns
    return tf.reshape(
        x, [batch, rows // down, down * (columns // across), across * channels]
    )


def _kernel_gradient(
    x: tf.Tensor, upstream: tf.Tensor, kernel_shape: tf.TensorShape, rates: Rates
) -> tf.Tensor:
    """Gradient of the kernel, by whichever way is fast at this rate and size."""
    height, width = x.shape[1:3]
    if height is None or width is None:
        return _folded_kernel_gradient(x, upstream, kernel_shape, rates)
    if height > 2 * rates[0] and width > 2 * rates[1]:
        return _folded_kernel_gradient(x, upstream, kernel_shape, rates)
    return _shifted_kernel_gradient(x, upstream, kernel_shape, rates)


def _folded_kernel_gradient(
    x: tf.Tensor, upstream: tf.Tensor, kernel_shape: tf.TensorShape, rates: Rates
) -> tf.Tensor:
    """That of the repeated kernel, summed over the groups of channels.

    TensorFlow's kernel for it is about 10 times slower on a folded map of one or two
    rows or columns.
    """
    height, width, channels, _ = kernel_shape
    repeated = tf.raw_ops.DepthwiseConv2dNativeBackpropFilter(
        input=fold(x, rates, width // 2),
        filter_sizes=[height, width, rates[1] * channels, 1],
        out_backprop=fold(upstream, rates, width // 2),
        strides=[1, 1, 1, 1],
        padding="SAME",
    )
    groups = tf.reshape(repeated, [height, width, rates[1], channels, 1])
    return tf.reduce_sum(groups, axis=2)


def _shifted_kernel_gradient(
    x: tf.Tensor, upstream: tf.Tensor, kernel_shape: tf.TensorShape, rates: Rates
) -> tf.Tensor:
    """A sum of products for each tap, over the pixels where it meets the map."""
    height, width, channels, _ = kernel_shape

    def tap(down: int, across: int) -> tf.Tensor:
        if abs(down) >= x.shape[1] or abs(across) >= x.shape[2]:
            return tf.zeros([channels], x.dtype)
        met = x[:, _shift(down), _shift(across)]
        return tf.reduce_sum(
            met * upstream[:, _shift(-down), _shift(-across)], [0, 1, 2]
        )

    taps = [
        tap((i - height // 2) * rates[0], (j - width // 2) * rates[1])
        for i in range(height)
        for j in range(width)
    ]
    return tf.reshape(tf.stack(taps), kernel_shape)


def _shift(offset: int) -> slice:
    """The part of an axis that still lies in it after a shift by -offset."""
    return slice(offset, None) if offset > 0 else slice(None, offset or None)


def known_shape(x: tf.Tensor) -> list[tf.Tensor]:
    """Static sizes where they are known, so that graphs of fixed shape stay plain."""
    dynamic = tf.shape(x)
    return [dynamic[i] if size is None else size for i, size in enumerate(x.shape)]


@functools.cache
def native_is_exact(dtype: tf.DType) -> bool:
    """Whether the dilated depthwise kernel is right on every device of this process.

    Some kernels ignore the rate, some refuse it, depending on device, library and
    environment; so it is compared once, in a graph and on small maps, with
    tf.nn.depthwise_conv2d.
    """
    with tf.init_scope():
        return all(
            _is_exact_on(f"{kind}:{index}", dtype)
            for kind in ("CPU", "GPU")
            # Not the logical devices: among these are the other workers', which
            # this process cannot place operations on.
            for index in range(len(tf.config.get_visible_devices(kind)))
        )


def _is_exact_on(device: str, dtype: tf.DType) -> bool:
    @tf.function(autograph=False)
    def difference(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        errors = []
        for rates in ((2, 2), (9, 9), (2, 5)):
            expected = tf.nn.depthwise_conv2d(
                x, kernel, [1, 1, 1, 1], "SAME", dilations=rates
            )
            errors.append(tf.reduce_max(tf.abs(dilated(x, kernel, rates) - expected)))
        return tf.reduce_max(errors)

    try:
        with tf.device(device):
            x, kernel = (
                tf.cast(tf.random.stateless_uniform(shape, [0, 0], -1.0, 1.0), dtype)
                for shape in ([2, 7, 9, 16], [3, 3, 16, 1])
            )
            error = float(difference(x, kernel))
    except tf.errors.OpError:  # refused: no kernel for this rate, type or device
        return False
    return error < (1e-5 if dtype == tf.float32 else 0.1)
