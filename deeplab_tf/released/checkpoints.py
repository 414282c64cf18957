"""Reads the variables of a released TF1 model: checkpoint, archive or frozen graph.

A TF1 checkpoint holds more than the network: the optimiser's slots, the step, moving
averages of the weights. What is left out goes by `IGNORED`, and is told.
"""

import contextlib
import dataclasses
import errno
import gzip
import io
import math
import os
import pathlib
import re
import tarfile
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from deeplab_tf import files
from deeplab_tf.errors import UserError
from deeplab_tf.files import Values
from deeplab_tf.inference import graph_operations
from deeplab_tf.released.frozen_graph import FrozenGraph

_CHUNK = 1 << 20  # bytes read at once
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
    settings: Values = dataclasses.field(default_factory=dict)


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
        return _frozen(path)
    prefix = _prefix(path)
    return _sort(prefix, _variables(prefix))


def _frozen(path: str) -> Released:
    graph = read_graph(path)
    try:
        known, tensors = FrozenGraph(graph, path).settings(), _constants(graph)
    except UserError:
        raise
    except Exception as error:  # whatever odd fields of its operations lead to
        raise UserError(
            f"{path}: is a damaged graph ({type(error).__name__}: {error})."
        ) from error
    settings = {f"model.{name}": value for name, value in known.items()}
    return _sort(path, tensors, settings)


def read_graph(path: str) -> tf.compat.v1.GraphDef:
    """Reads a frozen graph, none of whose operations can do harm.

    Raises:
      UserError: the file is missing, is no graph, or is more than a network.
    """
    graph = tf.compat.v1.GraphDef()
    if not pathlib.Path(path).is_file():
        raise UserError(f"{path}: no such file.")
    try:
        graph.ParseFromString(pathlib.Path(path).read_bytes())
    except Exception as error:  # protobuf's DecodeError is of no public class
        raise UserError(
            f"{path}: is no frozen graph, or a damaged one ({error})."
        ) from None
    if not graph.node:
        raise UserError(f"{path}: is no frozen graph: it has no operations.")
    graph_operations.require_graph(graph, path)
    # A constant of one value may declare any shape.
    files.require_size(sum(map(_declared_bytes, graph.node)), path)
    return graph


def _declared_bytes(node: tf.compat.v1.NodeDef) -> int:
    if node.op != "Const":
        return 0
    tensor = node.attr["value"].tensor
    size = max(tf.dtypes.as_dtype(tensor.dtype).size, 1) if tensor.dtype else 1
    return size * math.prod(max(dim.size, 0) for dim in tensor.tensor_shape.dim)


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
        with _linked(prefix) as link:
            return _tensors(tf.train.load_checkpoint(link), prefix)
    except (tf.errors.OpError, RuntimeError, ValueError, IndexError) as error:
        if isinstance(error, UserError):
            raise
        first_line = str(error).strip().splitlines()[0]
        raise UserError(
            f"{prefix}: is damaged or incomplete; fetch it again ({first_line})."
        ) from None


@contextlib.contextmanager
def _linked(prefix: str) -> Iterator[str]:
    """The same under a plain name, for TensorFlow takes a prefix for a pattern."""
    with tempfile.TemporaryDirectory() as folder:
        link = os.path.join(folder, "checkpoint")
        for file in [pathlib.Path(f"{prefix}.index"), *_data_files(prefix)]:
            ending = file.name.removeprefix(pathlib.Path(prefix).name)
            os.symlink(file.absolute(), link + ending)
        yield link


def _tensors(reader: Any, prefix: str) -> dict[str, np.ndarray]:
    names = reader.get_variable_to_shape_map()
    values = sum(map(math.prod, names.values()))
    held = sum(file.stat().st_size for file in _data_files(prefix))
    # A value has one byte at least.
    if values > min(held, files.MAX_UNPACKED):
        raise ValueError(f"{values} values in {held} bytes")
    if "_CHECKPOINTABLE_OBJECT_GRAPH" in names:
        raise UserError(
            f"{prefix}: is a TF2 checkpoint; a TF1 checkpoint holds variables by "
            "name. For a run of this program give its folder."
        )
    return {name: reader.get_tensor(name) for name in sorted(names)}


def _data_files(prefix: str) -> list[pathlib.Path]:
    path = pathlib.Path(prefix)
    return [
        file
        for file in path.parent.iterdir()
        if re.fullmatch(re.escape(path.name) + r"\.data-\d+-of-\d+", file.name)
    ]


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
    settings: Values | None = None,
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


def unpack(path: str, folder: str) -> None:
    """Unpacks a .tar.gz or .tar of files and folders, and of nothing else.

    Raises:
      UserError: it is missing or damaged, a member is a link or leads out of the
        folder, or it unpacks to too much.
    """
    if not pathlib.Path(path).is_file():
        raise UserError(f"{path}: no such file.")
    open_file = open if path.endswith(".tar") else gzip.open
    try:
        with open_file(path, "rb") as file:
            stream: Any = _Bounded(file, path)
            with tarfile.open(fileobj=stream, mode="r|") as archive:
                for member in archive:
                    _require_plain(member, path)
                    archive.extract(member, folder, filter="data")
            while stream.read(_CHUNK):  # to the checksum at the end
                pass
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise UserError(
                f"{folder}: {path} cannot be unpacked there ({error.strerror}); make "
                "space, or name another folder in TMPDIR."
            ) from None
        raise UserError(f"{path}: is damaged; fetch it again ({error}).") from None


def _require_plain(member: tarfile.TarInfo, path: str) -> None:
    files.require_inside(member.name, path)
    if not (member.isfile() or member.isdir()) or member.issparse():
        raise UserError(f"{path}: is refused: {member.name!r} is no file or folder.")


class _Bounded:
    """Reads a stream, up to so many bytes as an archive may unpack to."""

    def __init__(self, stream: io.BufferedIOBase, path: str) -> None:
        self._stream, self._path, self._read = stream, path, 0

    def read(self, size: int) -> bytes:
        self._read += size
        files.require_size(self._read, self._path)
        return self._stream.read(size)


@contextlib.contextmanager
def _unpacked(path: str) -> Iterator[pathlib.Path]:
    """A folder with the archive's checkpoint, or else its frozen graph."""
    with tempfile.TemporaryDirectory() as folder:
        unpack(path, folder)
        root = pathlib.Path(folder)
        if any(root.rglob("*.index")):
            yield root
            return
        graphs = sorted(root.rglob("*.pb"))
        if not graphs:
            raise UserError(f"{path}: holds neither a TF1 checkpoint nor a graph.")
        yield graphs[0]
