"""Quantisation-aware training: the network as its int8 file will compute it.

A LiteRT file of 8 bits has kernels of 255 steps a channel and maps of 256 steps. Here
both are rounded so in the forward pass, and gradients pass as if they were not
(arXiv 1712.05877, section 3). Batch norm is in the kernels from the start, by its
moving statistics, as it will be in the file.
"""

from collections.abc import Iterable

import keras
import numpy as np
import tensorflow as tf

from deeplab_tf.errors import UserError
from deeplab_tf.network import folding
from deeplab_tf.network.layers.means import WindowMean
from deeplab_tf.network.layers.padding import CutLike, Pad
from deeplab_tf.network.layers.resize import ResizeLike, Zoom
from deeplab_tf.network.quantized.layers import (
    FakeQuantize,
    HardSigmoid,
    Normalization,
    PooledWindowMean,
    QuantizedConv2D,
    QuantizedDepthwiseConv2D,
)

# These move or gather values. The file has the result in the range of their maps.
_MOVING: tuple[type, ...] = (
    keras.layers.ZeroPadding2D,
    keras.layers.MaxPooling2D,
    keras.layers.Dropout,
    keras.layers.Concatenate,
    Pad,
    CutLike,
)
_SIZED_BY_THE_SECOND = (ResizeLike, CutLike)
_CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)
_COMPUTING: tuple[type, ...] = (
    *_CONVOLUTIONS,
    keras.layers.Activation,
    keras.layers.Add,
    keras.layers.Multiply,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.InputLayer,
    keras.layers.Rescaling,
    ResizeLike,
    WindowMean,
    Zoom,
)
_FUSED = ("relu", "relu6")  # part of the operation before
_ACTIVATIONS = ("linear", *_FUSED, "hard_silu", "hard_sigmoid")


def quantize(model: keras.Model) -> keras.Model:
    """Copies a float network as one that rounds.

    Args:
      model: from `model.build_model`, with batch norm.

    Returns:
      A model of the same inputs, outputs and layer names, without batch norm, and with
      a layer NAME.range after each layer NAME whose result is rounded. Its ranges mean
      nothing before `calibrate`.

    Raises:
      UserError: it has a layer that cannot be trained so.
    """
    network = folding.fold(model)
    _check(network)
    groups, fused = _groups(network), _fused(network)
    gates = {
        layer.name
        for layer in network.layers
        if isinstance(layer, _CONVOLUTIONS) and _activation(layer) == "hard_sigmoid"
    }

    def clone(layer: keras.Layer) -> keras.Layer:
        config = layer.get_config()
        if layer.name in gates:
            config["activation"] = "linear"
        return _rounding_kind(layer).from_config(config)

    def call(
        layer: keras.Layer, *args: keras.KerasTensor, **kwargs: object
    ) -> keras.KerasTensor:
        y = layer(*args, **kwargs)
        if layer.name in fused or isinstance(layer, (*_MOVING, Normalization)):
            return y
        y = FakeQuantize(group=groups[layer.name], name=f"{layer.name}.range")(y)
        return HardSigmoid(name=f"{layer.name}.gate")(y) if layer.name in gates else y

    copy = keras.models.clone_model(network, clone_function=clone, call_function=call)
    _set_weights(copy, model)
    return copy


def _set_weights(quantized: keras.Model, model: keras.Model) -> None:
    norms = folding.foldable(model)
    for layer in quantized.layers:
        if not isinstance(layer, _CONVOLUTIONS):
            continue
        original = model.get_layer(layer.name)
        kernel, *bias = original.get_weights()
        factor = np.ones(layer.factor.shape)
        if layer.name in norms:
            factor, bias = folding.factor_and_bias(original, norms[layer.name])
        layer.set_weights([kernel, np.reshape(bias, factor.shape), factor])


_ROUNDING = {
    keras.layers.Conv2D: QuantizedConv2D,
    keras.layers.DepthwiseConv2D: QuantizedDepthwiseConv2D,
    keras.layers.Rescaling: Normalization,
    WindowMean: PooledWindowMean,
}


def _rounding_kind(layer: keras.Layer) -> type[keras.Layer]:
    kinds = (new for old, new in _ROUNDING.items() if isinstance(layer, old))
    return next(kinds, type(layer))


def calibrate(model: keras.Model, batches: Iterable[tf.Tensor]) -> None:
    """Sets the ranges of a quantised model to what its maps hold.

    Args:
      model: from `quantize`; its kernels are rounded meanwhile, its maps are not.
      batches: pictures [B, H, W, C].
    """
    layers = [layer for layer in model.layers if isinstance(layer, FakeQuantize)]
    probe = keras.Model(model.input, [layer.input for layer in layers])

    @tf.function
    def extremes(pictures: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        maps = probe(tf.cast(pictures, tf.float32), training=False)
        low, high = ([f(y) for y in maps] for f in (tf.reduce_min, tf.reduce_max))
        return tf.stack(low), tf.stack(high)

    for layer in layers:
        layer.passes = True
    found = [extremes(batch) for batch in batches]
    for layer in layers:
        layer.passes = False
    low, high = (np.mean(values, 0) for values in zip(*found, strict=True))
    _set_ranges(layers, low, high)


def is_quantized(model: keras.Model) -> bool:
    """Whether it is from `quantize`."""
    return any(isinstance(layer, FakeQuantize) for layer in model.layers)


def _set_ranges(layers: list[FakeQuantize], low: np.ndarray, high: np.ndarray) -> None:
    groups = np.array([layer.group for layer in layers])
    for layer in layers:
        members = groups == layer.group
        layer.set_range(low[members].min(), high[members].max())


def _check(network: keras.Model) -> None:
    for layer in network.layers:
        known = isinstance(layer, (*_COMPUTING, *_MOVING))
        if known and _activation(layer) in _ACTIVATIONS:
            continue
        raise UserError(
            "train.quantize=int8 must have a network of convolutions, batch norm, "
            "sums, pooling over the whole map and resizing; received the layer "
            f"{layer.name} ({type(layer).__name__})."
        )


def _activation(layer: keras.Layer) -> str:
    return getattr(getattr(layer, "activation", None), "__name__", "linear")


def _fused(network: keras.Model) -> set[str]:
    """Layers whose result the file never holds, for an activation is part of them."""
    readers: dict[int, list[keras.Layer]] = {}
    for layer in network.layers:
        for tensor in keras.tree.flatten(layer.input):
            readers.setdefault(id(tensor), []).append(layer)
    return {
        layer.name
        for layer in network.layers
        if isinstance(layer, (*_CONVOLUTIONS, keras.layers.Add))
        and len(following := readers.get(id(layer.output), [])) == 1
        and isinstance(following[0], keras.layers.Activation)
        and _activation(following[0]) in _FUSED
    }


def _groups(network: keras.Model) -> dict[str, str]:
    """Name of a layer -> a name that all layers share that must have one range.

    What is concatenated has the range of the whole, what is resized its map's.
    """
    group = {layer.name: layer.name for layer in network.layers}
    producer = {id(layer.output): layer.name for layer in network.layers}

    def merge(one: str, other: str) -> None:
        old, new = group[other], group[one]
        for name in group:
            group[name] = new if group[name] == old else group[name]

    for layer in network.layers:
        inputs = keras.tree.flatten(layer.input)
        if isinstance(layer, _SIZED_BY_THE_SECOND):
            inputs = inputs[:1]
        elif not isinstance(layer, (*_MOVING, WindowMean, Zoom)):
            continue
        for tensor in inputs:
            merge(layer.name, producer[id(tensor)])
    return group
