"""Time and memory of the commands against the size of the work, one axis at a time.

Makes up labelled images, and for each point runs the real commands on them, each a
process of its own: convert, eval, vis; and train for the batch. Prints a table in
Markdown: seconds by the clock, start included, and the peak of resident memory. What is
proportional to the multiply-adds, plus a constant, is as it should be.

Examples:
  python benchmarks/growth.py                      # all axes, half an hour
  python benchmarks/growth.py --axes=classes,batch
"""

import argparse
import concurrent.futures
import dataclasses
import itertools
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parents[1]
# One step, to have a run; nothing here asks how good it is.
_RUN = (
    "--noauto",
    "--model.backbone=mobilenet_v2",
    "--train.eval_steps=0",
    "--train.log_steps=5",
)
_TO_EVALUATE = ("--train.steps=1", "--train.batch_size=2", "--data.crop_size=65,65")
_STEPS = 15  # the last five are measured


@dataclasses.dataclass(frozen=True, kw_only=True)
class Work:
    """What is asked for.

    Attributes:
      images: how many.
      size: height and width of each.
      classes: that are labelled.
      batch: of training.
    """

    images: int = 20
    size: tuple[int, int] = (257, 257)
    classes: int = 21
    batch: int = 0


AXES: dict[str, tuple[Work, ...]] = {
    "images": tuple(Work(images=n, size=(97, 97)) for n in (100, 1000, 10_000)),
    "classes": tuple(Work(size=(513, 513), classes=n) for n in (3, 21, 150)),
    "size": tuple(Work(size=s) for s in ((257, 513), (513, 1025), (1025, 2049))),
    "batch": tuple(Work(batch=n) for n in (2, 4, 8, 16)),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--axes", default=",".join(AXES), help="some of them")
    axes = parser.parse_args().axes.split(",")
    print("| images | size | classes | command | seconds | ms an image | peak MiB |")
    print("|---|---|---|---|---|---|---|")
    for work in itertools.chain.from_iterable(AXES[axis] for axis in axes):
        with tempfile.TemporaryDirectory() as folder:
            for command, images, seconds, mebibytes in measure(
                work, pathlib.Path(folder)
            ):
                height, width = work.size
                each = f"{1e3 * seconds / images:.1f}"
                print(
                    f"| {work.images} | {height}x{width} | {work.classes} | {command} "
                    f"| {seconds:.1f} | {each} | {mebibytes:.0f} |",
                    flush=True,
                )


def measure(
    work: Work, folder: pathlib.Path
) -> Iterator[tuple[str, int, float, float]]:
    """Yields each command, its images, seconds and peak memory in MiB."""
    _write(work, folder / "source")
    data, run = str(folder / "data"), f"--run_dir={folder / 'run'}"
    convert = ["datasets/convert.py", f"--source_dir={folder / 'source'}"]
    yield "convert", work.images, *_timed([*convert, f"--output_dir={data}"], folder)
    data_flag = f"--data.dataset_dir={data}"
    if work.batch:
        yield _training(work, data_flag, folder)
        return
    _timed(["-m", "deeplab_tf.train", run, data_flag, *_RUN, *_TO_EVALUATE], folder)
    split = "--split=val"
    yield "eval", work.images, *_timed(["-m", "deeplab_tf.eval", run, split], folder)
    out = f"--output_dir={folder / 'vis'}"
    vis = ["-m", "deeplab_tf.vis", run, split, out]
    yield "vis", work.images, *_timed(vis, folder)


def _training(
    work: Work, data: str, folder: pathlib.Path
) -> tuple[str, int, float, float]:
    """By the run's own log, which leaves out the start."""
    run = folder / "run"
    command = [
        *("-m", "deeplab_tf.train", f"--run_dir={run}", data, *_RUN),
        f"--train.steps={_STEPS}",
        f"--train.batch_size={work.batch}",
        f"--data.crop_size={work.size[0]},{work.size[1]}",
    ]
    _, peak = _timed(command, folder)
    last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    seconds = work.batch / last["images_per_second"]
    return f"a step of {work.batch}", work.batch, seconds, peak


def _timed(command: Sequence[str], folder: pathlib.Path) -> tuple[float, float]:
    """Seconds and the peak of resident memory in MiB of one process."""
    log = folder / "log.txt"
    start = time.perf_counter()
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, *command], cwd=ROOT, stdout=out, stderr=out
        )
        _, status, usage = os.wait4(process.pid, 0)
    if process.returncode or status:
        raise SystemExit(f"{' '.join(command)} failed:\n{log.read_text()}")
    return time.perf_counter() - start, usage.ru_maxrss / 2**10


def _write(work: Work, folder: pathlib.Path) -> None:
    """Smooth images of coarse areas, and their labels: train a few, val the others."""
    for split, kind in itertools.product(("train", "val"), ("images", "labels")):
        (folder / kind / split).mkdir(parents=True)
    names = "\n".join(f"class {n}" for n in range(work.classes))
    (folder / "classes.txt").write_text(names)
    few = max(2, work.batch)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        jobs = [("train", n) for n in range(few)]
        jobs += [("val", n) for n in range(work.images)]
        list(pool.map(lambda job: _write_one(work, folder, *job), jobs))


def _write_one(work: Work, folder: pathlib.Path, split: str, number: int) -> None:
    rng = np.random.default_rng((split == "val", number))
    coarse = rng.integers(0, work.classes, (8, 8)).astype(np.uint8)
    width_first = work.size[::-1]
    labels = Image.fromarray(coarse).resize(width_first, Image.Resampling.NEAREST)
    labels.save(folder / "labels" / split / f"{number:05}.png")
    colors = rng.integers(0, 255, (work.classes, 3)).astype(np.uint8)[coarse]
    image = Image.fromarray(colors).resize(width_first, Image.Resampling.BICUBIC)
    image.save(folder / "images" / split / f"{number:05}.jpg", quality=92)


if __name__ == "__main__":
    main()
