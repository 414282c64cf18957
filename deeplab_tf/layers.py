"""The layers that Keras lacks: fast atrous depthwise and batch norm, and resizing.

`AtrousDepthwiseConv2D` and `BatchNormalization` are the Keras layers of those names
with another kernel call: variables, configuration and saving stay Keras' own.
"""

from typing import Any

import keras
import tensorflow as tf

from deeplab_tf import atrous

PACKAGE = "deeplab_tf"  # under which Keras finds the layers in a .keras file

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

    def call(self, inputs: Any, training: bool | None = None) -> tf.Tensor:
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


@keras.saving.register_keras_serializable(PACKAGE)
class BatchNormalization(keras.layers.BatchNormalization):
    """Batch norm on the fused kernel, synchronised where several replicas train.

    Keras computes the moments by a chain of elementwise operations. Here maps of
    rank 4 go through FusedBatchNormV3, in training and in inference. Its statistics
    are those of one replica; where a strategy runs several, the moments of the
    global batch are taken instead, and their gradient crosses the replicas too.

    Args:
      frozen: normalise by the moving statistics in training too, and keep them;
        gamma and beta still train. (`trainable=False` freezes those as well.)
      **kwargs: those of keras.layers.BatchNormalization. `synchronized` is not
        needed.
    """

    def __init__(self, *, frozen: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.frozen = frozen

    def get_config(self) -> dict[str, Any]:
        """Keras' configuration and `frozen`."""
        return {**super().get_config(), "frozen": self.frozen}

    def call(
        self, inputs: Any, training: bool | None = None, mask: Any = None
    ) -> tf.Tensor:
        """Tensor[B, H, W, C] -> the same shape; other ranks are left to Keras."""
        training = bool(training and self.trainable and not self.frozen)
        context = tf.distribute.get_replica_context()
        replicas = 1 if context is None else context.num_replicas_in_sync
        if mask is not None or not self._is_usual(inputs):
            return super().call(inputs, training=training, mask=mask)
        if training and replicas > 1:
            return self._synchronized(inputs, context)
        if inputs.dtype == tf.float64:  # which the fused kernel lacks
            return super().call(inputs, training=training)
        if not training:
            return self._fused(inputs, self.moving_mean, self.moving_variance)[0]
        y, mean, variance = self._fused(inputs)
        # The kernel returns the unbiased variance; Keras' moving one is biased.
        count = tf.cast(tf.reduce_prod(tf.shape(inputs)[:3]), variance.dtype)
        self._update(mean, variance * (tf.maximum(count - 1.0, 1.0) / count))
        return y

    def _is_usual(self, inputs: Any) -> bool:
        return (
            len(inputs.shape) == 4
            and self.axis in (-1, 3)
            and self.scale
            and self.center
            and not self.renorm
        )

    def _fused(
        self, x: tf.Tensor, mean: Any = None, variance: Any = None
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """(y, mean, variance); by the given statistics, else by those of x."""
        from_batch = mean is None
        empty = tf.zeros([0], tf.float32)
        outputs = tf.raw_ops.FusedBatchNormV3(
            x=x,
            scale=tf.convert_to_tensor(self.gamma),
            offset=tf.convert_to_tensor(self.beta),
            mean=empty if from_batch else tf.convert_to_tensor(mean),
            variance=empty if from_batch else tf.convert_to_tensor(variance),
            epsilon=self.epsilon,
            is_training=from_batch,
        )
        return outputs.y, outputs.batch_mean, outputs.batch_variance

    def _synchronized(
        self, inputs: tf.Tensor, context: tf.distribute.ReplicaContext
    ) -> tf.Tensor:
        x = inputs if inputs.dtype == tf.float64 else tf.cast(inputs, tf.float32)
        mean, variance = self._global_moments(x, context)
        self._update(mean, variance)
        y = tf.nn.batch_normalization(
            x,
            mean,
            variance,
            tf.convert_to_tensor(self.beta),
            tf.convert_to_tensor(self.gamma),
            self.epsilon,
        )
        return tf.cast(y, inputs.dtype)

    def _global_moments(
        self, x: tf.Tensor, context: tf.distribute.ReplicaContext
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Mean and variance over all replicas' pixels, by one all-reduce.

        Sums are taken about the moving mean, which all replicas share, so that a
        mean far from zero costs no digits of the variance.
        """
        origin = tf.stop_gradient(tf.convert_to_tensor(self.moving_mean))
        mean, variance = tf.nn.moments(x, [0, 1, 2])
        offset = mean - origin
        count = tf.cast(tf.reduce_prod(tf.shape(x)[:3]), x.dtype)
        sums = [tf.ones_like(mean), offset, variance + tf.square(offset)]
        totals = sum_over_replicas(count * tf.stack(sums), context)
        count, first, second = tf.unstack(totals)
        offset = first / count
        variance = tf.maximum(second / count - tf.square(offset), 0.0)
        return origin + offset, variance

    def _update(self, mean: tf.Tensor, variance: tf.Tensor) -> None:
        for moving, batch in (
            (self.moving_mean, mean),
            (self.moving_variance, variance),
        ):
            moving.assign(moving * self.momentum + batch * (1.0 - self.momentum))


def sum_over_replicas(x: tf.Tensor, context: tf.distribute.ReplicaContext) -> tf.Tensor:
    """The sum of the replicas' x, on each; its gradient is summed alike.

    `all_reduce` has that gradient too. But while a custom gradient is traced,
    TensorFlow looks behind its outputs for variables, and from here it would go on
    into the other replica's whole network, for every batch norm again. It does not
    pass a stopped gradient.
    """

    def reduce(values: tf.Tensor) -> tf.Tensor:
        return context.all_reduce("SUM", tf.stop_gradient(values))

    @tf.custom_gradient
    def total(x: tf.Tensor) -> Any:
        return reduce(x), reduce

    return total(x)


def resize(x: tf.Tensor, size: Any) -> tf.Tensor:
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

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # Every network ends with this layer, and Keras compiles by XLA on its own
        # what supports it. For these networks XLA is several times slower on a CPU.
        self.supports_jit = bool(
            tf.config.list_physical_devices("GPU")
            or tf.config.list_physical_devices("TPU")
        )

    def call(self, inputs: Any) -> tf.Tensor:
        """[Tensor[B, h, w, C], Tensor[B, H, W, D]] -> Tensor[B, H, W, C]."""
        x, reference = inputs
        size = list(reference.shape)[1:3]
        if None not in size and size == list(x.shape)[1:3]:
            return x
        return resize(x, atrous.known_shape(reference)[1:3])

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """(B, H, W, C)."""
        x, reference = input_shape
        return (x[0], reference[1], reference[2], x[3])


class _RangeMean(keras.layers.Layer):
    """Means over ranges of rows and columns, of any map size, by two products."""

    def ranges(self, length: Any, axis: int) -> tuple[tf.Tensor, tf.Tensor]:
        """First and one past last index of each mean along an axis (0 down)."""
        raise NotImplementedError

    def call(self, inputs: Any) -> tf.Tensor:
        """Tensor[B, H, W, C] -> Tensor[B, rows, columns, C]."""
        height, width = atrous.known_shape(inputs)[1:3]
        down, across = self._weights(height, 0), self._weights(width, 1)
        y = tf.einsum("mh,bhwc->bmwc", down, tf.cast(inputs, tf.float32))
        return tf.cast(tf.einsum("nw,bmwc->bmnc", across, y), self.compute_dtype)

    def _weights(self, length: Any, axis: int) -> tf.Tensor:
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

    def __init__(self, window: tuple[int, ...], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.window = tuple(window)

    def get_config(self) -> dict[str, Any]:
        """Keras' configuration and `window`."""
        return {**super().get_config(), "window": self.window}

    def ranges(self, length: Any, axis: int) -> tuple[tf.Tensor, tf.Tensor]:
        """Every start from 0 to length - window."""
        size = tf.minimum(self.window[axis], length) if self.window else length
        first = tf.range(length - size + 1)
        return first, first + size

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """(B, H - height + 1, W - width + 1, C), at least 1 each."""
        batch, *sides, channels = input_shape
        window = self.window or sides
        means = [
            None if side is None else max(side - size, 0) + 1
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

    def __init__(self, parts: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.parts = parts

    def get_config(self) -> dict[str, Any]:
        """Keras' configuration and `parts`."""
        return {**super().get_config(), "parts": self.parts}

    def ranges(self, length: Any, axis: int) -> tuple[tf.Tensor, tf.Tensor]:
        """As said above, the same for both axes."""
        index = tf.range(self.parts)
        return index * length // self.parts, -(-(index + 1) * length // self.parts)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """(B, parts, parts, C)."""
        return (input_shape[0], self.parts, self.parts, input_shape[3])
