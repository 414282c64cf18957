"""Reads the variables of a released TF1 model: checkpoint, archive or frozen graph.

A TF1 checkpoint holds more than the network: the optimiser's slots, the step, moving
averages of the weights. What is left out goes by `IGNORED`, and is told.
"""

import contextlib
import dataclasses
import pathlib
import re
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from deeplab_tf.errors import UserError
from deeplab_tf.released.frozen_graph import FrozenGraph

AVERAGE = "/ExponentialMovingAverage"

# Pattern of a variable's whole name -> why the network does without it.
IGNORED: Mapping[str, str] = {
    r"(.*/)?global_step": "step counter",
    r".*/(Momentum|Adam|Adam_1|RMSProp|RMSProp_1|Adagrad)": "optimiser slot",
    r"(beta1_power|beta2_power)": "optimiser slot",
    r"(.*/)?(act|weights|conv|depthwise)_quant/(min|max)(/.*)?": "quantisation range",
    r"MobilenetV2/(Conv_1|Logits)/.*": "ImageNet classifier",
    r"MobilenetV3/(Conv_2|Logits)/.*": "ImageNet classifier",
    r"(xception|resnet_v1)_\d+/logits/.*": "ImageNet classifier",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Released:
    """The variables of a released model, by their TF1 names.

    Attributes:
      source: the file that they came from, for messages.
      tensors: name -> float32 array, as TF1 laid it out.
      ignored: name of a variable that was left out -> why.
      settings: dotted leaves of Config that the source tells besides.
    """

    source: str
    tensors: Mapping[str, np.ndarray]
    ignored: Mapping[str, str] = dataclasses.field(default_factory=dict)
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def read(path: str) -> Released:
    """Reads a released model.

    Args:
      path: a checkpoint's prefix or one of its files, a folder that holds one, a
        .tar.gz that holds either, or a frozen graph (.pb).

    Raises:
      UserError: nothing there, or it is damaged, a TF2 checkpoint or no network.
    """
    if path.endswith((".tar.gz", ".tgz", ".tar")):
        with _unpacked(path) as inside:
            return dataclasses.replace(read(str(inside)), source=path)
    if path.endswith(".pb"):
        graph = read_graph(path)
        known = FrozenGraph(graph, path).settings()
        settings = {f"model.{name}": value for name, value in known.items()}
        return _sort(path, _constants(graph), settings)
    prefix = _prefix(path)
    return _sort(prefix, _variables(prefix))


def read_graph(path: str) -> tf.compat.v1.GraphDef:
    """Reads a frozen graph.

    Raises:
      UserError: the file is missing or is no graph.
    """
    graph = tf.compat.v1.GraphDef()
    try:
        graph.ParseFromString(pathlib.Path(path).read_bytes())
    except FileNotFoundError:
        raise UserError(f"{path}: no such file.") from None
    except Exception as error:  # protobuf's DecodeError is of no public class
        raise UserError(
            f"{path}: is no frozen graph, or a damaged one ({error})."
        ) from None
    if not graph.node:
        raise UserError(f"{path}: is no frozen graph: it has no operations.")
    return graph


def _prefix(path: str) -> str:
    """The checkpoint's prefix from whatever names it."""
    if pathlib.Path(path).is_dir():
        folder = pathlib.Path(path)
        prefixes = sorted(folder.rglob("*.index"))
        if len(prefixes) != 1:
            found = ", ".join(item.name for item in prefixes) or "none"
            raise UserError(
                f"{path}: must hold one TF1 checkpoint (.index and .data files); "
                f"found {found}. Give its path without the ending."
            )
        path = str(prefixes[0])
    prefix = re.sub(r"\.(index|meta|data-\d+-of-\d+)$", "", path)
    if not pathlib.Path(f"{prefix}.index").is_file():
        raise UserError(
            f"{prefix}.index: no such file; give a TF1 checkpoint as model.ckpt-30000, "
            "a .tar.gz of the model zoo or a frozen graph (.pb)."
        )
    return prefix


def _variables(prefix: str) -> dict[str, np.ndarray]:
    try:
        reader = tf.train.load_checkpoint(prefix)
        names = reader.get_variable_to_shape_map()
        if "_CHECKPOINTABLE_OBJECT_GRAPH" in names:
            raise UserError(
                f"{prefix}: is a TF2 checkpoint; a TF1 checkpoint holds variables by "
                "name. For a run of this program give its folder."
            )
        return {name: reader.get_tensor(name) for name in sorted(names)}
    except (tf.errors.OpError, RuntimeError, ValueError, IndexError) as error:
        if isinstance(error, UserError):
            raise
        first_line = str(error).strip().splitlines()[0]
        raise UserError(
            f"{prefix}: is damaged or incomplete; fetch it again ({first_line})."
        ) from None


def _constants(graph: tf.compat.v1.GraphDef) -> dict[str, np.ndarray]:
    """The constants that were variables: float arrays under a layer's scope."""
    ending = re.compile(
        r"/(weights|depthwise_weights|biases|gamma|beta|moving_mean|moving_variance)$"
    )
    return {
        node.name: tf.make_ndarray(node.attr["value"].tensor)
        for node in graph.node
        if node.op == "Const" and ending.search(node.name)
    }


def _sort(
    source: str,
    variables: Mapping[str, np.ndarray],
    settings: Mapping[str, Any] | None = None,
) -> Released:
    """Takes moving averages for the weights they average; leaves out by `IGNORED`."""
    tensors: dict[str, np.ndarray] = {}
    ignored: dict[str, str] = {}
    for name, value in variables.items():
        reason = _ignored(name)
        if reason:
            ignored[name] = reason
        elif f"{name}{AVERAGE}" in variables:
            ignored[name] = "its moving average is taken"
        else:
            tensors[_plain(name)] = value
    return Released(
        source=source, tensors=tensors, ignored=ignored, settings=settings or {}
    )


def _plain(name: str) -> str:
    """Without the average's suffix, and a scope that was entered twice once.

    Newer TensorFlow gave slim's variables their scope again, as
    aspp0/BatchNorm/aspp0/BatchNorm/beta.
    """
    return re.sub(r"^(.+/)\1", r"\1", name.removesuffix(AVERAGE))


def _ignored(name: str) -> str:
    for pattern, reason in IGNORED.items():
        if re.fullmatch(pattern, name):
            return reason
    return ""


@contextlib.contextmanager
def _unpacked(path: str) -> Iterator[pathlib.Path]:
    """A folder with the archive's checkpoint, or else its frozen graph."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            with tarfile.open(path) as archive:
                archive.extractall(folder, filter="data")
        except FileNotFoundError:
            raise UserError(f"{path}: no such file.") from None
        except (tarfile.TarError, OSError, EOFError) as error:
            raise UserError(f"{path}: is damaged; fetch it again ({error}).") from None
        root = pathlib.Path(folder)
        if any(root.rglob("*.index")):
            yield root
            return
        graphs = sorted(root.rglob("*.pb"))
        if not graphs:
            raise UserError(f"{path}: holds neither a TF1 checkpoint nor a graph.")
        yield graphs[0]
