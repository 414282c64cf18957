"""The layers that round as an int8 file does."""

from collections.abc import Callable, MutableMapping

import keras
import numpy as np
import tensorflow as tf

from deeplab_tf.network.layers import atrous
from deeplab_tf.network.layers.means import WindowMean
from deeplab_tf.network.layers.package import PACKAGE, Shape

_STEPS = 127  # to either side of zero, of a kernel
_WHITE = 255.0


def round_kernel(kernel: tf.Tensor, channel_axis: int) -> tf.Tensor:
    """The kernel on 127 steps to either side of zero, of each channel's own size.

    Args:
      kernel: of a convolution [h, w, I, O] or a depthwise one [h, w, C, 1].
      channel_axis: of the channels of the result: 3 or 2.
    """
    kernel = tf.convert_to_tensor(kernel)
    axes = [axis for axis in range(4) if axis != channel_axis]
    largest = tf.reduce_max(tf.abs(kernel), axes, keepdims=True)
    step = tf.maximum(largest, 1e-30) / _STEPS
    return tf.round(kernel / step) * step


def fake_quantize_kernel(kernel: tf.Tensor, channel_axis: int) -> tf.Tensor:
    """`round_kernel` with the gradient of no rounding."""
    kernel = tf.convert_to_tensor(kernel)
    return kernel + tf.stop_gradient(round_kernel(kernel, channel_axis) - kernel)


@keras.saving.register_keras_serializable(PACKAGE)
class FakeQuantize(keras.layers.Layer):
    """Rounds to the 256 steps of a range, of which one is zero.

    The gradient passes inside of the range and is zero outside.

    Args:
      group: name of the range; layers of one group have the same.
      **kwargs: those of keras.layers.Layer.
    """

    def __init__(self, group: str, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.group = group
        self.passes = False  # while its range is being measured

    def build(self, input_shape: Shape) -> None:
        """Makes the range, which does not train."""
        for name, value in (("low", -1.0), ("high", 1.0)):
            variable = self.add_weight(
                shape=(),
                initializer=keras.initializers.Constant(value),
                name=name,
                trainable=False,
            )
            setattr(self, name, variable)

    def get_config(self) -> dict[str, object]:
        """Keras' configuration and `group`."""
        return {**super().get_config(), "group": self.group}

    def set_range(self, low: float, high: float) -> None:
        """Sets a range, widened to hold zero."""
        self.low.assign(min(low, 0.0))
        self.high.assign(max(high, 0.0, min(low, 0.0) + 1e-6))

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Any shape -> the same."""
        if self.passes:
            return inputs
        return tf.quantization.fake_quant_with_min_max_vars(
            inputs, tf.convert_to_tensor(self.low), tf.convert_to_tensor(self.high)
        )

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The same."""
        return input_shape


class _Rounded(keras.layers.Layer):
    """A convolution whose kernel is a trained one times a fixed factor, rounded.

    The factor is that of the batch norm that was. It stays apart because the trained
    kernels of a channel may lie a thousand times above another's with it: one learning
    rate would not do for both.
    """

    channel_axis: int  # of the kernel, of the channels of the result
    kernel: keras.Variable
    bias: keras.Variable
    activation: Callable[[tf.Tensor], tf.Tensor]

    def build(self, input_shape: Shape) -> None:
        """Adds `factor` [C] to Keras' variables."""
        super().build(input_shape)
        channels = self.kernel.shape[self.channel_axis]
        self.factor = self.add_weight(
            shape=(channels,), initializer="ones", name="factor", trainable=False
        )

    def save_own_variables(self, store: MutableMapping[str, np.ndarray]) -> None:
        """Into a .keras file; Keras' own convolution writes the first two alone."""
        super().save_own_variables(store)
        if "2" not in store.keys():  # noqa: SIM118 (the store is no dictionary)
            store["2"] = self.factor

    def load_own_variables(self, store: MutableMapping[str, np.ndarray]) -> None:
        """What `save_own_variables` wrote."""
        super().load_own_variables(store)
        self.factor.assign(store["2"])

    def rounded(self) -> tf.Tensor:
        """The kernel that convolves, with the gradient of no rounding."""
        shape = [1, 1, 1, 1]
        shape[self.channel_axis] = -1
        factor = tf.reshape(tf.convert_to_tensor(self.factor), shape)
        return fake_quantize_kernel(self.kernel * factor, self.channel_axis)

    def exported_weights(self) -> list[np.ndarray]:
        """Kernel and bias of the plain layer that computes the same."""
        return [self.rounded().numpy(), np.asarray(self.bias)]

    def _finish(self, y: tf.Tensor) -> tf.Tensor:
        return self.activation(tf.nn.bias_add(y, tf.convert_to_tensor(self.bias)))


@keras.saving.register_keras_serializable(PACKAGE)
class QuantizedConv2D(_Rounded, keras.layers.Conv2D):
    """Convolution with a rounded kernel and a bias."""

    channel_axis = 3

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """As keras.layers.Conv2D."""
        y = tf.nn.convolution(
            inputs,
            self.rounded(),
            strides=self.strides,
            padding=self.padding.upper(),
            dilations=self.dilation_rate,
        )
        return self._finish(y)


@keras.saving.register_keras_serializable(PACKAGE)
class QuantizedDepthwiseConv2D(_Rounded, keras.layers.DepthwiseConv2D):
    """Depthwise convolution with a rounded kernel and a bias."""

    channel_axis = 2

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """As keras.layers.DepthwiseConv2D, atrous as `AtrousDepthwiseConv2D`."""
        kernel = self.rounded()
        if max(self.dilation_rate) > 1:
            return self._finish(atrous.folded(inputs, kernel, self.dilation_rate))
        strides, padding = [1, *self.strides, 1], self.padding.upper()
        return self._finish(tf.nn.depthwise_conv2d(inputs, kernel, strides, padding))


@keras.saving.register_keras_serializable(PACKAGE)
class Normalization(keras.layers.Rescaling):
    """Rescales pixels, rounded to whole ones, in one operation of the file.

    The mean is rounded too: with one of 127.5 all pixels would lie half way between two
    steps, of which one must be zero.
    """

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """float32 [B, H, W, C] in 0..255 -> the same shape."""
        pixels = tf.quantization.fake_quant_with_min_max_args(inputs, 0.0, _WHITE)
        mean = np.round(-np.float64(self.offset) / self.scale)
        kernel = tf.fill([1, 1, len(mean), 1], np.float32(self.scale))
        y = tf.nn.depthwise_conv2d(pixels, kernel, [1, 1, 1, 1], "SAME")
        y = tf.nn.bias_add(y, tf.constant(-mean * self.scale, tf.float32))
        return tf.quantization.fake_quant_with_min_max_args(
            y, -mean.max() * self.scale, (_WHITE - mean.min()) * self.scale
        )


@keras.saving.register_keras_serializable(PACKAGE)
class HardSigmoid(keras.layers.Layer):
    """min(max(x + 3, 0), 6) / 6, in two operations of the file."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Any shape -> the same."""
        y = tf.nn.relu6(inputs + 3.0)
        y = tf.quantization.fake_quant_with_min_max_args(y, 0.0, 6.0) * (1 / 6)
        return tf.quantization.fake_quant_with_min_max_args(y, 0.0, 1.0)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The same."""
        return input_shape


@keras.saving.register_keras_serializable(PACKAGE)
class PooledWindowMean(WindowMean):
    """`WindowMean` as one operation of the file, where the map's size is known."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """As in `WindowMean`."""
        sides = inputs.shape[1:3]
        if None in list(sides):
            return super().call(inputs)
        window = [min(*pair) for pair in zip(self.window or sides, sides, strict=True)]
        return tf.nn.avg_pool2d(inputs, window, 1, "VALID")
