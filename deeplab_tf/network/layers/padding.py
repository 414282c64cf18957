"""Pictures are padded to sizes at which the network's cells lie as in training."""

import keras
import tensorflow as tf

from deeplab_tf.network.layers import atrous
from deeplab_tf.network.layers.package import PACKAGE, Shape


@keras.saving.register_keras_serializable(PACKAGE)
class Pad(keras.layers.Layer):
    """Zeros below and to the right, up to sides of k * stride + 1.

    A convolution of stride 2 takes its first sample from another place in maps of odd
    and of even sides, so without this a network sees pictures of other sides shifted
    by up to half a cell. Crops of 513 and the released code's pictures have such sides
    already.

    Args:
      stride: output stride of the network.
      least: height, width that pictures get at least, except in training, where crops
        have their size from the input pipeline; empty: no least size.
      **kwargs: those of keras.layers.Layer.
    """

    def __init__(
        self, stride: int, least: tuple[int, ...] = (), **kwargs: object
    ) -> None:
        super().__init__(**kwargs)
        self.stride, self.least = stride, tuple(least)

    def get_config(self) -> dict[str, object]:
        """Keras' configuration, `stride` and `least`."""
        return {**super().get_config(), "stride": self.stride, "least": self.least}

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Tensor[B, h, w, C] -> Tensor[B, H, W, C]."""
        sides = atrous.known_shape(inputs)[1:3]
        least = () if training else self.least
        added = [
            wanted - side
            for wanted, side in zip(self._padded([*sides], least), sides, strict=True)
        ]
        if all(isinstance(more, int) and not more for more in added):
            return inputs
        return tf.pad(inputs, [[0, 0], *([0, more] for more in added), [0, 0]])

    def _padded(
        self, sides: list[tf.Tensor], least: tuple[int, ...]
    ) -> list[tf.Tensor]:
        for axis, wanted in enumerate(least):
            known = isinstance(sides[axis], int)
            sides[axis] = (max if known else tf.maximum)(sides[axis], wanted)
        # Nothing negative is divided: ONNX rounds that towards zero.
        stride = self.stride
        return [(side + stride - 2) // stride * stride + 1 for side in sides]

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """(B, H, W, C)."""
        batch, *sides, channels = input_shape
        if None in sides:
            return (batch, None, None, channels)
        return (batch, *self._padded(sides, self.least), channels)


@keras.saving.register_keras_serializable(PACKAGE)
class CutLike(keras.layers.Layer):
    """Cuts the first of two maps, below and to the right, to the size of the second."""

    def call(self, inputs: list[tf.Tensor]) -> tf.Tensor:
        """[Tensor[B, H, W, C], Tensor[B, h, w, D]] -> Tensor[B, h, w, C]."""
        x, reference = inputs
        height, width = atrous.known_shape(reference)[1:3]
        if list(x.shape[1:3]) == [height, width]:
            return x
        return x[:, :height, :width]

    def compute_output_shape(self, input_shape: list[Shape]) -> Shape:
        """(B, h, w, C)."""
        x, reference = input_shape
        return (x[0], reference[1], reference[2], x[3])
