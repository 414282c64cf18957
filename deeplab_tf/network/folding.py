"""The network in the form that is exported: one operation a convolution.

Batch norm that follows a convolution becomes part of its kernel and bias, and every
atrous convolution is one operation, never SpaceToBatch. The function is the same up
to rounding; nothing is left that only training needs.
"""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from deeplab_tf.network.layers.atrous import Rates, undilated

# (x, kernel, rates, bias) -> the SAME atrous depthwise convolution
DepthwiseKernel = Callable[[tf.Tensor, tf.Tensor, Rates, tf.Tensor | None], tf.Tensor]


def fold(
    model: keras.Model, depthwise_kernel: DepthwiseKernel = undilated
) -> keras.Model:
    """Copies a functional model with batch norm folded into the convolutions.

    Args:
      model: of convolutions without activation; a batch norm is folded where it is
        the only reader of a convolution, and stays elsewhere.
      depthwise_kernel: computes atrous depthwise convolutions: `undilated`, or
        `dilated` for converters; TensorFlow runs that wrongly on some devices and not
        at all on others.

    Returns:
      A model of the same inputs, outputs and layer names, without the folded layers.
    """
    norms = foldable(model)
    skipped = {norm.name for norm in norms.values()}

    def clone(layer: keras.Layer) -> keras.Layer:
        config = layer.get_config()
        if layer.name in norms:
            config["use_bias"] = True
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            return _DepthwiseConv2D(depthwise_kernel, **config)
        kind = _Conv2D if isinstance(layer, keras.layers.Conv2D) else type(layer)
        return kind.from_config(config)

    def call(
        layer: keras.Layer, *args: keras.KerasTensor, **kwargs: object
    ) -> keras.KerasTensor:
        return args[0] if layer.name in skipped else layer(*args, **kwargs)

    copy = keras.models.clone_model(model, clone_function=clone, call_function=call)
    for layer in filter(lambda layer: layer.weights, copy.layers):
        original = model.get_layer(layer.name)
        if layer.name in norms:
            layer.set_weights(_folded_weights(original, norms[layer.name]))
        else:  # a layer that trains rounded tells what it rounds to
            weights = getattr(original, "exported_weights", original.get_weights)
            layer.set_weights(weights())
    return copy


class _DepthwiseConv2D(keras.layers.DepthwiseConv2D):
    """Takes atrous rates to a kernel of choice."""

    def __init__(self, kernel: DepthwiseKernel, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self._convolve = kernel

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        is_atrous = max(self.dilation_rate) > 1 and self.padding == "same"
        if not is_atrous or self.depth_multiplier != 1:
            return super().call(inputs)
        kernel = tf.convert_to_tensor(self.kernel)
        bias = None if self.bias is None else tf.convert_to_tensor(self.bias)
        return self._convolve(inputs, kernel, self.dilation_rate, bias)


class _Conv2D(keras.layers.Conv2D):
    """Takes atrous rates to the dilated operation, which Keras does not."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        if max(self.dilation_rate) == 1:
            return super().call(inputs)
        y = tf.nn.conv2d(
            inputs,
            tf.convert_to_tensor(self.kernel),
            self.strides,
            self.padding.upper(),
            dilations=self.dilation_rate,
        )
        if self.bias is not None:
            y = tf.nn.bias_add(y, tf.convert_to_tensor(self.bias))
        return y


def foldable(model: keras.Model) -> dict[str, keras.Layer]:
    """Name of a convolution -> the batch norm that alone reads it."""
    readers: dict[int, list[keras.Layer]] = {}
    for layer in model.layers:
        for tensor in keras.tree.flatten(layer.input):
            readers.setdefault(id(tensor), []).append(layer)
    pairs = {}
    for layer in model.layers:
        following = readers.get(id(layer.output), [])
        if (
            isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D)
            and layer.activation is keras.activations.linear
            and len(following) == 1
            and isinstance(following[0], keras.layers.BatchNormalization)
            and following[0].axis in (-1, 3)
        ):
            pairs[layer.name] = following[0]
    return pairs


def _folded_weights(layer: keras.Layer, norm: keras.Layer) -> list[np.ndarray]:
    """Kernel and bias of a convolution that includes its batch norm."""
    kernel = np.float64(layer.get_weights()[0])
    factor, bias = factor_and_bias(layer, norm)
    is_depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
    if is_depthwise:
        factor = factor.reshape(kernel.shape[2:])
    return [(kernel * factor).astype(np.float32), bias.astype(np.float32)]


def factor_and_bias(
    layer: keras.Layer, norm: keras.Layer
) -> tuple[np.ndarray, np.ndarray]:
    """What a batch norm multiplies a convolution's kernel by, and the bias of both.

    Both float64 [C], of the channels of the result.
    """
    bias = np.float64(layer.get_weights()[1]) if layer.use_bias else 0.0
    factor = 1.0 / np.sqrt(np.float64(norm.moving_variance) + norm.epsilon)
    if norm.scale:
        factor *= np.float64(norm.gamma)
    offset = np.float64(norm.beta) if norm.center else 0.0
    return factor, offset + (bias - np.float64(norm.moving_mean)) * factor
