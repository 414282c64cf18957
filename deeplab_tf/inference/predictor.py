"""From pictures to labels: scales, flip, any size, one device or several."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework import convert_to_constants

from deeplab_tf.network.context.aspp import IMAGE_POOLING
from deeplab_tf.network.layers.resize import resize

PIXEL_TYPES = (tf.uint8, tf.float32)


class Labeller(Protocol):
    """Whatever labels pictures: a model, one that works in tiles, an export."""

    def labels(self, pictures: Any) -> np.ndarray:
        """Pictures [B, H, W, C], uint8 or float in [0, 255] -> uint8 [B, H, W]."""
        ...

    def labels_and_confidence(
        self, pictures: Any
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """The labels and, where known, the winners' probabilities [B, H, W]."""
        ...


class Predictor:
    """A model with its test-time averaging; see `make_predictor`.

    What a network knows of a whole picture it takes from the mean of its features. A
    part of a picture is therefore labelled as in the whole when it is given the
    whole's mean features: `features` gives maps to take the means of.
    """

    def __init__(
        self,
        model: keras.Model,
        scales: Sequence[float],
        flip: bool,
        frozen: bool,
        strategy: tf.distribute.Strategy | None,
    ) -> None:
        self._model = model
        self._parts = _split_at_mean(model)
        self._scales = tuple(scales)
        self._flip = flip
        self._frozen = frozen
        self._strategy = strategy
        self._functions: dict[Any, Callable[..., Any]] = {}

    def __call__(
        self, pictures: tf.Tensor, means: Sequence[tf.Tensor] = ()
    ) -> tf.Tensor:
        """Returns probabilities float32 [B, H, W, K].

        Args:
          pictures: uint8 or float32 [B, H, W, C].
          means: mean features [1, 1, 1, D] of the whole that the pictures are parts
            of, one for each map of `features`; empty: the pictures' own.
        """
        return self._apply(self._probabilities, pictures, *means)

    def features(self, pictures: tf.Tensor) -> list[tf.Tensor]:
        """The maps [B, h, w, D] whose means count, one for each scale and flip.

        None for networks without image pooling, or with one of a fixed window.
        """
        if not self._parts:
            return []
        maps = self._apply(self._features, pictures)
        return list(maps) if isinstance(maps, list | tuple) else [maps]

    @property
    def spacings(self) -> list[float]:
        """Pixels of the picture from cell to cell of each map of `features`."""
        stride = self._model.get_layer("padding").stride
        return [stride / scale for scale, _ in self._views()]

    def labels(self, pictures: Any) -> np.ndarray:
        """As in `Labeller`."""
        return self._apply(self._labels, pictures).numpy()

    def labels_and_confidence(self, pictures: Any) -> tuple[np.ndarray, np.ndarray]:
        """As in `Labeller`."""
        labels, confidence = self._apply(self._labels_and_confidence, pictures)
        return labels.numpy(), confidence.numpy()

    def _probabilities(self, pictures: tf.Tensor, *means: tf.Tensor) -> tf.Tensor:
        size = tf.shape(pictures)[1:3]
        total = tf.zeros([], tf.float32)
        for index, (scale, flip) in enumerate(self._views()):
            x = tf.nn.softmax(
                self._logits(_view(pictures, scale, flip), *means[index : index + 1])
            )
            x = x if scale == 1.0 else resize(x, size)
            total += x[:, :, ::-1] if flip else x
        return total / len(self._views())

    def _views(self) -> list[tuple[float, bool]]:
        """The scales, each without and with the flip."""
        flips = (False, True) if self._flip else (False,)
        return [(scale, flip) for scale in self._scales for flip in flips]

    def _features(self, pictures: tf.Tensor) -> list[tf.Tensor]:
        views = [_view(pictures, scale, flip) for scale, flip in self._views()]
        return [self._parts[0](view, training=False) for view in views]

    def _logits(self, pictures: tf.Tensor, *mean: tf.Tensor) -> tf.Tensor:
        pictures = tf.cast(pictures, tf.float32)
        if mean:
            return self._parts[1]([pictures, *mean], training=False)
        return self._model(pictures, training=False)

    def _labels(self, pictures: tf.Tensor) -> tf.Tensor:
        # Softmax does not change which class is highest.
        averages = self._flip or self._scales != (1.0,)
        scores = (self._probabilities if averages else self._logits)(pictures)
        return _highest(scores)

    def _labels_and_confidence(self, pictures: tf.Tensor) -> tuple[tf.Tensor, ...]:
        if self._flip or self._scales != (1.0,):
            probabilities = self._probabilities(pictures)
            return _highest(probabilities), tf.reduce_max(probabilities, -1)
        logits = self._logits(pictures)
        # The winner's softmax, without those of all the others.
        above = logits - tf.reduce_max(logits, -1, keepdims=True)
        return _highest(logits), 1.0 / tf.reduce_sum(tf.exp(above), -1)

    def _apply(
        self, function: Callable[..., Any], pictures: Any, *means: tf.Tensor
    ) -> Any:
        pictures = tf.convert_to_tensor(pictures)
        if pictures.dtype not in PIXEL_TYPES:
            pictures = tf.cast(pictures, tf.float32)
        traced = self._function(function, pictures.dtype, means)
        if self._strategy is None:
            return traced(pictures, *means)
        return _on_replicas(self._strategy, traced, pictures, *means)

    def _function(
        self, function: Callable[..., Any], dtype: tf.DType, means: Sequence[tf.Tensor]
    ) -> Callable[..., Any]:
        """The function traced once for all sizes."""
        key = (function.__name__, dtype, len(means))
        if key not in self._functions:
            self._functions[key] = self._traced(function, dtype, means)
        return self._functions[key]

    def _traced(
        self, function: Callable[..., Any], dtype: tf.DType, means: Sequence[tf.Tensor]
    ) -> Callable[..., Any]:
        strategy = self._strategy
        if strategy is not None:
            return tf.function(
                lambda *values: strategy.run(function, values), reduce_retracing=True
            )
        shape = [None, None, None, self._model.input_shape[-1]]
        specs = [tf.TensorSpec(shape, dtype, "pictures")]
        specs += [
            tf.TensorSpec(mean.shape, mean.dtype, f"mean_{index}")
            for index, mean in enumerate(means)
        ]
        traced = tf.function(function).get_concrete_function(*specs)
        return _freeze(traced) if self._frozen else traced


def make_predictor(
    model: keras.Model,
    *,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
    frozen: bool = False,
    strategy: tf.distribute.Strategy | None = None,
) -> Predictor:
    """Returns a model as a function from pictures to probabilities or labels.

    Softmax maps are averaged over the scales, with and without the flip, as the
    paper does; with one scale and no flip it is the softmax of the logits.

    Args:
      model: gives logits [B, H, W, K] from float32 [B, H, W, C] in [0, 255].
      scales: factors on both sides; a scaled side is rounded down.
      flip: adds the mirrored picture at every scale.
      frozen: takes the weights as they are now, as constants: faster by a tenth or
        more, for a model that does not change any more.
      strategy: under whose scope the model was built, to share out the pictures of a
        batch among its replicas; None: one device.
    """
    single = strategy is None or strategy.num_replicas_in_sync == 1
    return Predictor(
        model, scales, flip, frozen and single, None if single else strategy
    )


def _view(pictures: tf.Tensor, scale: float, flip: bool) -> tf.Tensor:
    """The pictures as float32, scaled and mirrored."""
    x = tf.cast(pictures, tf.float32)
    x = x[:, :, ::-1] if flip else x
    if scale == 1.0:
        return x
    size = tf.cast(tf.shape(x)[1:3], tf.float32) * scale
    return resize(x, tf.cast(size, tf.int32))


def _split_at_mean(model: keras.Model) -> tuple[keras.Model, ...]:
    """(picture -> map, (picture, mean of map) -> logits), where a mean is taken."""
    found = [layer for layer in model.layers if layer.name == IMAGE_POOLING]
    if not found or not isinstance(found[0], keras.layers.GlobalAveragePooling2D):
        return ()
    (mean,) = found
    return (
        keras.Model(model.input, mean.input),
        keras.Model([model.input, mean.output], model.output),
    )


def _highest(scores: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.argmax(scores, -1, output_type=tf.int32), tf.uint8)


def _freeze(function: Any) -> Callable[..., Any]:
    frozen = convert_to_constants.convert_variables_to_constants_v2(function)

    def call(*inputs: tf.Tensor) -> Any:
        outputs = frozen(*inputs)
        return outputs[0] if len(outputs) == 1 else outputs

    return call


def _on_replicas(
    strategy: tf.distribute.Strategy,
    function: Callable[..., Any],
    pictures: tf.Tensor,
    *means: tf.Tensor,
) -> Any:
    """Splits the batch, repeating the last picture where it does not go even."""
    count, replicas = len(pictures), strategy.num_replicas_in_sync
    padding = -count % replicas
    padded = tf.concat([pictures, tf.repeat(pictures[-1:], padding, axis=0)], 0)
    parts = tf.split(padded, replicas)
    values = strategy.experimental_distribute_values_from_function(
        lambda context: parts[context.replica_id_in_sync_group]
    )
    outputs = function(values, *means)
    return tf.nest.map_structure(
        lambda output: tf.concat(strategy.experimental_local_results(output), 0)[
            :count
        ],
        outputs,
    )
