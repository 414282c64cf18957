"""ONNX files: pictures of any size in, labels and logits out; the extra [onnx]."""

import json
import pathlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import deeplab_tf
from deeplab_tf import atrous, folding, quantization, quiet
from deeplab_tf.errors import UserError
from deeplab_tf.run import RUN_FILE, Run

OPSET = 18
_EXTRA = "ONNX needs more packages: pip install 'deeplab-tf[onnx]' (or '.[onnx]')."


def convert(model: keras.Model, run: Run) -> bytes:
    """Converts to the content of an .onnx file.

    Its input `pictures` is uint8 [B, H, W, C] of any B, H and W; its outputs are
    `logits` float32 [B, H, W, K] and `labels` int32 [B, H, W].

    Args:
      model: float32 [B, H, W, C] in [0, 255] -> logits [B, H, W, K].
      run: whose run.json goes into the file's metadata.

    Raises:
      UserError: the extra packages are not installed, or the model rounds.
    """
    if quantization.is_quantized(model):
        raise UserError(
            "ONNX cannot be had of a run of train.quantize=int8: its rounding is not "
            "kept. Export the float run that it began with."
        )
    try:
        import tf2onnx
    except ImportError:
        raise UserError(_EXTRA) from None
    network = folding.fold(model, atrous.dilated)
    shape = [None, None, None, run.info.channels]
    signature = [tf.TensorSpec(shape, tf.uint8, "pictures")]

    @tf.function(input_signature=signature)
    def call(pictures: tf.Tensor) -> dict[str, tf.Tensor]:
        logits = network(tf.cast(pictures, tf.float32), training=False)
        return {"logits": logits, "labels": tf.argmax(logits, -1, output_type=tf.int32)}

    with quiet.filtered_stderr():
        converted, _ = tf2onnx.convert.from_function(
            call, input_signature=signature, opset=OPSET
        )
    _pad_explicitly(converted.graph)
    converted.producer_name = "deeplab_tf"
    converted.producer_version = deeplab_tf.__version__
    entry = converted.metadata_props.add()
    entry.key, entry.value = RUN_FILE, json.dumps(run.to_dict())
    return converted.SerializeToString()


class ONNXRunner:
    """An .onnx file in ONNX Runtime.

    Attributes:
      run: what run.json holds.
    """

    def __init__(self, path: pathlib.Path, num_threads: int | None = None) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise UserError(_EXTRA) from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = num_threads or 0
        self._session = onnxruntime.InferenceSession(str(path), options)
        metadata = self._session.get_modelmeta().custom_metadata_map
        self.run: dict[str, Any] = json.loads(metadata.get(RUN_FILE, "{}"))
        self._names = [output.name for output in self._session.get_outputs()]

    def __call__(self, pictures: np.ndarray) -> dict[str, np.ndarray]:
        """uint8 [B, H, W, C] -> labels and logits."""
        outputs = self._session.run(self._names, {"pictures": pictures})
        return dict(zip(self._names, outputs, strict=True))

    @property
    def infer(self) -> Callable[[np.ndarray], Any]:
        """Runs it for the labels alone, for timing."""
        return lambda pictures: self._session.run(["labels"], {"pictures": pictures})


def _pad_explicitly(graph: Any) -> None:
    """Writes the padding of atrous convolutions as numbers.

    ONNX Runtime refuses "SAME" together with a rate. At stride 1 and an odd kernel
    SAME is this many zeros on every side.
    """
    for node in graph.node:
        values = {attribute.name: attribute for attribute in node.attribute}
        if node.op_type != "Conv" or max(values["dilations"].ints, default=1) == 1:
            continue
        if not values["auto_pad"].s.startswith(b"SAME"):
            continue
        reach = [
            rate * (size // 2)
            for rate, size in zip(
                values["dilations"].ints, values["kernel_shape"].ints, strict=True
            )
        ]
        node.attribute.remove(values["auto_pad"])
        pads = node.attribute.add()
        pads.name, pads.type = "pads", pads.INTS
        pads.ints.extend(reach * 2)
