"""LiteRT files (.tflite): fixed sizes, one operation a convolution, run.json inside."""

import json
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf
from tensorflow.lite.python.convert import ConverterError

import deeplab_tf
from deeplab_tf import cli
from deeplab_tf.errors import UserError
from deeplab_tf.export.tflite import fused_relu, inspection, model_metadata
from deeplab_tf.inference.freezing import freeze
from deeplab_tf.network import folding
from deeplab_tf.network.layers import atrous
from deeplab_tf.network.quantized.quantize import is_quantized
from deeplab_tf.runs import Run

QUANTIZED = ("int8", "int16x8")  # kinds whose activations are quantised
Size = tuple[int, int]
Pictures = Callable[[Size], Iterable[np.ndarray]]


def convert(
    model: keras.Model,
    run: Run,
    sizes: Sequence[Size],
    *,
    output_type: str = "logits",
    quantize: str = "none",
    calibration: Pictures | None = None,
) -> bytes:
    """Converts to the content of a .tflite file.

    Args:
      model: float32 [B, H, W, C] in [0, 255] -> logits [B, H, W, K].
      run: whose run.json and class names go into the file.
      sizes: height, width of each signature's picture. The only one is
        `serving_default`; several are named as `size_513x513`.
      output_type: name and kind of the one output: "logits" or "probabilities"
        [1, H, W, K], or "labels" int32 [1, H, W].
      quantize: "float16" halves the weights; "dynamic" makes them int8, activations
        stay float; "int8" makes all int8, takes uint8 pictures and gives int8 scores,
        to be read by the scale and zero point of the output; "int16x8" has
        activations of 16 bits.
      calibration: for "int8" and "int16x8": gives pictures [1, H, W, C] of a size, as
        the model will see; the ranges of its activations are taken from them.

    Raises:
      UserError: the kind cannot take this network.
    """
    is_trained = is_quantized(model)
    if is_trained and quantize != "int8":
        raise UserError(
            f"--quantize must be int8 for a run of train.quantize=int8; received "
            f"{quantize}. Export the float run that it began with in other kinds."
        )
    network = folding.fold(model, atrous.dilated)
    signatures = {
        signature_name(size, sizes): _function(network, size, output_type)
        for size in sizes
    }
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(tf.Module(), folder, signatures=signatures)
        converter = tf.lite.TFLiteConverter.from_saved_model(
            folder, signature_keys=list(signatures)
        )
        _set_kind(converter, quantize, output_type)
        if is_trained:  # no supported_ops: they would ask for pictures
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        elif quantize in QUANTIZED:
            if calibration is None:
                raise ValueError(f"{quantize} needs pictures for calibration.")
            converter.representative_dataset = _representative(sizes, calibration)
        with cli.filtered_stderr(), warnings.catch_warnings():
            # The converter calibrates by an interpreter that it warns of.
            warnings.filterwarnings("ignore", ".*tf.lite.Interpreter is deprecated")
            content = _run(converter, quantize)
    if found := inspection.faults(content):
        raise RuntimeError(f"the converter left {', '.join(found)} in the file.")
    return _complete(content, run, output_type, len(sizes))


def _run(converter: tf.lite.TFLiteConverter, quantize: str) -> bytes:
    try:
        content: bytes = converter.convert()
        return fused_relu.fuse(content) if quantize == "int8" else content
    except (RuntimeError, ConverterError) as error:
        if quantize == "none":
            raise
        # As of hard-swish in int16x8, which the quantiser does not know.
        line = str(error).strip().split("\n")[0]
        raise UserError(
            f"--quantize={quantize} cannot be had for this network: {line}"
        ) from None


def _complete(content: bytes, run: Run, output_type: str, num_subgraphs: int) -> bytes:
    """The file with metadata, labels, colours and run.json."""
    metadata = model_metadata.describe(
        name=run.info.name,
        version=deeplab_tf.__version__,
        channels=run.info.channels,
        output_type=output_type,
        num_subgraphs=num_subgraphs,
    )
    colors = (" ".join(map(str, color)) for color in run.info.colormap)
    texts = {
        model_metadata.LABELS_FILE: "\n".join(run.info.class_names) + "\n",
        model_metadata.COLORS_FILE: "\n".join(colors) + "\n",
        model_metadata.RUN_FILE: json.dumps(run.to_dict(), indent=2),
    }
    return inspection.attach(inspection.add_metadata(content, metadata), texts)


def _set_kind(
    converter: tf.lite.TFLiteConverter, quantize: str, output_type: str
) -> None:
    """Sets the converter's many options for one of KINDS."""
    operations = tf.lite.OpsSet
    if quantize != "none":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantize == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if quantize == "int8":
        converter.target_spec.supported_ops = [operations.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.uint8
        if output_type != "labels":
            converter.inference_output_type = tf.int8
    if quantize == "int16x8":
        converter.target_spec.supported_ops = [
            operations.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        ]


def _representative(sizes: Sequence[Size], calibration: Pictures) -> Callable:
    def generate() -> Iterator[tuple[str, dict[str, np.ndarray]]]:
        for size in sizes:
            for number, image in enumerate(calibration(size)):
                pixels = image.astype(np.float32)
                if number == 0:
                    _show_extremes(pixels)
                yield signature_name(size, sizes), {"pictures": pixels}

    return generate


def _show_extremes(pixels: np.ndarray) -> None:
    """Makes two pixels black and white, so that the input's range is all of 0..255.

    A file takes pixels as they are only then; from dark images alone the converter
    would make its steps end where those do.
    """
    pixels[0, 0, 0], pixels[0, 0, 1] = 0.0, 255.0


def signature_name(size: Size, sizes: Sequence[Size]) -> str:
    """The signature that takes pictures of this size, one of `sizes`."""
    return "serving_default" if len(sizes) == 1 else f"size_{size[0]}x{size[1]}"


def _function(
    network: keras.Model, size: Size, output_type: str
) -> tf.types.experimental.ConcreteFunction:
    """The frozen function of one size, wrapped so that its output has a name."""
    spec = tf.TensorSpec([1, *size, network.input_shape[-1]], tf.float32, "pictures")

    @tf.function(input_signature=[spec])
    def call(pictures: tf.Tensor) -> tf.Tensor:
        logits = network(pictures, training=False)
        if output_type == "probabilities":
            return tf.nn.softmax(logits)
        if output_type == "labels":
            return tf.argmax(logits, -1, output_type=tf.int32)
        return logits

    frozen = freeze(call.get_concrete_function())

    @tf.function(input_signature=[spec])
    def named(pictures: tf.Tensor) -> dict[str, tf.Tensor]:
        return {output_type: frozen(pictures)}

    return named.get_concrete_function()
