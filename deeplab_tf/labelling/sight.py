"""What a network sees in a picture, small: probabilities and mean features."""

import dataclasses
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from deeplab_tf.inference.freezing import freeze

CLASSIFIER = "logits"  # the layer whose input the features are
# A picture of more pixels is looked at scaled down: what is unknown in it shows all the
# same, and 100 megapixels would not fit into memory.
MAX_PIXELS = 1 << 22


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sight:
    """One picture.

    Attributes:
      probabilities: float32 [h, w, K] at the stride of the network's last map.
      features: float32 [D], the mean over that map of what the classifier is given:
        as of the gradients that BADGE takes (Ash et al. 2020).
    """

    probabilities: np.ndarray
    features: np.ndarray


def make_look(model: keras.Model) -> Callable[[np.ndarray], Sight]:
    """A function from a picture [H, W, C] in 0..255 to what the model sees in it."""
    classifier = model.get_layer(CLASSIFIER)
    both = keras.Model(model.input, [classifier.input, classifier.output])

    def see(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        features, logits = both(_shrunk(images), training=False)
        mean = tf.reduce_mean(tf.cast(features, tf.float32), (0, 1, 2))
        return tf.nn.softmax(tf.cast(logits, tf.float32))[0], mean

    shape = [1, None, None, model.input_shape[-1]]
    spec = tf.TensorSpec(shape, tf.float32, "images")
    call = freeze(tf.function(see).get_concrete_function(spec))

    def look(image: np.ndarray) -> Sight:
        probabilities, features = call(tf.constant(image[None], tf.float32))
        return Sight(probabilities=probabilities.numpy(), features=features.numpy())

    return look


def _shrunk(images: tf.Tensor) -> tf.Tensor:
    """At most `MAX_PIXELS`, each the mean of those that it stands for."""
    size = tf.cast(tf.shape(images)[1:3], tf.float32)
    scale = tf.sqrt(MAX_PIXELS / tf.reduce_prod(size))
    wanted = tf.maximum(tf.cast(size * scale, tf.int32), 1)
    return tf.cond(
        scale < 1,
        lambda: tf.image.resize(images, wanted, "area"),
        lambda: images,
    )
