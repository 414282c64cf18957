"""Training's speed and memory beside Keras' layers and Keras' loop, and its waiting.

    python benchmarks/training.py --dataset_dir=OUT [--crop_sizes=257,513] [--steps=10]

For each crop size three ways, each in processes of its own, in turns:
  ours: the network and the step of deeplab_tf.train;
  stock_layers: the same step, with Keras' BatchNormalization and DepthwiseConv2D;
  fit: these layers in model.fit, with Keras' loss and optimiser.
All read the same pipeline. `waiting` is the share of a step in which it has no batch;
`estimated_mb` is what training says before its first step; `peak_mb` is the memory of
the process, not a GPU's. On a GPU the first two compile their steps by XLA, `fit` does
not. Prints JSON; rates are medians over --repeats. The machine should have nothing else
to do.
"""

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf
from layers import stock_layers

from deeplab_tf import config
from deeplab_tf.data import dataset_info
from deeplab_tf.data.pipeline import make_train_dataset
from deeplab_tf.inference import timing
from deeplab_tf.network import backbones
from deeplab_tf.training import memory, train_state
from deeplab_tf.training.step import make_steps
from deeplab_tf.training.train_state import TrainState

WAYS = ("ours", "stock_layers", "fit")
WARM_UP = 3  # steps; the first ones trace and fill the buffers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset_dir", required=True)
    parser.add_argument("--backbone", default="mobilenet_v2")
    parser.add_argument("--crop_sizes", default="257,513")
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--precision", default="float32", help="as train.precision")
    parser.add_argument("--steps", type=int, default=10, help="timed ones")
    parser.add_argument("--repeats", type=int, default=2, help="processes of each way")
    parser.add_argument("--way", choices=WAYS, help="internal")
    arguments = parser.parse_args()
    if arguments.way:
        print(json.dumps(run(arguments)))
        return
    sizes = [int(size) for size in arguments.crop_sizes.split(",")]
    print(json.dumps({size: compare(arguments, size) for size in sizes}, indent=1))


def compare(arguments: argparse.Namespace, size: int) -> dict[str, Any]:
    """Medians of each way, and how much faster ours is."""
    found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for _ in range(arguments.repeats):
        for way in WAYS:
            command = [sys.executable, *sys.argv, f"--way={way}"]
            command.append(f"--crop_sizes={size}")
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            found[way].append(json.loads(done.stdout.splitlines()[-1]))
    result: dict[str, Any] = {
        way: {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        for way, runs in found.items()
    }
    ours = result["ours"]["images_per_second"]
    for way in WAYS[1:]:
        rate = result[way]["images_per_second"]
        result[f"times_faster_than_{way}"] = round(ours / rate, 2)
    return result


def run(arguments: argparse.Namespace) -> dict[str, float]:
    """One way, in this process."""
    size = int(arguments.crop_sizes)
    settings = config.Config().replace(
        {
            "data.dataset_dir": arguments.dataset_dir,
            "data.crop_size": (size, size),
            "model.backbone": arguments.backbone,
            "train.batch_size": arguments.batch_size,
            "train.precision": arguments.precision,
            "train.steps": 1000,
        }
    )
    info = dataset_info.load(arguments.dataset_dir)
    if arguments.way != "ours":
        build = train_state.build_model
        train_state.build_model = lambda *a, **k: stock_layers(build(*a, **k))
    state = TrainState(settings, info)
    dataset = make_train_dataset(
        settings, info, fill=backbones.get_spec(settings.model.backbone).mean
    )
    if arguments.way == "fit":
        result = {"seconds": fit(state, settings, info, dataset, arguments.steps)}
    else:
        step = own_step(state, settings, info)
        waits, seconds = timed(step, iter(dataset), arguments.steps)
        result = {"seconds": seconds, "waiting": round(waits / seconds, 4)}
    seconds = result.pop("seconds")
    result["images_per_second"] = arguments.steps * arguments.batch_size / seconds
    result["peak_mb"] = timing.memory("VmHWM") // 2**20
    held = [*state.model.variables, *state.optimizer.variables]
    need = memory.Need(model=state.model, variables=held)
    result["estimated_mb"] = need.bytes(arguments.batch_size, (size, size)) // 2**20
    return result


def timed(
    step: Callable[[Any], Any], batches: Iterator[Any], count: int
) -> tuple[float, float]:
    """Seconds without a batch, and seconds in all, of `count` steps."""
    for _ in range(WARM_UP):
        step(next(batches))
    waits, start = 0.0, time.perf_counter()
    for _ in range(count):
        asked = time.perf_counter()
        batch = next(batches)
        waits += time.perf_counter() - asked
        step(batch)
    return waits, time.perf_counter() - start


def own_step(state: TrainState, settings: Any, info: Any) -> Callable[[Any], Any]:
    steps: Any = make_steps(tf.distribute.get_strategy(), state, settings, info)

    @tf.function
    def step(batch: Any) -> Any:
        return steps.python_function(itertools.repeat(batch), tf.constant(1))

    return lambda batch: step(batch)["loss"].numpy()


def fit(
    state: TrainState, settings: Any, info: Any, dataset: tf.data.Dataset, count: int
) -> float:
    """Seconds of `count` steps of model.fit, with Keras' loss and optimiser."""
    rate, ends = settings.optimizer.learning_rate, []
    state.model.compile(
        keras.optimizers.SGD(rate, momentum=settings.optimizer.momentum),
        keras.losses.SparseCategoricalCrossentropy(
            from_logits=True, ignore_class=info.ignore_label
        ),
        jit_compile=False,
    )
    clock = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: ends.append(time.perf_counter())
    )
    state.model.fit(
        dataset.map(lambda batch: (batch["image"], batch["labels"])),
        steps_per_epoch=WARM_UP + count,
        verbose=0,
        callbacks=[clock],
    )
    return ends[-1] - ends[WARM_UP - 1]


if __name__ == "__main__":
    main()
