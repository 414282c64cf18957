"""Does `suggest` choose better than lot? A share of the train split, chosen by both.

Examples:
  python benchmarks/active_learning.py --dataset_dir=data/camvid --output_dir=build/a
  python benchmarks/active_learning.py --dataset_dir=data/camvid --output_dir=build/a \\
      --share=0.25 --first=0.1 --seeds=5 --ways=random,k_center,k_means,uncertainty

For each seed: the first part of the train split is drawn at random and a network is
trained on it, as it would be in practice. The rest of the share is then chosen from
what is left, by that network (`deeplab_tf.suggest --selection=WAY`) or at random, and
networks are trained on the whole share from the same start, with the same steps. The
val split is the judge.

OUT/results.json holds each mIoU, OUT/table.md mean and spread, and the difference from
random, seed by seed. What was killed goes on where it was. Settings of training follow
a double dash: -- --train.steps=300 --train.init_checkpoint=runs/released
"""

import argparse
import csv
import dataclasses
import io
import json
import pathlib
import random
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tqdm
from ablation_table import spread
from PIL import Image

from deeplab_tf import files
from deeplab_tf.config.options import SELECTIONS
from deeplab_tf.data import dataset_info, records, tfrecord
from deeplab_tf.data.dataset_info import DatasetInfo

RANDOM = "random"
ROOT = pathlib.Path(__file__).resolve().parents[1]
WAYS = (RANDOM, *SELECTIONS)
_ENDINGS = {"jpeg": ".jpg", "png": ".png"}
Records = dict[str, bytes]  # serialised examples by name


def main() -> None:
    arguments = _arguments()
    folder = arguments.output_dir
    info = dataset_info.load(arguments.dataset_dir)
    train = read(arguments.dataset_dir, info, "train")
    results: dict[str, dict[str, float]] = {}
    if (folder / "results.json").exists():
        results = json.loads((folder / "results.json").read_text())
    todo = [
        (seed, way)
        for seed in range(arguments.seeds)
        for way in arguments.ways
        if str(seed) not in results.get(way, {})
    ]
    for seed, way in tqdm.tqdm(todo, unit="run"):
        chosen = _choose(arguments, train, info, seed, way)
        score = _train(arguments, train, info, chosen, f"{way}-{seed}", seed)
        results.setdefault(way, {})[str(seed)] = score
        files.write_json(folder / "results.json", results)
        (folder / "table.md").write_text(table(results))
    print((folder / "table.md").read_text())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--dataset_dir", type=pathlib.Path, required=True)
    add("--output_dir", type=pathlib.Path, required=True)
    add("--share", type=float, default=0.25, help="of the train split, in the end")
    add("--first", type=float, default=0.1, help="of it, drawn at random at first")
    add("--ways", default="random,k_center", help=f"some of {', '.join(WAYS)}")
    add("--seeds", type=int, default=3)
    add("settings", nargs="*", help="of deeplab_tf.train, after --")
    arguments = parser.parse_args()
    arguments.ways = arguments.ways.split(",")
    if unknown := set(arguments.ways) - set(WAYS):
        parser.error(f"--ways: unknown {', '.join(sorted(unknown))}")
    if not 0 < arguments.first < arguments.share <= 1:
        parser.error("--first must be above 0 and below --share, which is at most 1")
    return arguments


def read(dataset_dir: pathlib.Path, info: DatasetInfo, split: str) -> Records:
    """The serialised examples of a split by name."""
    return {
        records.name_of(records.decode_example(record)): record
        for path in dataset_info.shard_paths(dataset_dir, info, split)
        for record in tfrecord.read_records(path)
    }


def _choose(
    arguments: argparse.Namespace,
    train: Records,
    info: DatasetInfo,
    seed: int,
    way: str,
) -> list[str]:
    """The examples of the share, those drawn at first included."""
    order = sorted(train)
    random.Random(seed).shuffle(order)
    first, total = (
        max(1, round(part * len(order))) for part in (arguments.first, arguments.share)
    )
    if way == RANDOM:
        return order[:total]
    labelled, left = order[:first], order[first:]
    _train(arguments, train, info, labelled, f"first-{seed}", seed)
    pool = arguments.output_dir / "pools" / str(seed)
    _write_pictures(pool, train, left)
    suggested = arguments.output_dir / "suggested" / f"{way}-{seed}"
    if not suggested.exists():
        command(
            "deeplab_tf.suggest",
            f"--run_dir={arguments.output_dir / 'runs' / f'first-{seed}'}",
            f"--images={pool}",
            f"--count={total - first}",
            f"--selection={way}",
            f"--seed={seed}",
            f"--output_dir={suggested}",
        )
    with (suggested / "suggested.csv").open(newline="") as file:
        sources = [pathlib.Path(row["source"]).stem for row in csv.DictReader(file)]
    numbers = [int(source) for source in sources]
    return [*labelled, *(sorted(left)[number] for number in numbers)]


def _write_pictures(folder: pathlib.Path, train: Records, names: Sequence[str]) -> None:
    """The pictures by their numbers, for an example's name need be no file's."""
    if folder.exists():
        return
    with files.replacing(folder) as temporary:
        temporary.mkdir()
        for number, name in enumerate(sorted(names)):
            content, ending = picture(train[name])
            (temporary / f"{number}{ending}").write_bytes(content)


def picture(record: bytes) -> tuple[bytes, str]:
    """The file of an example's picture, and its ending."""
    example: Any = records.decode_example(record)
    return example[records.IMAGE], _ENDINGS[example[records.FORMAT].decode()]


def _train(
    arguments: argparse.Namespace,
    train: Records,
    info: DatasetInfo,
    names: Sequence[str],
    title: str,
    seed: int,
) -> float:
    """mIoU on val of a network that was trained on these examples."""
    data = arguments.output_dir / "data" / title
    if not (data / dataset_info.FILE_NAME).exists():
        _write_shards(data, arguments.dataset_dir, info, [train[n] for n in names])
    run = arguments.output_dir / "runs" / title
    return trained_miou(run, data, seed, arguments.settings)


def _write_shards(
    folder: pathlib.Path,
    source: pathlib.Path,
    info: DatasetInfo,
    examples: Sequence[bytes],
) -> None:
    """A data set of these training examples and the source's val split."""
    folder.mkdir(parents=True, exist_ok=True)
    name = "train-00000-of-00001.tfrecord"
    with (folder / name).open("wb") as file:
        for example in examples:
            tfrecord.write_record(file, example)
    val = info.split("val")
    for shard in val.shards:
        shutil.copyfile(source / shard, folder / shard)
    counts = np.sum(
        [np.bincount(labels_of(one).ravel(), minlength=256) for one in examples], 0
    )
    train = dataset_info.Split(
        num_examples=len(examples),
        shards=(name,),
        class_pixels=tuple(counts[: info.num_classes].tolist()),
    )
    splits = {"train": train, "val": val}
    dataset_info.save(dataclasses.replace(info, splits=splits), folder)


def labels_of(record: bytes) -> np.ndarray:
    """The label map of a serialised example, uint8 [H, W]."""
    content: Any = records.decode_example(record)[records.LABEL]
    return np.asarray(Image.open(io.BytesIO(content)))


def trained_miou(
    run: pathlib.Path, data: pathlib.Path, seed: int, settings: Sequence[str]
) -> float:
    """mIoU on val of a run, which is trained and evaluated where it is not yet."""
    result = run / "eval" / "val.json"
    if not result.exists():
        command(
            "deeplab_tf.train",
            f"--run_dir={run}",
            f"--data.dataset_dir={data}",
            f"--train.seed={seed}",
            "--train.eval_steps=0",
            *settings,
        )
        command("deeplab_tf.eval", f"--run_dir={run}", "--nodetails")
    score: float = json.loads(result.read_text())["miou"]
    return score


def command(module: str, *flags: str) -> None:
    """Runs a command of the project; its output goes to standard error."""
    subprocess.run(
        [sys.executable, "-m", module, *flags], check=True, stdout=sys.stderr
    )


def table(results: Mapping[str, Mapping[str, float]]) -> str:
    """Mean and spread of each way, and its difference from random, seed by seed."""
    lines = ["| chosen by | seeds | mIoU | less random |", "|---|---|---|---|"]
    base = results.get(RANDOM, {})
    for way, scores in results.items():
        less = [score - base[seed] for seed, score in scores.items() if seed in base]
        cells = [way, str(len(scores)), spread([*scores.values()]), spread(less)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
