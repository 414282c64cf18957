r"""What a training step asks of an accelerator, read from its graph and its HLO.

    python benchmarks/hlo.py [--backbone=mobilenet_v2,xception_65] [--crop_size=513] \
        [--batch_size=16] [--precision=mixed_bfloat16]
    python benchmarks/hlo.py --crop_size=65 --batch_size=2 --stage=optimized_hlo
    python benchmarks/hlo.py --save=step.hlo.pb
    python benchmarks/hlo.py --read=step.v5e.pb

Builds the whole step as deeplab_tf.train does with train.xla=on (forward, loss,
backward, update, several steps in a call), runs none of it, and needs no accelerator
and no data set. Prints JSON:
  graph: what of it is compiled by XLA and what is not; which operations lack a kernel
    for a GPU (a build for GPUs registers them where there is none) or for XLA;
  traces: how often it is traced as steps a call change; how often evaluation is, as the
    images' sizes change;
  hlo: what one step is once all of it is one program: as XLA is given it (`hlo`,
    seconds, the same for every device) or as it compiles it for this CPU
    (`optimized_hlo`, minutes).
--save writes the program for benchmarks/hlo_tpu.py, which compiles it for a TPU and
writes what --read reads.
"""

import argparse
import collections
import itertools
import json
import pathlib
import time
from collections.abc import Iterable
from typing import Any

import hlo_counts
import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework import kernels

from deeplab_tf import files
from deeplab_tf.config import Config
from deeplab_tf.data.dataset_info import DatasetInfo, Split
from deeplab_tf.inference.predictor import make_predictor
from deeplab_tf.training.step import make_steps
from deeplab_tf.training.train_state import TrainState

CLASSES = 21
# No kernels: they are put in place by their functions, or are part of these.
_FUNCTIONAL = {"StatefulPartitionedCall", "PartitionedCall", "If", "While", "_Arg"}
_SIZES = ((65, 65), (65, 97), (97, 65))  # of images that are evaluated


def main() -> None:
    arguments = _arguments()
    if arguments.read:
        module = hlo_counts.read(pathlib.Path(arguments.read).read_bytes())
        print(json.dumps(hlo_counts.summary(module), indent=1))
        return
    for backbone in arguments.backbone.split(","):
        print(
            json.dumps({backbone: measure(backbone, arguments)}, indent=1), flush=True
        )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--backbone", default="mobilenet_v2", help="one or several")
    add("--crop_size", type=int, default=513)
    add("--batch_size", type=int, default=16)
    add("--precision", default="mixed_bfloat16", help="as train.precision")
    add("--stage", choices=("hlo", "optimized_hlo", "none"), default="hlo")
    add("--save", help="file for the program of the (last) backbone")
    add("--read", help="counts what lies in this file, and nothing else")
    return parser.parse_args()


def measure(backbone: str, arguments: argparse.Namespace) -> dict[str, Any]:
    size = (arguments.crop_size,) * 2
    config = Config().replace(
        {
            "data.crop_size": size,
            "model.backbone": backbone,
            "train.batch_size": arguments.batch_size,
            "train.precision": arguments.precision,
            "train.steps": 1000,
            "train.xla": "on",
        }
    )
    info = DatasetInfo(
        name="made up",
        class_names=tuple(map(str, range(CLASSES))),
        splits={"train": Split(num_examples=1, shards=("none",))},
    )
    state = TrainState(config, info)
    steps: Any = make_steps(tf.distribute.get_strategy(), state, config, info)
    batch = {
        "image": tf.zeros([arguments.batch_size, *size, info.channels]),
        "labels": tf.zeros([arguments.batch_size, *size], tf.int32),
    }
    begin = time.perf_counter()
    batches = iter(tf.data.Dataset.from_tensors(batch).repeat())
    traced = [steps.get_concrete_function(batches, tf.constant(n)) for n in (1, 2, 10)]
    result: dict[str, Any] = {"traced_seconds": round(time.perf_counter() - begin, 1)}
    result["traces"] = {
        "training": steps.experimental_get_tracing_count(),
        "evaluation": evaluation_traces(state.evaluated),
    }
    if arguments.stage != "none":
        begin = time.perf_counter()
        module = whole(steps, batch, arguments.stage)
        result["hlo_seconds"] = round(time.perf_counter() - begin, 1)
        result["hlo"] = hlo_counts.summary(module)
        if arguments.save:
            plain = hlo_counts.without_copies(module).SerializeToString()
            with files.replacing(arguments.save) as path:
                path.write_bytes(plain)
    # Last: the first compilation registers XLA's kernels.
    result["graph"] = graph(traced[0].graph.as_graph_def())
    return result


def whole(steps: Any, batch: dict[str, tf.Tensor], stage: str) -> hlo_counts.Module:
    """Several steps on one batch, update and conditions included, as one program."""

    @tf.function(jit_compile=True)
    def program(image: tf.Tensor, labels: tf.Tensor, count: tf.Tensor) -> Any:
        same = itertools.repeat({"image": image, "labels": labels})
        return steps.python_function(same, count)

    lowered = program.experimental_get_compiler_ir(*batch.values(), tf.constant(2))
    return hlo_counts.read(lowered(stage=f"{stage}_serialized"))


def evaluation_traces(model: keras.Model) -> int:
    """How often the network is traced to label images of several sizes."""
    calls, call = [], model.call

    def counted(*arguments: Any, **keywords: Any) -> Any:
        calls.append(arguments)
        return call(*arguments, **keywords)

    model.call = counted
    predict = make_predictor(model)
    for size in _SIZES:
        predict.labels(np.zeros([1, *size, model.input_shape[-1]], np.uint8))
    model.call = call
    return len(calls)


def graph(definition: tf.compat.v1.GraphDef) -> dict[str, Any]:
    """Operations by whether XLA compiles them, and those that lack kernels."""
    compiled: list[Any] = []
    plain = list(definition.node)
    for function in definition.library.function:
        own = function.attr["_XlaMustCompile"].b
        (compiled if own else plain).extend(function.node_def)
    return {
        "compiled": _size(compiled),
        "not_compiled": _size(plain),
        "no_gpu_kernel": _lacking([*plain, *compiled], {"GPU", "DEFAULT"}),
        "no_xla_kernel": _lacking(compiled, {"XLA_GPU_JIT"}),
        "built_for_gpus": tf.test.is_built_with_cuda(),
    }


def _size(nodes: list[Any]) -> dict[str, Any]:
    kinds = collections.Counter(node.op for node in nodes)
    return {"operations": len(nodes), "most": dict(kinds.most_common(8))}


def _lacking(nodes: Iterable[Any], devices: set[str]) -> list[str]:
    """Operations, with their types, without a kernel on any of the devices."""
    lacking = set()
    for node in nodes:
        if node.op in _FUNCTIONAL:
            continue
        known = kernels.get_registered_kernels_for_op(node.op).kernel
        if not any(one.device_type in devices and _fits(node, one) for one in known):
            types = {
                v.type for v in node.attr.values() if v.WhichOneof("value") == "type"
            }
            names = sorted(tf.as_dtype(kind).name for kind in types)
            lacking.add(f"{node.op}({', '.join(names)})")
    return sorted(lacking)


def _fits(node: Any, kernel: Any) -> bool:
    """Whether a kernel takes the types that an operation has."""
    for one in kernel.constraint:
        value, allowed = node.attr[one.name], one.allowed_values.list.type
        if allowed and not set(value.list.type or [value.type]) <= set(allowed):
            return False
    return True


if __name__ == "__main__":
    main()
