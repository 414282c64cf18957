"""What a stranger gets: fit of a folder, the same by hand, and the time that was said.

Examples:
  python benchmarks/first_hour.py shapes --output_dir=/tmp/shapes
  python benchmarks/first_hour.py fit --source_dir=photos --output_dir=/tmp/out \\
      --minutes=30 --init_checkpoint=deeplabv3_mnv2_pascal_trainval
  python benchmarks/first_hour.py hand --dataset_dir=/tmp/out/data \\
      --output_dir=/tmp/hand --minutes=30 \\
      --init_checkpoint=deeplabv3_mnv2_pascal_trainval
  python benchmarks/first_hour.py forecast --source_dir=photos --output_dir=/tmp/said

shapes: a folder of 400 made-up images, fit from scratch in five minutes. fit: one
command, no setting. hand: what a person would set for small street pictures, on the
shards that fit made, in the same time. forecast: train without settings; the time that
it says before the first step against the time that it takes.
"""

import argparse
import json
import pathlib
import re
import subprocess
import sys
import time

import numpy as np
from PIL import Image

from deeplab_tf.data import sources

ROOT = pathlib.Path(__file__).resolve().parents[1]
_BY_HAND = (
    "--data.crop_size=321,321",
    "--train.batch_size=8",
    "--model.atrous_rates=2,4,8",
    "--optimizer.name=sgd",
    "--optimizer.learning_rate=0.02",
    "--optimizer.warmup_steps=50",
    # As the defaults, which train would change.
    "--augment.min_scale=0.5",
    "--augment.photometric=0",
    "--augment.class_balanced_crops=0",
)
_SECONDS = {"second": 1, "minute": 60, "hour": 3600}
_SAID = re.compile(r"about ([\d.]+) (second|minute|hour)s?\.")


def main() -> None:
    arguments = _arguments()
    begin = time.perf_counter()
    result = globals()[f"_{arguments.case}"](arguments)
    result["minutes"] = round((time.perf_counter() - begin) / 60, 2)
    print(json.dumps({"case": arguments.case, **result}))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("case", choices=("shapes", "fit", "hand", "forecast"))
    add("--source_dir", type=pathlib.Path, help="images and masks")
    add("--dataset_dir", type=pathlib.Path, help="shards, for hand")
    add("--output_dir", type=pathlib.Path, required=True)
    add("--minutes", type=float, default=5.0)
    add("--init_checkpoint", default="")
    return parser.parse_args()


def _shapes(arguments: argparse.Namespace) -> dict[str, object]:
    arguments.source_dir = arguments.output_dir / "photos"
    write_shapes(arguments.source_dir, 400)
    return _fit(arguments)


def write_shapes(folder: pathlib.Path, count: int) -> None:
    """Made-up shapes as people keep them: images/ and masks/, no classes.json."""
    source = sources.open_source("shapes", "", {"num_examples": count})
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for sample in source.samples("train"):
        for part, content in (("images", sample.image()), ("masks", sample.label())):
            path = folder / part / f"{sample.name}.png"
            if isinstance(content, bytes):
                path.write_bytes(content)
            else:
                Image.fromarray(np.asarray(content)).save(path)


def _fit(arguments: argparse.Namespace) -> dict[str, object]:
    out = arguments.output_dir
    _call(
        "deeplab_tf.fit",
        f"--source_dir={arguments.source_dir}",
        f"--output_dir={out}",
        f"--minutes={arguments.minutes}",
        f"--init_checkpoint={arguments.init_checkpoint}",
    )
    return {"miou": json.loads((out / "scores.json").read_text())["miou"]}


def _hand(arguments: argparse.Namespace) -> dict[str, object]:
    run = arguments.output_dir
    _call(
        "deeplab_tf.train",
        f"--run_dir={run}",
        f"--data.dataset_dir={arguments.dataset_dir}",
        f"--train.init_checkpoint={arguments.init_checkpoint}",
        f"--train.minutes={arguments.minutes}",
        *_BY_HAND,
    )
    _call("deeplab_tf.eval", f"--run_dir={run}")
    written = max((run / "eval").glob("*.json"), key=lambda path: path.stat().st_mtime)
    return {"miou": json.loads(written.read_text())["miou"]}


def _forecast(arguments: argparse.Namespace) -> dict[str, object]:
    data, run = arguments.output_dir / "data", arguments.output_dir / "run"
    script = ROOT / "datasets" / "convert.py"
    subprocess.run(
        [
            *(sys.executable, script),
            *(f"--source_dir={arguments.source_dir}", f"--output_dir={data}"),
        ],
        check=True,
    )
    command = [
        *(sys.executable, "-m", "deeplab_tf.train"),
        *(f"--run_dir={run}", f"--data.dataset_dir={data}"),
    ]
    said, begin = 0.0, time.perf_counter()
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as train:
        for line in train.stderr or ():
            print(line, end="", file=sys.stderr)
            if not said and (found := _SAID.search(line)):
                said = float(found[1]) * _SECONDS[found[2]]
                begin = time.perf_counter()
    took = time.perf_counter() - begin
    if train.returncode:
        raise SystemExit(train.returncode)
    return {"said_s": said, "took_s": round(took), "ratio": round(took / said, 3)}


def _call(module: str, *flags: str) -> None:
    subprocess.run([sys.executable, "-m", module, *flags], check=True)


if __name__ == "__main__":
    main()
