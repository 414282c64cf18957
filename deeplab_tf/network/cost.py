"""What a network costs: parameters, and multiply-adds at a picture's size."""

import math
from collections.abc import Iterable, Iterator

import keras

from deeplab_tf.network.layers.resize import ResizeLike, Zoom

# Bilinear interpolation of one value: two linear ones across and one down.
_RESIZE_MULTIPLY_ADDS = 3


def parameters(variables: Iterable[keras.Variable]) -> int:
    """How many numbers the variables hold."""
    return sum(math.prod(variable.shape) for variable in variables)


def multiply_adds(model: keras.Model, height: int, width: int) -> int:
    """Multiply-adds of convolutions and resizes for one picture.

    Normalisation, activations and pooling are left out, and so is the spreading of a
    single value. So counted, the model zoo's figures come out within half a percent.

    Args:
      model: a functional model of one picture, as `model.build_model` gives.
      height, width: of the picture.
    """
    total = 0
    image_shape = (1, height, width, model.input_shape[-1])
    for layer, source, shape in shapes(model, image_shape):
        if isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D):
            total += math.prod(shape[1:3]) * math.prod(layer.kernel.shape)
        elif isinstance(layer, ResizeLike | Zoom) and source[1:3] != (1, 1):
            total += math.prod(shape) * _RESIZE_MULTIPLY_ADDS
    return total


def shapes(
    model: keras.Model, image_shape: tuple[int, ...]
) -> Iterator[tuple[keras.layers.Layer, tuple[int, ...], tuple[int, ...]]]:
    """Yields each layer with the shapes of its (first) input and of its output."""
    known: dict[int, tuple[int, ...]] = {id(model.inputs[0]): image_shape}
    for layer in model.layers:
        if isinstance(layer, keras.layers.InputLayer):
            continue
        inputs = layer.input
        if isinstance(inputs, list):
            shapes = [known[id(tensor)] for tensor in inputs]
            shape = layer.compute_output_shape(shapes)
        else:
            shapes = [known[id(inputs)]]
            shape = layer.compute_output_shape(shapes[0])
        known[id(layer.output)] = shape
        yield layer, shapes[0], shape
