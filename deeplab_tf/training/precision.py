"""The type that a machine computes in fastest at no loss: `train.precision=auto`."""

import pathlib
import sys

import tensorflow as tf

from deeplab_tf.config import AUTO, Config

_HALF = "mixed_bfloat16"
# What Linux calls the instructions that multiply bfloat16: AVX-512's and AMX's.
_FLAGS = {"avx512_bf16", "amx_bf16"}
_AMPERE = (8, 0)  # compute capability of the first GPUs that do


def resolve(config: Config) -> Config:
    """The config with what `train.precision=auto` stands for on this machine.

    Rounding as an int8 file wants float32.
    """
    if config.train.precision != AUTO:
        return config
    half = config.train.quantize == "none" and multiplies_bfloat16()
    precision = _HALF if half else "float32"
    print(f"train.precision={AUTO} is {precision} here.", file=sys.stderr)
    return config.replace({"train.precision": precision})


def multiplies_bfloat16() -> bool:
    """Whether all that will compute multiplies bfloat16 in hardware."""
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        details = map(tf.config.experimental.get_device_details, gpus)
        return all(d.get("compute_capability", (0, 0)) >= _AMPERE for d in details)
    if tf.config.list_physical_devices("TPU"):
        return True
    return bool(_FLAGS & _flags(pathlib.Path("/proc/cpuinfo")))


def _flags(cpuinfo: pathlib.Path) -> set[str]:
    """What Linux says that the first core can; empty elsewhere."""
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    found = (line for line in lines if line.startswith("flags"))
    return set(next(found, "").partition(":")[2].split())
