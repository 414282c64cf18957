"""From a picture to probabilities and labels: scales, flip, any size."""

from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from deeplab_tf.layers import resize

Predictor = Callable[[tf.Tensor], tf.Tensor]


def make_predictor(
    model: keras.Model, *, scales: Sequence[float] = (1.0,), flip: bool = False
) -> Predictor:
    """Returns a function from pictures to probabilities.

    Softmax maps are averaged over the scales, with and without the flip, as the
    paper does; with one scale and no flip it is the softmax of the logits.

    Args:
      model: gives logits [B, H, W, K] from float32 [B, H, W, C] in [0, 255].
      scales: factors on both sides; a scaled side is rounded down.
      flip: adds the mirrored picture at every scale.

    Returns:
      A tf.function, uint8 or float [B, H, W, C] -> float32 [B, H, W, K]; traced once
      for all sizes.
    """

    def at_scale(pictures: tf.Tensor, scale: float) -> tf.Tensor:
        size = tf.shape(pictures)[1:3]
        if scale == 1.0:
            return tf.nn.softmax(model(pictures, training=False))
        scaled = tf.cast(tf.cast(size, tf.float32) * scale, tf.int32)
        logits = model(resize(pictures, scaled), training=False)
        return resize(tf.nn.softmax(logits), size)

    @tf.function(reduce_retracing=True)
    def predict(pictures: tf.Tensor) -> tf.Tensor:
        pictures = tf.cast(pictures, tf.float32)
        total = tf.zeros([], tf.float32)
        for scale in scales:
            total += at_scale(pictures, scale)
            if flip:
                total += at_scale(pictures[:, :, ::-1], scale)[:, :, ::-1]
        return total / (len(scales) * (2 if flip else 1))

    spec = tf.TensorSpec([None, None, None, model.input_shape[-1]])
    by_type = {
        kind: predict.get_concrete_function(tf.TensorSpec(spec.shape, kind))
        for kind in (tf.uint8, tf.float32)
    }
    return lambda pictures: by_type[pictures.dtype](pictures)
