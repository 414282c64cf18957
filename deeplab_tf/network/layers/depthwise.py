"""The atrous depthwise convolution: Keras' layer with another kernel call."""

import keras
import tensorflow as tf

from deeplab_tf.network.layers import atrous
from deeplab_tf.network.layers.package import PACKAGE

# oneDNN has a fast dilated kernel where the outermost taps are at most this far from
# the centre (rate 6 at 3x3, 3 at 5x5); beyond, its general one is 4 to 8 times slower.
_NATIVE_REACH = 6


@keras.saving.register_keras_serializable(PACKAGE)
class AtrousDepthwiseConv2D(keras.layers.DepthwiseConv2D):
    """Depthwise convolution whose atrous rates need no SpaceToBatch.

    Keras takes a rate above 1 to SpaceToBatch, convolution, BatchToSpace: two more
    passes over the map. Here such a rate runs on
      - TensorFlow's dilated kernel, where a comparison at first use proved it (its
        registered gradient ignores the rate on a CPU; ours does not), or
      - in training, for large rates or without that kernel: the undilated kernel on
        the folded map (see `atrous.fold`), exact on every device.
    Inference keeps the one dilated operation for every rate: converters and
    compilers know it, and TFLite has it as one DEPTHWISE_CONV_2D.

    Arguments, variables and saved form are those of keras.layers.DepthwiseConv2D.
    """

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Tensor[B, H, W, C] -> Tensor[B, H, W, C * depth_multiplier]."""
        if not self._is_plain_atrous():
            return super().call(inputs)
        kernel, rates = tf.convert_to_tensor(self.kernel), self.dilation_rate
        if atrous.native_is_exact(inputs.dtype):
            reach = max(
                rate * (size // 2)
                for rate, size in zip(rates, self.kernel_size, strict=True)
            )
            if not training or reach <= _NATIVE_REACH:
                return atrous.native(inputs, kernel, rates)
        return (
            atrous.folded(inputs, kernel, rates) if training else super().call(inputs)
        )

    def _is_plain_atrous(self) -> bool:
        """Whether this is the case that `atrous` computes."""
        return (
            max(self.dilation_rate) > 1
            and all(size % 2 for size in self.kernel_size)
            and self.depth_multiplier == 1
            and self.padding == "same"
            and self.data_format == "channels_last"
            and not self.use_bias
            and self.activation is keras.activations.linear
        )
