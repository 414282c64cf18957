"""Images a second of eval and vis beside those of the network alone.

Reads a split of the run's data set, or its first --shards, and goes over it in turns:
the network alone on images that are in memory, eval with and without its details, vis
of the split and vis of image files. Prints JSON: the median of --repeats turns after
one to warm up, each figure's share of the network's own rate, and how many processors
were at work, which tells a pass that waited from one that computed more.

Example:
  python benchmarks/commands.py --run_dir=runs/voc --dataset_dir=data/voc --shards=1
"""

import collections
import dataclasses
import json
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from absl import flags as absl_flags

from deeplab_tf import cli

FLAGS = absl_flags.FLAGS
absl_flags.DEFINE_string("dataset_dir", None, "Folder of the shards, if it moved.")
absl_flags.DEFINE_string("split", "val", "Split to go over.")
absl_flags.DEFINE_integer("shards", 0, "The first ones alone; 0: all.", lower_bound=0)
absl_flags.DEFINE_integer("repeats", 3, "Timed turns.", lower_bound=1)


def main() -> None:
    cli.import_tensorflow()
    from deeplab_tf import runs
    from deeplab_tf.data import reading
    from deeplab_tf.inference import predictor

    run = runs.open_run(FLAGS.run_dir)
    dataset_dir, info = runs.dataset(run, FLAGS.dataset_dir)
    split = info.split(FLAGS.split)
    shards = split.shards[: FLAGS.shards or None]
    first = dataclasses.replace(
        split,
        num_examples=sum(split.shard_examples[: len(shards)]) or split.num_examples,
        shards=shards,
        shard_examples=(),
        shard_bytes=(),
        sha256=(),
    )
    info = dataclasses.replace(info, splits={FLAGS.split: first})
    examples = reading.read_split(dataset_dir, info, FLAGS.split)
    images = [example["image"].numpy() for example in examples]
    predict = predictor.make_predictor(runs.load_model(run), frozen=True)
    with tempfile.TemporaryDirectory() as folder:
        passes = _passes(predict, dataset_dir, info, images, pathlib.Path(folder))
        measured = _in_turns(passes)
    print(json.dumps(_report(measured, len(images)), indent=2))


def _passes(
    predict: Any, dataset_dir: str, info: Any, images: list[np.ndarray], out: Any
) -> dict[str, Callable[[], object]]:
    from PIL import Image

    from deeplab_tf.evaluation import evaluate
    from deeplab_tf.inference import drawing

    split, files = FLAGS.split, out / "images"
    files.mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image).save(files / f"{number:05}.jpg", quality=92)

    def network() -> None:
        for image in images:
            predict.labels(image[None])

    def eval_(detailed: bool) -> None:
        evaluate.evaluate(predict, dataset_dir, info, split, detailed=detailed)

    def vis(examples: Any, name: str) -> None:
        drawing.draw(examples, predict, info, str(out / name))

    return {
        "network": network,
        "eval": lambda: eval_(True),
        "eval --nodetails": lambda: eval_(False),
        "vis --split": lambda: vis(
            drawing.read_examples(dataset_dir, info, split), "split"
        ),
        "vis --images": lambda: vis(drawing.read_pictures(str(files)), "files"),
    }


def _in_turns(
    passes: dict[str, Callable[[], object]],
) -> dict[str, list[tuple[float, float]]]:
    """Seconds by the clock and of all processors, of each pass and turn."""
    measured = collections.defaultdict(list)
    for turn in range(1 + FLAGS.repeats):
        for name, call in passes.items():
            start = time.perf_counter(), time.process_time()
            call()
            if turn:
                clocks = time.perf_counter(), time.process_time()
                measured[name].append((clocks[0] - start[0], clocks[1] - start[1]))
    return measured


def _report(
    measured: dict[str, list[tuple[float, float]]], count: int
) -> dict[str, Any]:
    seconds, processor = (
        {name: statistics.median(turn[k] for turn in m) for name, m in measured.items()}
        for k in (0, 1)
    )
    return {
        "images": count,
        "passes": {
            name: {
                "images_per_second": round(count / seconds[name], 2),
                "share_of_network": round(seconds["network"] / seconds[name], 3),
                "processor_ms_per_image": round(1e3 * processor[name] / count, 1),
                "processors": round(processor[name] / seconds[name], 2),
            }
            for name in seconds
        },
    }


if __name__ == "__main__":
    cli.define_run_dir()
    cli.run(main)
