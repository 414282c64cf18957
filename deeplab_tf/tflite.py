"""LiteRT files (.tflite): fixed sizes, one operation a convolution, run.json inside."""

import io
import json
import pathlib
import tempfile
import zipfile
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from deeplab_tf import folding
from deeplab_tf.run import RUN_FILE, Run
from deeplab_tf.serving import freeze

OUTPUT_TYPES = ("logits", "probabilities", "labels")
Size = tuple[int, int]


def convert(
    model: keras.Model, run: Run, sizes: Sequence[Size], *, output_type: str = "logits"
) -> bytes:
    """Converts to the content of a .tflite file.

    Args:
      model: float32 [B, H, W, C] in [0, 255] -> logits [B, H, W, K].
      run: whose run.json and class names go into the file.
      sizes: height, width of each signature's picture. The only one is
        `serving_default`; several are named as `size_513x513`.
      output_type: name and kind of the one output: "logits" or "probabilities"
        [1, H, W, K], or "labels" int32 [1, H, W].
    """
    network = folding.fold(model, folding.dilated)
    signatures = {
        signature_name(size, sizes): _function(network, size, output_type)
        for size in sizes
    }
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(tf.Module(), folder, signatures=signatures)
        converter = tf.lite.TFLiteConverter.from_saved_model(
            folder, signature_keys=list(signatures)
        )
        content = converter.convert()
    return attach(content, {RUN_FILE: json.dumps(run.to_dict(), indent=2)})


def signature_name(size: Size, sizes: Sequence[Size]) -> str:
    """The signature that takes pictures of this size, one of `sizes`."""
    return "serving_default" if len(sizes) == 1 else f"size_{size[0]}x{size[1]}"


def attach(content: bytes, texts: dict[str, str]) -> bytes:
    """Appends text files as a zip archive, where LiteRT's tools look for them.

    The model's own bytes stay as they are; `unzip model.tflite` gives the files.
    """
    buffer = io.BytesIO(content)
    with zipfile.ZipFile(buffer, "a") as archive:
        for name, text in texts.items():
            # A fixed time, so that the same run gives the same file.
            archive.writestr(zipfile.ZipInfo(name), text)
    return buffer.getvalue()


def read_attached(path: pathlib.Path, name: str) -> str | None:
    """A text that `attach` put into a file, or None."""
    if not zipfile.is_zipfile(path):
        return None
    with zipfile.ZipFile(path) as archive:
        return archive.read(name).decode() if name in archive.namelist() else None


def _function(network: keras.Model, size: Size, output_type: str) -> Any:
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
        (output,) = frozen(pictures)
        return {output_type: output}

    return named.get_concrete_function()
