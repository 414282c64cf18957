"""The claims of the paper, each as an experiment of equal budget and several seeds.

Examples:
  python benchmarks/ablation.py --output_dir=build/ablation
  python benchmarks/ablation.py --output_dir=build/ablation --rows=decoder,no_decoder
  python benchmarks/ablation.py --output_dir=build/camvid --dataset_dir=data/camvid \\
      --preset=camvid_mobilenet_v2 --rows=decoder,no_decoder --steps=500

Each row is the preset with the settings that it names. A run that was killed goes on
where it was, one that is done is not done again, and the table and the chart are
written after each: OUT/table.md and OUT/trimap.svg. Without --dataset_dir: the made-up
shapes, about three minutes a run on two CPU cores.
"""

import argparse
import dataclasses
import itertools
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

from deeplab_tf import cli, files
from deeplab_tf.config import Config, presets
from deeplab_tf.config.options import EvaluateOptions

ROOT = pathlib.Path(__file__).resolve().parents[1]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """An experiment.

    Attributes:
      about: what it changes, in the table.
      settings: that differ from the preset.
      equal_time: as many steps as fit the minutes of the base, not its steps.
    """

    about: str
    settings: Mapping[str, object] = dataclasses.field(default_factory=dict)
    equal_time: bool = False


BASE = "decoder"
_PLAIN = {"model.aspp_separable": False, "model.decoder_separable": False}
# Full width: the others have no multiplier.
_WIDE = {"model.depth_multiplier": 1.0}
_PAPER = {"model.depth_multiplier": 1.0, "model.backbone": "xception_41"}
ROWS: Mapping[str, Row] = {
    BASE: Row(about="decoder: tap at 4, 48 channels, two 3x3"),
    "no_decoder": Row(
        about="bilinear upsampling, no decoder",
        settings={"model.decoder_strides": ()},
    ),
    "low_level_8": Row(
        about="8 low-level channels", settings={"model.low_level_channels": 8}
    ),
    "low_level_96": Row(
        about="96 low-level channels", settings={"model.low_level_channels": 96}
    ),
    "low_level_whole": Row(
        about="low-level map whole, no 1x1", settings={"model.low_level_channels": 0}
    ),
    "one_3x3": Row(
        about="one 3x3 in the decoder", settings={"model.decoder_convolutions": 1}
    ),
    "three_3x3": Row(
        about="three 3x3 in the decoder", settings={"model.decoder_convolutions": 3}
    ),
    "two_taps": Row(
        about="taps at 8 and 4", settings={"model.decoder_strides": (8, 4)}
    ),
    "ordinary": Row(about="ordinary convolutions in ASPP and decoder", settings=_PLAIN),
    "no_image_feature": Row(
        about="no image-level feature", settings={"model.image_pooling": False}
    ),
    "mobilenet_v2": Row(
        about="MobileNetV2 of full width, equal time", settings=_WIDE, equal_time=True
    ),
    "resnet_18": Row(
        about="ResNet-18, equal time",
        settings={**_WIDE, "model.backbone": "resnet_18"},
        equal_time=True,
    ),
    "xception_41": Row(
        about="Xception-41 as released, equal time", settings=_PAPER, equal_time=True
    ),
    "xception_41_paper": Row(
        about="Xception-41, ReLU after every depthwise, equal time",
        settings={**_PAPER, "model.depthwise_activation": "paper"},
        equal_time=True,
    ),
}
# The base's weights, evaluated otherwise.
EVALUATIONS: Mapping[str, Mapping[str, Any]] = {
    "stride_8": {"output_stride": 8},
    "stride_32": {"output_stride": 32},
    "scales_and_flip": {"scales": (0.75, 1.0, 1.25), "flip": True},
}
_LENGTH = {"train.steps", "train.eval_steps", "train.checkpoint_steps"}


def main() -> None:
    arguments = _arguments()
    if arguments.one:
        _run_one(arguments)
        return
    if arguments.dataset_dir is None:
        arguments.dataset_dir = arguments.output_dir / "data"
        _write_shapes(arguments.dataset_dir)
    # Seed by seed, so that a table that is cut short compares like with like.
    runs = list(itertools.product(range(arguments.seeds), arguments.rows))
    todo = [run for run in runs if not _file(arguments, *run).exists()]
    begin = time.perf_counter()
    for number, (seed, name) in enumerate(todo):
        spent = (time.perf_counter() - begin) / 60
        left = spent / number * (len(todo) - number) if number else math.nan
        print(f"{number + 1}/{len(todo)} {name}, seed {seed}: {left:.0f} minutes left")
        sys.stdout.flush()
        one = [f"--one={name}", f"--seed={seed}"]
        subprocess.run(
            [sys.executable, *sys.argv, *one, *_given(arguments)], check=True
        )
        _write(arguments)
    _write(arguments)
    print((arguments.output_dir / "table.md").read_text())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--output_dir", type=pathlib.Path, required=True)
    add("--dataset_dir", type=pathlib.Path, help="shards; default: made-up shapes")
    add("--preset", default="demo", help="the base of all rows")
    add("--rows", default=",".join(ROWS), help="some of: %(default)s")
    add("--seeds", type=int, default=3)
    add("--steps", type=int, help="instead of the preset's")
    add("--one", choices=ROWS, help=argparse.SUPPRESS)
    add("--seed", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.rows = arguments.rows.split(",")
    if unknown := set(arguments.rows) - set(ROWS):
        parser.error(f"--rows: unknown {', '.join(sorted(unknown))}")
    return arguments


def _given(arguments: argparse.Namespace) -> list[str]:
    return [f"--dataset_dir={os.path.abspath(arguments.dataset_dir)}"]


def _write_shapes(folder: pathlib.Path) -> None:
    if (folder / "dataset.json").exists():
        return
    script = ROOT / "datasets" / "convert.py"
    flags = ["--dataset=shapes", f"--output_dir={folder}"]
    subprocess.run([sys.executable, script, *flags], check=True, stdout=sys.stderr)


def _file(arguments: argparse.Namespace, seed: int, name: str) -> pathlib.Path:
    """What a run leaves; it is there once the run is done."""
    return arguments.output_dir / f"{name}-{seed}.json"


def _run_one(arguments: argparse.Namespace) -> None:
    """Trains and evaluates one row; in a process of its own, which frees its memory."""
    cli.import_tensorflow()
    from deeplab_tf import runs, training
    from deeplab_tf.evaluation import evaluate_run
    from deeplab_tf.network import cost
    from deeplab_tf.network.deeplab import build_model
    from deeplab_tf.training import pace

    name, seed = arguments.one, arguments.seed
    folder = arguments.output_dir / "runs" / f"{name}-{seed}"
    config = _config(arguments, ROWS[name])
    if ROWS[name].equal_time:
        minutes = _read(arguments, seed, BASE)["minutes"]
        config = config.replace({"train.minutes": minutes})
        given = set(config.leaves()) - _LENGTH
        config = pace.complete(config, given, os.fspath(folder))
    training.train(config, os.fspath(folder))
    run = runs.open_run(os.fspath(folder))
    model = build_model(config.model, run.info.num_classes)
    ways = {name: {}, **(EVALUATIONS if name == BASE else {})}
    results = {}
    for key, options in ways.items():
        there = os.fspath(folder / "eval" / key)
        results[key] = evaluate_run(run, EvaluateOptions(output=there, **options))
    for key in reversed(ways):  # the row's own last: it says that all is done
        written = {
            "miou": results[key]["miou"],
            "trimap": results[key]["boundary"]["trimap"],
            "steps": config.train.steps,
            "minutes": round(_minutes(folder, config.train.batch_size), 2),
            "giga_multiply_adds": cost.multiply_adds(model, *config.data.crop_size)
            / 1e9,
            "parameters": cost.parameters(model.weights),
        }
        files.write_json(_file(arguments, seed, key), written)


def _minutes(folder: pathlib.Path, batch_size: int) -> float:
    """Of the steps alone, also of a run that was killed and went on."""
    seconds, last = 0.0, 0
    for line in (folder / "metrics.jsonl").read_text().splitlines():
        row = json.loads(line)
        if "images_per_second" in row:
            seconds += (row["step"] - last) * batch_size / row["images_per_second"]
            last = row["step"]
    return seconds / 60


def _config(arguments: argparse.Namespace, row: Row) -> Config:
    config = presets.get(arguments.preset).replace(
        {
            "data.dataset_dir": os.fspath(arguments.dataset_dir),
            "train.seed": arguments.seed,
            "train.eval_steps": 0,
            **row.settings,
        }
    )
    if arguments.steps:
        config = config.replace({"train.steps": arguments.steps})
    return config


def _read(arguments: argparse.Namespace, seed: int, name: str) -> dict[str, Any]:
    path = _file(arguments, seed, name)
    if not path.exists():
        raise SystemExit(f"{path} is missing: run --rows={name} first")
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def _write(arguments: argparse.Namespace) -> None:
    found: dict[str, dict[int, dict[str, Any]]] = {}
    for name in [*ROWS, *EVALUATIONS]:
        for seed in range(arguments.seeds):
            if _file(arguments, seed, name).exists():
                found.setdefault(name, {})[seed] = _read(arguments, seed, name)
    with files.replacing(arguments.output_dir / "table.md") as temporary:
        temporary.write_text(_table(found))
    _draw(arguments.output_dir / "trimap.svg", found)


def _table(found: Mapping[str, Mapping[int, Mapping[str, Any]]]) -> str:
    """Mean and spread of each row, and its difference from the base, seed by seed."""
    lines = [
        "| row | seeds | mIoU | minus base | narrowest band, minus base "
        "| G multiply-adds | M parameters | steps | minutes |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    base = found.get(BASE, {})
    for name, by_seed in found.items():
        about = ROWS[name].about if name in ROWS else f"base, {name.replace('_', ' ')}"
        both = [(by_seed[s], base[s]) for s in by_seed if s in base]
        first = next(iter(by_seed.values()))
        bands = [
            one["trimap"]["miou"][0] - other["trimap"]["miou"][0] for one, other in both
        ]
        cells = [
            about,
            str(len(by_seed)),
            spread([one["miou"] for one in by_seed.values()]),
            spread([one["miou"] - other["miou"] for one, other in both]),
            spread(bands),
            f"{first['giga_multiply_adds']:.3f}",
            f"{first['parameters'] / 1e6:.2f}",
            str(first["steps"]),
            f"{statistics.mean(one['minutes'] for one in by_seed.values()):.1f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def spread(values: list[float]) -> str:
    """Mean and standard deviation."""
    if not values:
        return "-"
    if len(values) == 1:
        return f"{values[0]:.4f}"
    return f"{statistics.mean(values):.4f} ± {statistics.stdev(values):.4f}"


def _draw(
    path: pathlib.Path, found: Mapping[str, Mapping[int, Mapping[str, Any]]]
) -> None:
    """Figure 6a: mIoU in a band of some pixels around the boundaries."""
    from matplotlib.figure import Figure

    axes = (figure := Figure((6, 4))).subplots()
    for name in (BASE, "no_decoder"):
        curves = [one["trimap"] for one in found.get(name, {}).values()]
        if not curves:
            continue
        points = list(zip(*(curve["miou"] for curve in curves), strict=True))
        axes.errorbar(
            curves[0]["widths"],
            [statistics.mean(point) for point in points],
            [statistics.stdev(p) if len(p) > 1 else 0.0 for p in points],
            label=ROWS[name].about,
            marker="o",
            capsize=3,
        )
    axes.set(xlabel="width of the band, pixels", ylabel="mIoU in the band")
    axes.legend()
    with files.replacing(path) as temporary:
        figure.savefig(temporary, format="svg")


if __name__ == "__main__":
    main()
