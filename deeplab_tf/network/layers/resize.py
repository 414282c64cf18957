"""Bilinear resizing with aligned corners."""

from typing import Any

import keras
import tensorflow as tf

from deeplab_tf.network.layers import atrous
from deeplab_tf.network.layers.package import PACKAGE, Shape


def resize(x: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Bilinear resize with aligned corners, as the released weights expect.

    The centres of the corner pixels of x and of the result coincide: pixel i of n
    lies at i * (m - 1) / (n - 1) of the m pixels of x.

    Args:
      x: Tensor[B, H, W, C] of any float type, which the result keeps.
      size: (height, width), integers or a tensor.
    """
    y = tf.raw_ops.ResizeBilinear(images=x, size=size, align_corners=True)
    return tf.cast(y, x.dtype)


@keras.saving.register_keras_serializable(PACKAGE)
class ResizeLike(keras.layers.Layer):
    """Resizes the first of two maps to the height and width of the second."""

    def __init__(self, **kwargs: object) -> None:
        super().__init__(**kwargs)
        # Every network ends with this layer, and Keras compiles by XLA on its own
        # what supports it. For these networks XLA is several times slower on a CPU.
        self.supports_jit = bool(
            tf.config.list_physical_devices("GPU")
            or tf.config.list_physical_devices("TPU")
        )

    def call(self, inputs: list[tf.Tensor]) -> tf.Tensor:
        """[Tensor[B, h, w, C], Tensor[B, H, W, D]] -> Tensor[B, H, W, C]."""
        x, reference = inputs
        size = list(reference.shape)[1:3]
        if None not in size and size == list(x.shape)[1:3]:
            return x
        return resize(x, atrous.known_shape(reference)[1:3])

    def compute_output_shape(self, input_shape: list[Shape]) -> Shape:
        """(B, H, W, C)."""
        x, reference = input_shape
        return (x[0], reference[1], reference[2], x[3])


@keras.saving.register_keras_serializable(PACKAGE)
class Zoom(keras.layers.Layer):
    """Resizes a picture by a factor, so that the network sees more or fewer pixels.

    Not in training: there the input pipeline scales by the factor, too, and crops have
    the size that the network sees. So each pixel is interpolated once, and labels are
    learnt at that size. A side of n pixels gets (n - 1) * factor + 1, rounded.

    Args:
      factor: of a hundredth's precision, so that all runtimes round alike.
      **kwargs: those of keras.layers.Layer.
    """

    def __init__(self, factor: float, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.factor = factor

    def get_config(self) -> dict[str, object]:
        """Keras' configuration and `factor`."""
        return {**super().get_config(), "factor": self.factor}

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Tensor[B, h, w, C] -> Tensor[B, H, W, C]."""
        if training:
            return inputs
        sides = atrous.known_shape(inputs)[1:3]
        return resize(inputs, [self._zoomed(side) for side in sides])

    def _zoomed(self, side: Any) -> Any:
        return ((side - 1) * round(100 * self.factor) + 50) // 100 + 1

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """(B, H, W, C), outside of training."""
        batch, *sides, channels = input_shape
        zoomed = (None if side is None else self._zoomed(side) for side in sides)
        return (batch, *zoomed, channels)
