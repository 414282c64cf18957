"""Means over windows and grids of a map."""

import keras
import tensorflow as tf

from deeplab_tf.network.layers import atrous
from deeplab_tf.network.layers.package import PACKAGE, Shape


class _RangeMean(keras.layers.Layer):
    """Means over ranges of rows and columns, of any map size, by two products."""

    def ranges(self, length: tf.Tensor, axis: int) -> tuple[tf.Tensor, tf.Tensor]:
        """First and one past last index of each mean along an axis (0 down)."""
        raise NotImplementedError

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Tensor[B, H, W, C] -> Tensor[B, rows, columns, C]."""
        height, width = atrous.known_shape(inputs)[1:3]
        down, across = self._weights(height, 0), self._weights(width, 1)
        y = tf.einsum("mh,bhwc->bmwc", down, tf.cast(inputs, tf.float32))
        return tf.cast(tf.einsum("nw,bmwc->bmnc", across, y), self.compute_dtype)

    def _weights(self, length: tf.Tensor, axis: int) -> tf.Tensor:
        """Tensor[means, length]: 1 / size inside of each range."""
        first, last = self.ranges(length, axis)
        at = tf.range(length)[None]
        inside = (at >= first[:, None]) & (at < last[:, None])
        size = tf.cast(last - first, tf.float32)
        return tf.cast(inside, tf.float32) / size[:, None]


@keras.saving.register_keras_serializable(PACKAGE)
class WindowMean(_RangeMean):
    """Mean over a window at each place where it fits in the map.

    Args:
      window: (height, width) in pixels of the map, cut to the map where that is
        smaller; empty: the whole map.
      **kwargs: those of keras.layers.Layer.
    """

    def __init__(self, window: tuple[int, ...], **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.window = tuple(window)

    def get_config(self) -> dict[str, object]:
        """Keras' configuration and `window`."""
        return {**super().get_config(), "window": self.window}

    def ranges(self, length: tf.Tensor, axis: int) -> tuple[tf.Tensor, tf.Tensor]:
        """Every start from 0 to length - window."""
        size = tf.minimum(self.window[axis], length) if self.window else length
        first = tf.range(length - size + 1)
        return first, first + size

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """(B, H - height + 1, W - width + 1, C), at least 1 each."""
        batch, *sides, channels = input_shape
        window = self.window or sides
        means = [
            None if side is None or size is None else max(side - size, 0) + 1
            for side, size in zip(sides, window, strict=True)
        ]
        return (batch, *means, channels)


@keras.saving.register_keras_serializable(PACKAGE)
class GridMean(_RangeMean):
    """Means over n x n parts of the map, which overlap where n does not divide it.

    Args:
      parts: n; part i of a side of h pixels has pixels floor(i * h / n) up to
        ceil((i + 1) * h / n), so that no pixel is left out.
      **kwargs: those of keras.layers.Layer.
    """

    def __init__(self, parts: int, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.parts = parts

    def get_config(self) -> dict[str, object]:
        """Keras' configuration and `parts`."""
        return {**super().get_config(), "parts": self.parts}

    def ranges(self, length: tf.Tensor, axis: int) -> tuple[tf.Tensor, tf.Tensor]:
        """As said above, the same for both axes."""
        index = tf.range(self.parts)
        return index * length // self.parts, -(-(index + 1) * length // self.parts)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """(B, parts, parts, C)."""
        return (input_shape[0], self.parts, self.parts, input_shape[3])
