"""Changes of a preset, each as an experiment of equal budget and several seeds.

The claims of the paper, or what was tried for a recipe (benchmarks/ablation_rows.py).

Examples:
  python benchmarks/ablation.py --output_dir=build/ablation
  python benchmarks/ablation.py --output_dir=build/ablation --rows=decoder,no_decoder
  python benchmarks/ablation.py --output_dir=build/camvid --dataset_dir=data/camvid \\
      --preset=camvid_mobilenet_v2 --rows=decoder,no_decoder,stride_8 --steps=500

Each row is the preset with the settings that it names. A run that was killed goes on
where it was, and one that OUT/results.json holds is not done again. After each the
table and the chart are written, OUT/table.md and OUT/trimap.svg. Without
--dataset_dir: the made-up shapes, about three minutes a run on two CPU cores.
"""

import argparse
import itertools
import json
import os
import pathlib
import queue
import subprocess
import sys
from collections.abc import Mapping
from concurrent import futures
from typing import Any

import ablation_table
import tqdm
from ablation_rows import BASE, GROUPS, ROWS, Row

from deeplab_tf import cli, files
from deeplab_tf.config import Config, presets
from deeplab_tf.config.options import EvaluateOptions
from deeplab_tf.report import history

ROOT = pathlib.Path(__file__).resolve().parents[1]
_RESULTS = "results.json"
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
    # Seed by seed, so that a table that is cut short compares like with like; those
    # of equal time after the others, for they need the base's minutes.
    trained = [name for name in arguments.rows if name in ROWS]
    runs = itertools.product(range(arguments.seeds), trained)
    done = _read(arguments)
    todo = [
        (seed, name)
        for seed, name in runs
        if not {_key(seed, way) for way in _ways(arguments, name)} <= {*done}
    ]
    todo.sort(key=lambda run: ROWS[run[1]].equal_time)
    with tqdm.tqdm(total=len(todo), unit="run") as bar:
        for _, batch in itertools.groupby(todo, lambda run: ROWS[run[1]].equal_time):
            _run_all(arguments, list(batch), bar)
    _write(arguments, _read(arguments))
    print((arguments.output_dir / "table.md").read_text())


def _run_all(
    arguments: argparse.Namespace, runs: list[tuple[int, str]], bar: tqdm.tqdm
) -> None:
    """Each in a process of its own, `--jobs` at a time, each on its own cores."""
    shares: queue.SimpleQueue[list[int]] = queue.SimpleQueue()
    for job in range(arguments.jobs):
        shares.put(sorted(os.sched_getaffinity(0))[job :: arguments.jobs])

    def run(one: tuple[int, str]) -> dict[str, Any]:
        share = shares.get()
        try:
            return _in_own_process(arguments, *one, share)
        finally:
            shares.put(share)

    with futures.ThreadPoolExecutor(arguments.jobs) as pool:
        for result in futures.as_completed([pool.submit(run, one) for one in runs]):
            done = {**_read(arguments), **result.result()}
            files.write_json(arguments.output_dir / _RESULTS, done)
            _write(arguments, done)
            bar.update()


def _in_own_process(
    arguments: argparse.Namespace, seed: int, name: str, cores: list[int]
) -> dict[str, Any]:
    """Results by key; a process frees its memory, and its log is beside its run."""
    folder = _folder(arguments, seed, name)
    folder.parent.mkdir(parents=True, exist_ok=True)
    data = os.path.abspath(arguments.dataset_dir)
    command = [sys.executable, *sys.argv, f"--one={name}", f"--seed={seed}"]
    log = folder.with_suffix(".log")
    with log.open("w") as out:
        code = subprocess.run(
            [*command, f"--dataset_dir={data}", f"--cores={','.join(map(str, cores))}"],
            stdout=out,
            stderr=out,
            check=False,
        ).returncode
    if code:
        raise SystemExit(f"{name}, seed {seed} failed: see {log}")
    results: dict[str, Any] = json.loads((folder / _RESULTS).read_text())
    return results


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--output_dir", type=pathlib.Path, required=True)
    add("--dataset_dir", type=pathlib.Path, help="shards; default: made-up shapes")
    add("--preset", default="demo", help="the base of all rows")
    names = [*ROWS, *EVALUATIONS]
    add("--rows", default="paper", help=f"paper, recipe, or some of {', '.join(names)}")
    add("--seeds", type=int, default=3)
    add("--steps", type=int, help="instead of the preset's")
    add("--init_checkpoint", help="weights to start from, instead of the preset's")
    add("--jobs", type=int, default=1, help="runs at once, each on its own cores")
    add("--one", choices=ROWS, help=argparse.SUPPRESS)
    add("--seed", type=int, help=argparse.SUPPRESS)
    add("--cores", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    named = arguments.rows
    group = [*GROUPS.get(named, ()), *(EVALUATIONS if named == "paper" else ())]
    arguments.rows = group or named.split(",")
    if unknown := set(arguments.rows) - set(names):
        parser.error(f"--rows: unknown {', '.join(sorted(unknown))}")
    if BASE not in arguments.rows and {*EVALUATIONS} & {*arguments.rows}:
        parser.error(f"--rows: evaluations are of {BASE}, which must be one of them")
    return arguments


def _write_shapes(folder: pathlib.Path) -> None:
    if (folder / "dataset.json").exists():
        return
    script = ROOT / "datasets" / "convert.py"
    flags = ["--dataset=shapes", f"--output_dir={folder}"]
    subprocess.run([sys.executable, script, *flags], check=True, stdout=sys.stderr)


def _folder(arguments: argparse.Namespace, seed: int, name: str) -> pathlib.Path:
    folder: pathlib.Path = arguments.output_dir / "runs" / _key(seed, name)
    return folder


def _ways(arguments: argparse.Namespace, name: str) -> dict[str, Mapping[str, Any]]:
    """How a row is evaluated, by the row of the table that this fills."""
    if name != BASE:
        return {name: {}}
    asked = {k: v for k, v in EVALUATIONS.items() if k in arguments.rows}
    return {BASE: {}, **asked}


def _key(seed: int, name: str) -> str:
    return f"{name}-{seed}"


def _run_one(arguments: argparse.Namespace) -> None:
    """Trains and evaluates one row; in a process of its own, which frees its memory."""
    os.sched_setaffinity(0, map(int, arguments.cores.split(",")))
    cli.import_tensorflow()
    from deeplab_tf import runs, training
    from deeplab_tf.evaluation import evaluate_run
    from deeplab_tf.network import cost
    from deeplab_tf.network.deeplab import build_model
    from deeplab_tf.training import pace

    name, seed = arguments.one, arguments.seed
    folder = _folder(arguments, seed, name)
    config = _config(arguments, ROWS[name])
    if ROWS[name].equal_time:
        base = _read(arguments).get(_key(seed, BASE))
        if base is None:
            raise SystemExit(f"--rows={name} needs the minutes of --rows={BASE}")
        minutes = base["minutes"]
        config = config.replace({"train.minutes": minutes})
        given = set(config.leaves()) - _LENGTH
        config = pace.complete(config, given, os.fspath(folder))
    training.train(config, os.fspath(folder))
    run = runs.open_run(os.fspath(folder))
    log = history.read(folder / "metrics.jsonl")
    classes = run.info.num_classes
    parameters = cost.parameters(build_model(config.model, classes).weights)
    results = {}
    for key, options in _ways(arguments, name).items():
        there = os.fspath(folder / "eval" / key)
        scores = evaluate_run(run, EvaluateOptions(output=there, **options))
        results[_key(seed, key)] = {
            "miou": scores["miou"],
            "iou": scores["per_class_iou"],
            "trimap": scores["boundary"]["trimap"],
            "steps": config.train.steps,
            "minutes": round(history.minutes(log, config.train.batch_size), 2),
            "giga_multiply_adds": _multiply_adds(config, classes, options) / 1e9,
            "parameters": parameters,
        }
    files.write_json(folder / _RESULTS, results)


def _multiply_adds(config: Config, classes: int, options: Mapping[str, Any]) -> int:
    """Of one training crop, evaluated in that way."""
    from deeplab_tf.network import cost
    from deeplab_tf.network.deeplab import build_model

    stride = options.get("output_stride", config.model.output_stride)
    model = build_model(config.replace({"model.output_stride": stride}).model, classes)
    passes = 2 if options.get("flip") else 1
    height, width = config.data.crop_size
    return passes * sum(
        cost.multiply_adds(model, round(height * scale), round(width * scale))
        for scale in options.get("scales", (1.0,))
    )


def _config(arguments: argparse.Namespace, row: Row) -> Config:
    config = presets.get(arguments.preset).replace(
        {
            "data.dataset_dir": os.fspath(arguments.dataset_dir),
            "train.seed": arguments.seed,
            "train.eval_steps": 0,
            **row.settings,
        }
    )
    if arguments.init_checkpoint:
        config = config.replace({"train.init_checkpoint": arguments.init_checkpoint})
    if arguments.steps:
        config = config.replace({"train.steps": arguments.steps})
    return config


def _read(arguments: argparse.Namespace) -> dict[str, Any]:
    """What each row has come to, by _key."""
    path = arguments.output_dir / _RESULTS
    done: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return done


def _write(arguments: argparse.Namespace, done: Mapping[str, Any]) -> None:
    found: dict[str, dict[int, dict[str, Any]]] = {}
    for name in [*ROWS, *EVALUATIONS]:
        for seed in range(arguments.seeds):
            if _key(seed, name) in done:
                found.setdefault(name, {})[seed] = done[_key(seed, name)]
    with files.replacing(arguments.output_dir / "table.md") as temporary:
        temporary.write_text(ablation_table.render(found))
    ablation_table.draw(arguments.output_dir / "trimap.svg", found)


if __name__ == "__main__":
    main()
