"""Does `review` find label errors, and what is it worth to mend them?

Examples:
  python benchmarks/label_errors.py --dataset_dir=data/camvid --output_dir=build/le
  python benchmarks/label_errors.py --dataset_dir=data/camvid --output_dir=build/le \\
      --seeds=3 -- --train.steps=300 --train.init_checkpoint=runs/released

For each seed: errors are planted into 5 % of the training labels (objects of another
class, objects that are missing, masks that are shifted; planted_errors.py), a network
is trained on the dirty labels, and `deeplab_tf.review` looks through them with it
(--run_dir: with another network, and none is trained). Of the first 10 % of the regions
that it lists, somebody who knows the true labels takes the prediction where it is
better, voids what is wrong in either, and keeps the rest. `convert --decisions` mends
the labels, and a network is trained on those.

OUT/results.json holds the figures of each seed, OUT/table.md mean and spread. What was
killed goes on where it was. Settings of training follow a double dash.
"""

import argparse
import json
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence

import numpy as np
import tqdm
from ablation_table import spread
from active_learning import (
    ROOT,
    Records,
    command,
    labels_of,
    picture,
    read,
    trained_miou,
)
from PIL import Image
from planted_errors import KINDS, plant

from deeplab_tf import files
from deeplab_tf.data import dataset_info
from deeplab_tf.data.conversion import decisions
from deeplab_tf.data.conversion.png import encode_png
from deeplab_tf.data.conversion.runs import coco_runs
from deeplab_tf.data.dataset_info import DatasetInfo
from deeplab_tf.files import Json

_FIELDS = ("example", "region", "label", "prediction", "size", "counts")
# Figure -> what it is, in the table.
FIGURES = {
    "planted": "labels with a planted error",
    "regions": "regions that review lists",
    "precision": "of the first 10 % of them, share that is planted",
    "precision_of_all": "of all of them",
    "found_regions": "of all that are planted, share in the first 10 %",
    "found": "labels with a planted error, share in the first 10 %",
    "found_in_all": "in all of them",
    "dirty_miou": "mIoU of the network of the dirty labels",
    "mended_miou": "mIoU of that of the mended labels",
}


def main() -> None:
    arguments = _arguments()
    results: dict[str, Json] = {}
    path = arguments.output_dir / "results.json"
    if path.exists():
        results = json.loads(path.read_text())
    todo = [seed for seed in range(arguments.seeds) if str(seed) not in results]
    for seed in tqdm.tqdm(todo, unit="seed"):
        results[str(seed)] = _run(arguments, arguments.output_dir / str(seed), seed)
        files.write_json(path, results)
        (arguments.output_dir / "table.md").write_text(table(results))
    print((arguments.output_dir / "table.md").read_text())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--dataset_dir", type=pathlib.Path, required=True, help="shards, clean")
    add("--output_dir", type=pathlib.Path, required=True)
    add("--run_dir", type=pathlib.Path, help="reviews with this network")
    add("--share", type=float, default=0.05, help="of the training labels")
    add("--shown", type=float, default=0.1, help="of the regions that are decided on")
    add("--seeds", type=int, default=1)
    add("settings", nargs="*", help="of deeplab_tf.train, after --")
    return parser.parse_args()


def _run(arguments: argparse.Namespace, folder: pathlib.Path, seed: int) -> Json:
    info = dataset_info.load(arguments.dataset_dir)
    dirty = folder / "dirty"
    if not dirty.exists():
        _write_dirty(arguments, dirty, info, seed)
    source = dirty / "source"
    _convert(source, folder / "data" / "dirty")
    scores: dict[str, float] = {}
    run = arguments.run_dir
    if run is None:
        run = folder / "runs" / "dirty"
        scores["dirty_miou"] = _train(arguments, folder, "dirty", seed)
    page = folder / "review"
    if not (page / "regions.json").exists():
        command(
            "deeplab_tf.review",
            f"--run_dir={run}",
            f"--dataset_dir={folder / 'data' / 'dirty'}",
            "--split=train",
            f"--output={page}",
            "--count=20",
        )
    found = json.loads((page / "regions.json").read_text())
    figures = _decide(found, dirty, folder / "decisions.json", arguments.shown)
    if run == arguments.run_dir:
        return figures
    mended = folder / "data" / "mended"
    _convert(source, mended, f"--decisions={folder / 'decisions.json'}")
    scores["mended_miou"] = _train(arguments, folder, "mended", seed)
    return {**figures, **scores}


def _write_dirty(
    arguments: argparse.Namespace, folder: pathlib.Path, info: DatasetInfo, seed: int
) -> None:
    """source/ for convert, and clean/ with the true labels of the train split.

    Pictures have numbers for names; planted.json tells which hold what error.
    """
    rng = np.random.default_rng(seed)
    with files.replacing(folder) as temporary:
        for split in ("train", "val"):
            examples = read(arguments.dataset_dir, info, split)
            for kind in ("source/images", "source/labels", "clean"):
                (temporary / kind / split).mkdir(parents=True)
            labels = {
                n: labels_of(record) for n, record in enumerate(examples.values())
            }
            planted = {}
            if split == "train":
                planted = _plant(labels, arguments.share, info, rng)
                kinds = {str(n): kind for n, (kind, _) in planted.items()}
                files.write_json(temporary / "planted.json", kinds)
            _write_split(temporary, split, examples, labels, planted)
        shutil.rmtree(temporary / "clean" / "val")
        classes = {"class_names": info.class_names, "colormap": info.colormap}
        files.write_json(temporary / "source" / "classes.json", classes)


def _plant(
    labels: Mapping[int, np.ndarray],
    share: float,
    info: DatasetInfo,
    rng: np.random.Generator,
) -> dict[int, tuple[str, np.ndarray]]:
    """Kind and dirty labels by number: each kind as often, as far as that goes."""
    wanted = max(1, round(share * len(labels)))
    found: dict[int, tuple[str, np.ndarray]] = {}
    for number in rng.permutation(len(labels)).tolist():
        kind = [*KINDS][len(found) % len(KINDS)]
        error = plant(labels[number], kind, info.num_classes, info.ignore_label, rng)
        if error is not None:
            found[number] = kind, error.labels
        if len(found) == wanted:
            break
    return found


def _write_split(
    folder: pathlib.Path,
    split: str,
    examples: Records,
    labels: Mapping[int, np.ndarray],
    planted: Mapping[int, tuple[str, np.ndarray]],
) -> None:
    for number, record in enumerate(examples.values()):
        content, ending = picture(record)
        (folder / "source" / "images" / split / f"{number}{ending}").write_bytes(
            content
        )
        dirty = planted[number][1] if number in planted else labels[number]
        for kind, values in (("source/labels", dirty), ("clean", labels[number])):
            encoded = encode_png(values[:, :, None])
            (folder / kind / split / f"{number}.png").write_bytes(encoded)


def _convert(source: pathlib.Path, output: pathlib.Path, *flags: str) -> None:
    if (output / dataset_info.FILE_NAME).exists():
        return
    script = ROOT / "datasets" / "convert.py"
    where = [
        "--dataset=folder",
        f"--source_dir={source}",
        f"--output_dir={output}",
    ]
    subprocess.run(
        [sys.executable, script, *where, *flags], check=True, stdout=sys.stderr
    )


def _train(
    arguments: argparse.Namespace, folder: pathlib.Path, name: str, seed: int
) -> float:
    """mIoU on val of a network of these labels."""
    run, data = folder / "runs" / name, folder / "data" / name
    return trained_miou(run, data, seed, arguments.settings)


def _decide(found: Json, dirty: pathlib.Path, path: pathlib.Path, share: float) -> Json:
    """Writes the decisions on the first regions; returns what they are worth."""
    planted = json.loads((dirty / "planted.json").read_text())
    regions = found["regions"]
    shown = max(1, round(share * len(regions)))
    hits, made = [], []
    for place, one in enumerate(regions):
        clean, given = (
            np.asarray(Image.open(dirty / kind / "train" / f"{one['example']}.png"))
            for kind in ("clean", "source/labels")
        )
        inside = coco_runs(tuple(one["size"]), {"counts": one["counts"]})
        wrong = (clean != given)[inside].mean()
        hits.append(one["example"] in planted and wrong >= 0.5)
        if place < shown:
            action = _action(clean[inside], one["label"], one["prediction"])
            made.append({**{key: one[key] for key in _FIELDS}, "action": action})
    content = {key: found[key] for key in ("schema", "dataset", "split", "class_names")}
    files.write_json(path, {**content, "decisions": made})
    decisions.load(path)
    return {
        "planted": len(planted),
        "regions": len(regions),
        "precision": float(np.mean(hits[:shown])),
        "precision_of_all": float(np.mean(hits)),
        "found_regions": sum(hits[:shown]) / max(1, sum(hits)),
        "found": _share_found(regions[:shown], hits, planted),
        "found_in_all": _share_found(regions, hits, planted),
    }


def _action(clean: np.ndarray, label: int, prediction: int) -> str:
    """What somebody decides who knows the true labels of the region's pixels."""
    right, mended = (clean == label).mean(), (clean == prediction).mean()
    if max(right, mended) < 0.5:
        return "void"
    return "prediction" if mended > right else "keep"


def _share_found(
    regions: Sequence[Json], hits: Sequence[bool], planted: Mapping[str, str]
) -> float:
    examples = {one["example"] for one, hit in zip(regions, hits, strict=False) if hit}
    return len(examples) / len(planted)


def table(results: Mapping[str, Json]) -> str:
    """Mean and spread of each figure."""
    lines = ["| figure | seeds | mean |", "|---|---|---|"]
    for name, text in FIGURES.items():
        values = [float(one[name]) for one in results.values() if name in one]
        if values:
            lines.append(f"| {text} | {len(values)} | {spread(values)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
