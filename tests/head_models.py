"""Small Keras models around one module, with random weights."""

import keras
import numpy as np
from numpy_network import Network, randomize

from deeplab_tf.network.layers.blocks import Style

# No time for initial values, as `randomize` replaces them.
STYLE = Style(
    momentum=0.9, epsilon=1e-3, kernel="Zeros", depthwise="Zeros", pointwise="Zeros"
)
TOLERANCE = {"rtol": 1e-4, "atol": 1e-4}  # float32 against float64


def picture(*shape, seed=1):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def wrap(build, *channels):
    """(Keras model of build(inputs...), its NumPy counterpart's weights)."""
    inputs = [keras.Input((None, None, width)) for width in channels]
    model = keras.Model(inputs if inputs[1:] else inputs[0], build(*inputs))
    randomize(model)
    return model, Network(model, STYLE.epsilon)
