"""What a training step takes of memory, said before the first one is taken."""

import contextlib
import dataclasses
import math
import pathlib
from collections.abc import Iterator, Sequence

import keras
import tensorflow as tf
from tensorflow.python.client import device_lib

from deeplab_tf.config import Config
from deeplab_tf.network import cost
from deeplab_tf.network.layers.resize import Zoom
from deeplab_tf.network.quantized.layers import FakeQuantize

_GIB = 2**30
# Layers whose output the backward pass needs. Normalisation and resizing hand their
# result on to the next layer, which keeps it or its own.
_KEPT = (
    keras.layers.Conv2D,
    keras.layers.DepthwiseConv2D,
    keras.layers.ReLU,
    keras.layers.Activation,
    keras.layers.Add,
    keras.layers.Multiply,
    keras.layers.Concatenate,
    FakeQuantize,
)
_LOGIT_MAPS = 3  # the logits, their loss's gradient, and that of the logits
# Fitted to what `benchmarks/training.py` measures on CPUs: maps that live for a moment
# only, the program, and its graph. A GPU's memory holds no graph but a library's code.
_PASSING = 1.23
_PROGRAM = 550 * 2**20
_GRAPH_OF_A_WEIGHT = 1.64 * 2**20
_LEAST_CROP = 65
_Try = tuple[str, str, int, tuple[int, ...]]  # flag, value, pictures at once, crop


@dataclasses.dataclass(frozen=True, kw_only=True)
class Need:
    """What the training of a model takes.

    Measured on CPUs the estimate is within 5 % for the three networks that it was
    fitted to and within 15 % for others (benchmarks/memory.py); for GPUs it is a guess.

    Attributes:
      model: that is trained.
      variables: all that is held: weights, optimiser, averages.
      replicas: that share this memory, as several logical CPUs do.
    """

    model: keras.Model
    variables: Sequence[keras.Variable]
    replicas: int = 1

    def bytes(self, pictures: int, crop_size: tuple[int, ...]) -> int:
        """The peak for crops (h, w), so many of which share this memory at once."""
        held = sum(
            math.prod(v.shape) * tf.as_dtype(v.dtype).size for v in self.variables
        )
        gradients = 4 * cost.parameters(self.model.trainable_variables)
        graph = _GRAPH_OF_A_WEIGHT * len(self.model.weights)
        maps = _PASSING * pictures * _kept_bytes(self.model, crop_size)
        return int(maps + self.replicas * (held + gradients + graph) + _PROGRAM)


def check(
    need: Need, config: Config, free: int | None, memories: int = 1
) -> tuple[str, list[str]]:
    """Compares what a run needs with what is free.

    Args:
      need: of its network.
      config: its batch, parts, crop and stride.
      free: bytes of one memory; None: not known.
      memories: over which a batch is spread.

    Returns:
      What is needed and free, and a warning with proposals if it does not fit.
    """
    at_once = -(-config.train.batch_size // memories // config.train.accumulate_steps)
    needed = need.bytes(at_once, config.data.crop_size)
    told = f"memory: about {needed / _GIB:.1f} GiB"
    if free is None:
        return told, []
    told += f" of {free / _GIB:.1f} GiB free"
    if needed <= free:
        return told, []
    fitting = {
        flag: value
        for flag, value, pictures, crop in _tries(config, memories)
        if need.bytes(pictures, crop) <= free
    }
    texts = [f"--{flag}={value}" for flag, value in fitting.items()]
    if config.model.output_stride == 8:
        texts.append("--model.output_stride=16")
    advice = f"Try {' or '.join(texts)}." if texts else "Try a smaller backbone."
    return told, [f"{told}: the run may end for lack of memory. {advice}"]


def _tries(config: Config, memories: int) -> Iterator[_Try]:
    """Ever larger requests: of each flag the last that fits is the one to take."""
    batch, parts = config.train.batch_size, config.train.accumulate_steps
    crop = config.data.crop_size
    at_once = -(-batch // memories // parts)
    for part in range(batch, parts, -1):
        if batch % part == 0:
            pictures = -(-batch // memories // part)
            yield "train.accumulate_steps", str(part), pictures, crop
    for pictures in range(1, at_once):
        yield "train.batch_size", str(pictures * memories * parts), pictures, crop
    for eighths in range(1, 8):
        smaller = tuple((side - 1) * eighths // 128 * 16 + 1 for side in crop)
        if min(smaller) >= _LEAST_CROP:
            yield "data.crop_size", ",".join(map(str, smaller)), at_once, smaller


def _kept_bytes(model: keras.Model, crop_size: tuple[int, ...]) -> int:
    """Of one crop, which the network takes as it is."""
    zooms = [layer.factor for layer in model.layers if isinstance(layer, Zoom)]
    size = [round((side - 1) / math.prod(zooms)) + 1 for side in crop_size]
    total, shape = 0, (1, *size, 1)
    for layer, _, shape in cost.shapes(model, (1, *size, model.input_shape[-1])):
        if isinstance(layer, _KEPT):
            total += math.prod(shape) * tf.as_dtype(layer.compute_dtype).size
    return total + _LOGIT_MAPS * 4 * math.prod(shape)


def free_bytes() -> int | None:
    """What is free for training: of one GPU, or of this machine; None if unknown."""
    limits = [
        device.memory_limit
        for device in device_lib.list_local_devices()
        if device.device_type == "GPU"
    ]
    if limits:
        return min(limits)
    found = []
    with contextlib.suppress(OSError, StopIteration, ValueError):
        lines = pathlib.Path("/proc/meminfo").read_text().splitlines()
        line = next(line for line in lines if line.startswith("MemAvailable"))
        found.append(int(line.split()[1]) * 1024)
    with contextlib.suppress(OSError, ValueError):  # "max" is no number
        group = pathlib.Path("/sys/fs/cgroup")
        limit = int((group / "memory.max").read_text())
        found.append(limit - int((group / "memory.current").read_text()))
    return min(found, default=None)
