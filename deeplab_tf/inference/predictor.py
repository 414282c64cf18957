"""From images to labels: scales, flip, any size, one device or several."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

import keras
import numpy as np
import tensorflow as tf

from deeplab_tf.inference.freezing import freeze
from deeplab_tf.network.context.aspp import IMAGE_POOLING
from deeplab_tf.network.layers.resize import resize

PIXEL_TYPES = (tf.uint8, tf.float32)
Images: TypeAlias = np.ndarray | tf.Tensor  # [B, H, W, C] in 0..255
Compute = Callable[..., tf.Tensor]  # of images and means; or several tensors
Key = tuple[str, tf.DType, int]  # of what is traced: name, pixel type, number of means


class Predictor(Protocol):
    """Whatever labels images: a model, one that works in tiles, an opened export."""

    @property
    def model(self) -> keras.Model | None:
        """The Keras model; None where there is none, as in a SavedModel."""
        ...

    def labels(self, images: Images) -> np.ndarray:
        """Images [B, H, W, C] in [0, 255] -> `label_type` [B, H, W]."""
        ...

    def labels_and_confidence(
        self, images: Images
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """The labels and, where known, the winners' probabilities [B, H, W]."""
        ...

    def probabilities(self, images: Images) -> Images:
        """Images [B, H, W, C] in [0, 255] -> float32 [B, H, W, K]."""
        ...


def label_type(num_classes: int | None) -> type[np.generic]:
    """What holds the labels: a byte where that is enough; None: not known."""
    return np.uint8 if num_classes and num_classes <= 256 else np.int32


class ModelPredictor:
    """A model with its test-time averaging; see `make_predictor`.

    Attributes:
      model: the model.

    What a network knows of a whole image it takes from the mean of its features. A
    part of a image is therefore labelled as in the whole when it is given the
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
        self.model = model
        self._parts = _split_at_mean(model)
        self._scales = tuple(scales)
        self._flip = flip
        self._frozen = frozen
        self._strategy = strategy
        self._functions: dict[Key, Compute] = {}

    def probabilities(
        self, images: tf.Tensor, means: Sequence[tf.Tensor] = ()
    ) -> tf.Tensor:
        """Returns float32 [B, H, W, K].

        Args:
          images: uint8 or float32 [B, H, W, C].
          means: mean features [1, 1, 1, D] of the whole that the images are parts
            of, one for each map of `features`; empty: the images' own.
        """
        return self._apply(self._probabilities, images, *means)

    def features(self, images: tf.Tensor) -> list[tf.Tensor]:
        """The maps [B, h, w, D] whose means count, one for each scale and flip.

        None for networks without image pooling, or with one of a fixed window.
        """
        if not self._parts:
            return []
        maps = self._apply(self._features, images)
        return list(maps) if isinstance(maps, list | tuple) else [maps]

    @property
    def spacings(self) -> list[float]:
        """Pixels of the image from cell to cell of each map of `features`."""
        stride = self.model.get_layer("padding").stride
        return [stride / scale for scale, _ in self._views()]

    def labels(self, images: Images) -> np.ndarray:
        """As in `Predictor`."""
        return self._apply(self._labels, images).numpy()

    def labels_and_confidence(self, images: Images) -> tuple[np.ndarray, np.ndarray]:
        """As in `Predictor`."""
        labels, confidence = self._apply(self._labels_and_confidence, images)
        return labels.numpy(), confidence.numpy()

    def _probabilities(self, images: tf.Tensor, *means: tf.Tensor) -> tf.Tensor:
        size = tf.shape(images)[1:3]
        total = tf.zeros([], tf.float32)
        for index, (scale, flip) in enumerate(self._views()):
            x = self._logits(_view(images, scale, flip), *means[index : index + 1])
            x = tf.nn.softmax(x if scale == 1.0 else resize(x, size))
            total += x[:, :, ::-1] if flip else x
        return total / len(self._views())

    def _views(self) -> list[tuple[float, bool]]:
        """The scales, each without and with the flip."""
        flips = (False, True) if self._flip else (False,)
        return [(scale, flip) for scale in self._scales for flip in flips]

    def _features(self, images: tf.Tensor) -> list[tf.Tensor]:
        views = [_view(images, scale, flip) for scale, flip in self._views()]
        return [self._parts[0](view, training=False) for view in views]

    def _logits(self, images: tf.Tensor, *mean: tf.Tensor) -> tf.Tensor:
        images = tf.cast(images, tf.float32)
        if mean:
            return self._parts[1]([images, *mean], training=False)
        return self.model(images, training=False)

    def _labels(self, images: tf.Tensor) -> tf.Tensor:
        # Softmax does not change which class is highest.
        averages = self._flip or self._scales != (1.0,)
        scores = (self._probabilities if averages else self._logits)(images)
        return _highest(scores)

    def _labels_and_confidence(self, images: tf.Tensor) -> tuple[tf.Tensor, ...]:
        if self._flip or self._scales != (1.0,):
            probabilities = self._probabilities(images)
            return _highest(probabilities), tf.reduce_max(probabilities, -1)
        logits = self._logits(images)
        # The winner's softmax, without those of all the others.
        above = logits - tf.reduce_max(logits, -1, keepdims=True)
        return _highest(logits), 1.0 / tf.reduce_sum(tf.exp(above), -1)

    def _apply(self, function: Compute, images: Images, *means: tf.Tensor) -> tf.Tensor:
        images = tf.convert_to_tensor(images)
        if images.dtype not in PIXEL_TYPES:
            images = tf.cast(images, tf.float32)
        traced = self._function(function, images.dtype, means)
        if self._strategy is None:
            return traced(images, *means)
        return _on_replicas(self._strategy, traced, images, *means)

    def _function(
        self, function: Compute, dtype: tf.DType, means: Sequence[tf.Tensor]
    ) -> Compute:
        """The function traced once for all sizes."""
        key = (function.__name__, dtype, len(means))
        if key not in self._functions:
            self._functions[key] = self._traced(function, dtype, means)
        return self._functions[key]

    def _traced(
        self, function: Compute, dtype: tf.DType, means: Sequence[tf.Tensor]
    ) -> Compute:
        strategy = self._strategy
        if strategy is not None:
            return tf.function(
                lambda *values: strategy.run(function, values), reduce_retracing=True
            )
        shape = [None, None, None, self.model.input_shape[-1]]
        specs = [tf.TensorSpec(shape, dtype, "images")]
        specs += [
            tf.TensorSpec(mean.shape, mean.dtype, f"mean_{index}")
            for index, mean in enumerate(means)
        ]
        traced = tf.function(function).get_concrete_function(*specs)
        return freeze(traced) if self._frozen else traced


def make_predictor(
    model: keras.Model,
    *,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
    frozen: bool = False,
    strategy: tf.distribute.Strategy | None = None,
) -> ModelPredictor:
    """Returns a model as a function from images to probabilities or labels.

    Each view's logits are resized to the image's size; their softmax is averaged
    over the scales, with and without the flip, as in the released code. With one scale
    and no flip it is the softmax of the logits.

    Args:
      model: gives logits [B, H, W, K] from float32 [B, H, W, C] in [0, 255].
      scales: factors on both sides; a scaled side is rounded down.
      flip: adds the mirrored image at every scale.
      frozen: takes the weights as they are now, as constants: faster by a tenth or
        more, for a model that does not change any more.
      strategy: under whose scope the model was built, to share out the images of a
        batch among its replicas; None: one device.
    """
    single = strategy is None or strategy.num_replicas_in_sync == 1
    return ModelPredictor(
        model, scales, flip, frozen and single, None if single else strategy
    )


def _view(images: tf.Tensor, scale: float, flip: bool) -> tf.Tensor:
    """The images as float32, scaled and mirrored."""
    x = tf.cast(images, tf.float32)
    x = x[:, :, ::-1] if flip else x
    if scale == 1.0:
        return x
    size = tf.cast(tf.shape(x)[1:3], tf.float32) * scale
    return resize(x, tf.cast(size, tf.int32))


def _split_at_mean(model: keras.Model) -> tuple[keras.Model, ...]:
    """(image -> map, (image, mean of map) -> logits), where a mean is taken."""
    found = [layer for layer in model.layers if layer.name == IMAGE_POOLING]
    if not found or not isinstance(found[0], keras.layers.GlobalAveragePooling2D):
        return ()
    (mean,) = found
    return (
        keras.Model(model.input, mean.input),
        keras.Model([model.input, mean.output], model.output),
    )


def _highest(scores: tf.Tensor) -> tf.Tensor:
    kind = label_type(scores.shape[-1])
    return tf.cast(tf.argmax(scores, -1, output_type=tf.int32), kind)


def _on_replicas(
    strategy: tf.distribute.Strategy,
    function: Compute,
    images: tf.Tensor,
    *means: tf.Tensor,
) -> tf.Tensor:
    """Splits the batch, repeating the last image where it does not go even."""
    count, replicas = len(images), strategy.num_replicas_in_sync
    padding = -count % replicas
    padded = tf.concat([images, tf.repeat(images[-1:], padding, axis=0)], 0)
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
