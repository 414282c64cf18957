"""A SavedModel that needs nothing but TensorFlow: pictures in, labels out.

serving_default  pictures uint8 [B, H, W, C], any size -> labels, probabilities
labels           pictures uint8 [B, H, W, C] -> labels, without the time of the rest
serving_bytes    contents string [B], JPEG or PNG -> labels, confidence, sizes
logits           pictures uint8 [B, H, W, C] -> logits
config           -> run.json and the class names
"""

import json
import pathlib
from collections.abc import Sequence

import keras
import tensorflow as tf

from deeplab_tf import files
from deeplab_tf.data import records
from deeplab_tf.export import encoded_image
from deeplab_tf.inference.freezing import freeze
from deeplab_tf.inference.predictor import make_predictor
from deeplab_tf.inference.runners.saved_model import RUN_JSON
from deeplab_tf.network import folding
from deeplab_tf.runs import Run

MAX_SIDE = 16_384
MAX_PIXELS = 2**24
_LEAST = (33, 33)  # a pixel costs no less than a cell of the coarsest output stride
Outputs = dict[str, tf.Tensor]


def save(
    model: keras.Model,
    run: Run,
    path: pathlib.Path,
    *,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
    max_pixels: int = MAX_PIXELS,
) -> None:
    """Writes a SavedModel.

    Weights are constants and batch norm is in the kernels, so that it is faster than
    the model that was trained.

    Args:
      model: float32 [B, H, W, C] in [0, 255] -> logits [B, H, W, K].
      run: whose run.json goes into the folder and into the signature `config`.
      path: folder to write.
      scales: whose predictions are averaged.
      flip: averages with the mirrored picture, too.
      max_pixels: in a request, with the padding of its smaller pictures; more are
        refused, for one request must not take the memory of a server.
    """
    frozen = _frozen_model(folding.fold(model))
    server = Server(frozen, run, scales, flip, max_pixels)
    tf.saved_model.save(server, str(path), signatures=server.signatures())
    files.write_json(path / RUN_JSON, run.to_dict())


class Server(tf.Module):
    """The functions of the SavedModel."""

    def __init__(
        self,
        model: keras.Model,
        run: Run,
        scales: Sequence[float],
        flip: bool,
        max_pixels: int,
    ) -> None:
        super().__init__()
        self._model = model
        self._info = run.info
        self._run_json = json.dumps(run.to_dict())
        self._predict = make_predictor(model, scales=scales, flip=flip)
        self._averages = flip or tuple(scales) != (1.0,)
        self._max_pixels = max_pixels
        self._least = run.config.model.padded_size or _LEAST

    def signatures(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """The concrete functions by signature name."""
        info = self._info
        pixel = tf.uint8 if info.bits == 8 else tf.float32
        shape = [None, None, None, info.channels]
        pictures = tf.TensorSpec(shape, pixel, "pictures")
        traced = {
            "serving_default": (self.serve_pictures, [pictures]),
            "labels": (self.serve_labels, [pictures]),
            "logits": (self.serve_logits, [pictures]),
            "config": (self.serve_config, []),
        }
        if info.channels in records.IMAGE_FILE_CHANNELS and info.bits == 8:
            contents = tf.TensorSpec([None], tf.string, "contents")
            traced["serving_bytes"] = (self.serve_bytes, [contents])
        return {
            name: tf.function(function, input_signature=specs).get_concrete_function()
            for name, (function, specs) in traced.items()
        }

    def serve_pictures(self, pictures: tf.Tensor) -> Outputs:
        """Pictures of one size: labels [B, H, W], probabilities [B, H, W, K]."""
        scores = self._scores(self._check_pictures(pictures))
        return {"labels": _labels(scores), "probabilities": self._probabilities(scores)}

    def serve_labels(self, pictures: tf.Tensor) -> Outputs:
        """Pictures of one size: labels [B, H, W], of which no probability is taken."""
        return {"labels": _labels(self._scores(self._check_pictures(pictures)))}

    def serve_logits(self, pictures: tf.Tensor) -> Outputs:
        """Pictures of one size, one scale: logits [B, H, W, K]."""
        pictures = self._check_pictures(pictures)
        return {"logits": self._logits(pictures)}

    def serve_bytes(self, contents: tf.Tensor) -> Outputs:
        """Encoded pictures of any sizes, turned upright.

        Returns:
          labels int32 [B, H, W] and the winner's probability `confidence`
          [B, H, W], for the greatest height and width; what lies beyond a smaller
          picture, whose height and width `sizes` [B, 2] gives, is the ignored label, of
          confidence 0.
        """

        sizes, orientations = tf.map_fn(
            encoded_image.header,
            contents,
            fn_output_signature=(
                tf.TensorSpec([2], tf.int32),
                tf.TensorSpec([], tf.int32),
            ),
        )
        contents = self._check(contents, sizes, tf.shape(sizes)[0])

        def one(
            inputs: tuple[tf.Tensor, tf.Tensor, tf.Tensor],
        ) -> tuple[tf.RaggedTensor, ...]:
            picture = encoded_image.decode(*inputs, self._info.channels)
            scores = self._scores(picture[None])[0]
            confidence = tf.reduce_max(self._probabilities(scores), -1)
            return _ragged(_labels(scores)), _ragged(confidence)

        labels, confidence = tf.map_fn(
            one,
            (contents, sizes, orientations),
            fn_output_signature=(
                tf.RaggedTensorSpec([None, None], tf.int32),
                tf.RaggedTensorSpec([None, None], tf.float32),
            ),
        )
        return {
            "labels": labels.to_tensor(self._info.ignore_label),
            "confidence": confidence.to_tensor(),
            "sizes": sizes,
        }

    def serve_config(self) -> Outputs:
        """run_json, a scalar string, and class_names [K]."""
        return {
            "run_json": tf.constant(self._run_json),
            "class_names": tf.constant(list(self._info.class_names)),
        }

    def _logits(self, pictures: tf.Tensor) -> tf.Tensor:
        return self._model(tf.cast(pictures, tf.float32))

    def _scores(self, pictures: tf.Tensor) -> tf.Tensor:
        """What is highest at the label: probabilities where views are averaged.

        Of one view they are the logits, which tell it without a softmax.
        """
        if self._averages:
            return self._predict.probabilities(pictures)
        return self._logits(pictures)

    def _probabilities(self, scores: tf.Tensor) -> tf.Tensor:
        """The probabilities of `_scores`."""
        return scores if self._averages else tf.nn.softmax(scores)

    def _check_pictures(self, pictures: tf.Tensor) -> tf.Tensor:
        """The pictures, once their size is known to be served."""
        channels = self._info.channels
        pictures = tf.raw_ops.EnsureShape(
            input=pictures, shape=[None, None, None, channels]
        )
        shape = tf.shape(pictures, tf.int64)
        return self._check(pictures, shape[None, 1:3], shape[0])

    def _check(self, value: tf.Tensor, sizes: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
        return encoded_image.check_size(
            value,
            sizes,
            count,
            max_side=MAX_SIDE,
            max_pixels=self._max_pixels,
            least=self._least,
        )


def _frozen_model(model: keras.Model) -> keras.Model:
    """The model as one layer whose weights are constants, once for all signatures."""

    @tf.function(input_signature=[tf.TensorSpec(model.input_shape, tf.float32)])
    def call(pictures: tf.Tensor) -> tf.Tensor:
        return model(pictures, training=False)

    frozen = freeze(call.get_concrete_function())
    layer = _Function(frozen, model.output_shape[-1])
    return keras.Model(model.input, layer(model.input))


class _Function(keras.layers.Layer):
    """A frozen function from pictures to logits."""

    def __init__(
        self, function: tf.types.experimental.ConcreteFunction, num_classes: int
    ) -> None:
        super().__init__(name="frozen")
        self._function = function
        self._num_classes = num_classes

    def call(self, pictures: tf.Tensor) -> tf.Tensor:
        return self._function(pictures)

    def compute_output_shape(
        self, input_shape: Sequence[int | None]
    ) -> tuple[int | None, ...]:
        return (*input_shape[:3], self._num_classes)


def _labels(scores: tf.Tensor) -> tf.Tensor:
    return tf.argmax(scores, -1, output_type=tf.int32)


def _ragged(rows: tf.Tensor) -> tf.RaggedTensor:
    """A map [H, W] as one whose size may differ from its neighbours' in a batch."""
    return tf.RaggedTensor.from_tensor(rows)
