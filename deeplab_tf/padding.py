"""Pictures smaller than a size are padded to it, and the answer is cut back."""

from typing import Any

import keras
import tensorflow as tf

from deeplab_tf import atrous
from deeplab_tf.layers import PACKAGE


@keras.saving.register_keras_serializable(PACKAGE)
class PadTo(keras.layers.Layer):
    """Zeros below and to the right, up to a size; larger maps stay as they are.

    In training it does nothing: crops have their size from the input pipeline.

    Args:
      size: (height, width).
      **kwargs: those of keras.layers.Layer.
    """

    def __init__(self, size: tuple[int, ...], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size = tuple(size)

    def get_config(self) -> dict[str, Any]:
        """Keras' configuration and `size`."""
        return {**super().get_config(), "size": self.size}

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Tensor[B, h, w, C] -> Tensor[B, max(h, height), max(w, width), C]."""
        if training:
            return inputs
        sides = atrous.known_shape(inputs)[1:3]
        missing = [
            max(wanted - side, 0)
            if isinstance(side, int)
            else tf.maximum(wanted - side, 0)
            for wanted, side in zip(self.size, sides, strict=True)
        ]
        return tf.pad(inputs, [[0, 0], *([0, more] for more in missing), [0, 0]])

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """(B, max(h, height), max(w, width), C)."""
        batch, *sides, channels = input_shape
        padded = (
            None if side is None else max(side, wanted)
            for side, wanted in zip(sides, self.size, strict=True)
        )
        return (batch, *padded, channels)


@keras.saving.register_keras_serializable(PACKAGE)
class CutLike(keras.layers.Layer):
    """Cuts the first of two maps, below and to the right, to the size of the second."""

    def call(self, inputs: Any) -> tf.Tensor:
        """[Tensor[B, H, W, C], Tensor[B, h, w, D]] -> Tensor[B, h, w, C]."""
        x, reference = inputs
        height, width = atrous.known_shape(reference)[1:3]
        return x[:, :height, :width]

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """(B, h, w, C)."""
        x, reference = input_shape
        return (x[0], reference[1], reference[2], x[3])
