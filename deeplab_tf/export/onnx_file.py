"""ONNX files: pictures of any size in, labels and logits out; the extra [onnx]."""

import json
from typing import TYPE_CHECKING

import keras
import tensorflow as tf

import deeplab_tf
from deeplab_tf import cli
from deeplab_tf.errors import UserError
from deeplab_tf.inference.runners.onnx import EXTRA
from deeplab_tf.network import folding
from deeplab_tf.network.layers import atrous
from deeplab_tf.network.quantized import quantize
from deeplab_tf.runs import RUN_FILE, Run

if TYPE_CHECKING:
    import onnx

OPSET = 18


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
    if quantize.is_quantized(model):
        raise UserError(
            "ONNX cannot be had of a run of train.quantize=int8: its rounding is not "
            "kept. Export the float run that it began with."
        )
    try:
        import tf2onnx
    except ImportError:
        raise UserError(EXTRA) from None
    network = folding.fold(model, atrous.dilated)
    shape = [None, None, None, run.info.channels]
    signature = [tf.TensorSpec(shape, tf.uint8, "pictures")]

    @tf.function(input_signature=signature)
    def call(pictures: tf.Tensor) -> dict[str, tf.Tensor]:
        logits = network(tf.cast(pictures, tf.float32), training=False)
        return {"logits": logits, "labels": tf.argmax(logits, -1, output_type=tf.int32)}

    with cli.filtered_stderr():
        converted, _ = tf2onnx.convert.from_function(
            call, input_signature=signature, opset=OPSET
        )
    _pad_explicitly(converted.graph)
    converted.producer_name = "deeplab_tf"
    converted.producer_version = deeplab_tf.__version__
    entry = converted.metadata_props.add()
    entry.key, entry.value = RUN_FILE, json.dumps(run.to_dict())
    return converted.SerializeToString()


def _pad_explicitly(graph: "onnx.GraphProto") -> None:
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
