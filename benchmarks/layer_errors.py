"""Shows at which layers a quantised .tflite file departs from the float one.

Example:
  python benchmarks/layer_errors.py --float=voc.tflite --quantized=voc_int8.tflite

The error of a map is the root mean square of its difference over that of the float
map. It adds up along the network; look for the layer where it jumps.
"""

import dataclasses
import pathlib

import numpy as np
from absl import flags as absl_flags
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from deeplab_tf import cli

FLAGS = absl_flags.FLAGS
absl_flags.DEFINE_string("float", None, "File of --quantize=none.", required=True)
absl_flags.DEFINE_string("quantized", None, "The same, quantised.", required=True)
absl_flags.DEFINE_string("picture", None, "A picture; default: a random one.")


@dataclasses.dataclass(frozen=True)
class LayerError:
    """The error of one map.

    Attributes:
      name: of the layer whose result it is.
      error: as said above.
    """

    name: str
    error: float


def layer_errors(
    float_path: pathlib.Path, quantized_path: pathlib.Path, pictures: np.ndarray
) -> list[LayerError]:
    """Compares the maps of two files of one network, in the order of the layers.

    Args:
      float_path: a file of one size, written with --quantize=none.
      quantized_path: the same run and size, quantised.
      pictures: uint8 [1, h, w, C] of that size.
    """
    exact = _maps(float_path, pictures)
    rounded = _maps(quantized_path, pictures)
    return [
        LayerError(_layer(name), _relative(exact[name], rounded[name]))
        for name in exact
        if name in rounded and exact[name].shape == rounded[name].shape
    ]


def _maps(path: pathlib.Path, pictures: np.ndarray) -> dict[str, np.ndarray]:
    """Every map [1, h, w, c] between the operations by name, as real numbers."""
    interpreter = Interpreter(
        str(path),
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    (given,) = interpreter.get_input_details()
    interpreter.set_tensor(given["index"], pictures.astype(given["dtype"]))
    interpreter.invoke()
    results = {
        int(index) for op in interpreter._get_ops_details() for index in op["outputs"]
    }
    maps = {}
    for details in interpreter.get_tensor_details():
        if details["index"] in results and len(details["shape"]) == 4:
            scale, zero_point = details["quantization"]
            values = interpreter.get_tensor(details["index"]).astype(np.float32)
            maps[details["name"]] = (values - zero_point) * scale if scale else values
    return maps


def _layer(tensor: str) -> str:
    """ "model/block.conv.relu6_1/Relu6;..." -> "block.conv.relu6"."""
    parts = tensor.split(";")[0].split("/")
    name = parts[1] if len(parts) > 1 else parts[0]
    return name.removesuffix("_1")


def _relative(exact: np.ndarray, rounded: np.ndarray) -> float:
    scale = np.sqrt(np.square(exact).mean())
    return float(np.sqrt(np.square(rounded - exact).mean()) / max(scale, 1e-12))


def main() -> None:
    cli.import_tensorflow()
    from PIL import Image

    from deeplab_tf.export import proof
    from deeplab_tf.inference import exported

    opened = exported.open_export(FLAGS.float)
    if FLAGS.picture:
        picture = np.asarray(Image.open(FLAGS.picture).convert("RGB"))
    else:
        (picture,) = proof.random_pictures(3, 1)
    fitted, _ = opened.fit(picture)
    paths = pathlib.Path(FLAGS.float), pathlib.Path(FLAGS.quantized)
    for layer in layer_errors(*paths, fitted):
        print(f"{layer.error:8.3f}  {layer.name}")


if __name__ == "__main__":
    cli.run(main)
