"""From pictures to labels: scales, flip, any size, one device or several."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework import convert_to_constants

from deeplab_tf.layers import resize

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
    """A model with its test-time averaging; see `make_predictor`."""

    def __init__(
        self,
        model: keras.Model,
        scales: Sequence[float],
        flip: bool,
        frozen: bool,
        strategy: tf.distribute.Strategy | None,
    ) -> None:
        self._model = model
        self._scales = tuple(scales)
        self._flip = flip
        self._frozen = frozen
        self._strategy = strategy
        self._functions: dict[Any, Callable[[tf.Tensor], Any]] = {}

    def __call__(self, pictures: tf.Tensor) -> tf.Tensor:
        """uint8 or float32 [B, H, W, C] -> probabilities float32 [B, H, W, K]."""
        return self._apply(self._probabilities, pictures)

    def labels(self, pictures: Any) -> np.ndarray:
        """As in `Labeller`."""
        return self._apply(self._labels, pictures).numpy()

    def labels_and_confidence(self, pictures: Any) -> tuple[np.ndarray, np.ndarray]:
        """As in `Labeller`."""
        labels, confidence = self._apply(self._labels_and_confidence, pictures)
        return labels.numpy(), confidence.numpy()

    def _probabilities(self, pictures: tf.Tensor) -> tf.Tensor:
        pictures = tf.cast(pictures, tf.float32)
        total = tf.zeros([], tf.float32)
        for scale in self._scales:
            total += self._at_scale(pictures, scale)
            if self._flip:
                total += self._at_scale(pictures[:, :, ::-1], scale)[:, :, ::-1]
        return total / (len(self._scales) * (2 if self._flip else 1))

    def _at_scale(self, pictures: tf.Tensor, scale: float) -> tf.Tensor:
        size = tf.shape(pictures)[1:3]
        if scale == 1.0:
            return tf.nn.softmax(self._logits(pictures))
        scaled = tf.cast(tf.cast(size, tf.float32) * scale, tf.int32)
        return resize(tf.nn.softmax(self._logits(resize(pictures, scaled))), size)

    def _logits(self, pictures: tf.Tensor) -> tf.Tensor:
        return self._model(tf.cast(pictures, tf.float32), training=False)

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
        return _highest(logits), tf.reduce_max(tf.nn.softmax(logits), -1)

    def _apply(self, function: Callable[[tf.Tensor], Any], pictures: Any) -> Any:
        pictures = tf.convert_to_tensor(pictures)
        if pictures.dtype not in PIXEL_TYPES:
            pictures = tf.cast(pictures, tf.float32)
        traced = self._function(function, pictures.dtype)
        if self._strategy is None:
            return traced(pictures)
        return _on_replicas(self._strategy, traced, pictures)

    def _function(
        self, function: Callable[[tf.Tensor], Any], dtype: tf.DType
    ) -> Callable[[tf.Tensor], Any]:
        """The function traced once for all sizes."""
        key = (function.__name__, dtype)
        if key not in self._functions:
            self._functions[key] = self._traced(function, dtype)
        return self._functions[key]

    def _traced(
        self, function: Callable[[tf.Tensor], Any], dtype: tf.DType
    ) -> Callable[[tf.Tensor], Any]:
        strategy = self._strategy
        if strategy is not None:
            return tf.function(
                lambda values: strategy.run(function, (values,)), reduce_retracing=True
            )
        shape = [None, None, None, self._model.input_shape[-1]]
        spec = tf.TensorSpec(shape, dtype, "pictures")
        traced = tf.function(function).get_concrete_function(spec)
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


def _highest(scores: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.argmax(scores, -1, output_type=tf.int32), tf.uint8)


def _freeze(function: Any) -> Callable[[tf.Tensor], Any]:
    frozen = convert_to_constants.convert_variables_to_constants_v2(function)

    def call(pictures: tf.Tensor) -> Any:
        outputs = frozen(pictures)
        return outputs[0] if len(outputs) == 1 else outputs

    return call


def _on_replicas(
    strategy: tf.distribute.Strategy,
    function: Callable[[tf.Tensor], Any],
    pictures: tf.Tensor,
) -> Any:
    """Splits the batch, repeating the last picture where it does not go even."""
    count, replicas = len(pictures), strategy.num_replicas_in_sync
    padding = -count % replicas
    padded = tf.concat([pictures, tf.repeat(pictures[-1:], padding, axis=0)], 0)
    parts = tf.split(padded, replicas)
    values = strategy.experimental_distribute_values_from_function(
        lambda context: parts[context.replica_id_in_sync_group]
    )
    outputs = function(values)
    return tf.nest.map_structure(
        lambda output: tf.concat(strategy.experimental_local_results(output), 0)[
            :count
        ],
        outputs,
    )
