"""Batch norm on the fused kernel: Keras' layer with another kernel call."""

from collections.abc import Callable

import keras
import tensorflow as tf

from deeplab_tf.network.layers.package import PACKAGE


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

    def __init__(self, *, frozen: bool = False, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.frozen = frozen

    def get_config(self) -> dict[str, object]:
        """Keras' configuration and `frozen`."""
        return {**super().get_config(), "frozen": self.frozen}

    def call(
        self,
        inputs: tf.Tensor,
        training: bool | None = None,
        mask: tf.Tensor | None = None,
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

    def _is_usual(self, inputs: tf.Tensor) -> bool:
        return (
            len(inputs.shape) == 4
            and self.axis in (-1, 3)
            and self.scale
            and self.center
            and not self.renorm
        )

    def _fused(
        self,
        x: tf.Tensor,
        mean: tf.Tensor | None = None,
        variance: tf.Tensor | None = None,
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
    def total(x: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        return reduce(x), reduce

    return total(x)
