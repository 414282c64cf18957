"""What accuracy costs: one set of weights at several strides, scales and flips."""

import dataclasses
import itertools
import json
import pathlib
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from deeplab_tf import runs
from deeplab_tf.data.dataset_info import DatasetInfo
from deeplab_tf.errors import UserError
from deeplab_tf.evaluation import evaluate
from deeplab_tf.inference import predictor, timing
from deeplab_tf.network import cost
from deeplab_tf.report import charts, page
from deeplab_tf.report.charts import Series
from deeplab_tf.runs import Run

_TIMED = 5
_CODE = (
    "import sys; from deeplab_tf.report import exploration; "
    "exploration.measure_child(*sys.argv[1:])"
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setting:
    """How to predict.

    Attributes:
      output_stride: of the encoder.
      scales: whose predictions are averaged; (0.5,) is half the input size.
      flip: averages with the mirrored picture, too.
    """

    output_stride: int
    scales: tuple[float, ...]
    flip: bool

    def __str__(self) -> str:
        scales = " ".join(f"{scale:g}" for scale in self.scales)
        return f"stride {self.output_stride}, scales {scales}" + ", flip" * self.flip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Point:
    """What a setting gives and costs, for a picture of the size that was asked.

    Attributes:
      setting: how it was predicted.
      miou: on the split.
      multiply_adds: of all passes.
      milliseconds: median, on all threads of this machine.
      peak_memory_bytes: that the process took, with TensorFlow.
      is_best: no other setting is as good for fewer multiply-adds.
    """

    setting: Setting
    miou: float
    multiply_adds: int
    milliseconds: float
    peak_memory_bytes: int
    is_best: bool = False


def settings(
    output_strides: Sequence[int],
    scales: Sequence[Sequence[float]],
    flips: Sequence[bool] = (False, True),
) -> list[Setting]:
    """All combinations."""
    return [
        Setting(output_stride=stride, scales=tuple(group), flip=flip)
        for stride, group, flip in itertools.product(output_strides, scales, flips)
    ]


def explore(
    run: Run,
    wanted: Sequence[Setting],
    dataset_dir: str,
    info: DatasetInfo,
    split: str,
    size: tuple[int, int],
) -> Iterator[Point]:
    """Evaluates and measures each setting.

    Args:
      run: whose weights serve all.
      wanted: settings.
      dataset_dir: folder of the shards.
      info: its dataset.json.
      split: with labels.
      size: height, width of the picture whose cost is measured.
    """
    for setting in wanted:
        model = runs.load_model(run, output_stride=setting.output_stride)
        predict = predictor.make_predictor(
            model, scales=setting.scales, flip=setting.flip, frozen=True
        )
        result = evaluate.evaluate(predict, dataset_dir, info, split)
        if result["miou"] is None:
            raise UserError(f"split {split!r}: no pixel is labelled.")
        passes = sum(
            cost.multiply_adds(model, *(max(1, int(side * scale)) for side in size))
            for scale in setting.scales
        )
        yield Point(
            setting=setting,
            miou=result["miou"],
            multiply_adds=passes * (2 if setting.flip else 1),
            **_measure(run.path, setting, size),
        )


def mark_best(points: Sequence[Point]) -> list[Point]:
    """The points by multiply-adds, those of the Pareto front marked."""
    best, marked = -1.0, []
    for point in sorted(points, key=lambda one: (one.multiply_adds, -one.miou)):
        marked.append(dataclasses.replace(point, is_best=point.miou > best))
        best = max(best, point.miou)
    return marked


def table(points: Sequence[Point]) -> str:
    """A line for each point; those of the front have a star."""
    head = f"{'':<36} {'mIoU':>7} {'G madds':>8} {'ms':>7} {'MB':>6}"
    lines = [
        f"{'*' if one.is_best else ' '} {one.setting!s:<34} {one.miou:7.4f} "
        f"{one.multiply_adds / 1e9:8.2f} {one.milliseconds:7.0f} "
        f"{one.peak_memory_bytes / 1e6:6.0f}"
        for one in points
    ]
    return "\n".join([head, *lines])


def render(points: Sequence[Point], title: str) -> str:
    """The table and the Pareto chart as one HTML file."""
    front = [(one.multiply_adds / 1e9, one.miou) for one in points if one.is_best]
    others = [(one.multiply_adds / 1e9, one.miou) for one in points if not one.is_best]
    series = [Series(name="nothing better for less", points=front, dots=True)]
    series += [
        Series(
            name="other settings", points=[point], color=1, dots=True, in_legend=not i
        )
        for i, point in enumerate(others)
    ]
    chart = charts.line_chart(
        series, title=title, x_label="multiply-adds (G)", y_label="mIoU"
    )
    rows = [
        [
            ("&#9733; " if one.is_best else "") + str(one.setting),
            page.bar(one.miou),
            f"{one.multiply_adds / 1e9:.2f} G",
            f"{one.milliseconds:.0f} ms",
            f"{one.peak_memory_bytes / 1e6:.0f} MB",
        ]
        for one in points
    ]
    head = ["setting", "mIoU", "multiply-adds", "time", "peak memory"]
    sections = [("Accuracy and cost", chart), ("Settings", page.table(head, rows))]
    return page.document(title, sections, "")


def measure_child(run_dir: str, setting: str, height: str, width: str) -> None:
    """What the fresh process of a measurement does; prints JSON."""
    import statistics

    from deeplab_tf import cli

    cli.import_tensorflow()
    run, wanted = runs.open_run(run_dir), json.loads(setting)
    model = runs.load_model(run, output_stride=wanted["output_stride"])
    predict = predictor.make_predictor(
        model, scales=wanted["scales"], flip=wanted["flip"], frozen=True
    )
    size = int(height), int(width)
    picture = timing.random_picture(*size, run.info.channels)
    times = timing.milliseconds({"": lambda: predict.labels(picture)}, _TIMED)[""]
    peak = timing.memory("VmHWM")
    result = {"milliseconds": statistics.median(times), "peak_memory_bytes": peak}
    print(json.dumps(result))


def _measure(
    run_path: pathlib.Path, setting: Setting, size: tuple[int, int]
) -> dict[str, Any]:
    values = json.dumps(dataclasses.asdict(setting))
    command = [sys.executable, "-c", _CODE, str(run_path), values, *map(str, size)]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        last = result.stderr.strip().splitlines()[-1:]
        raise UserError(f"{setting} cannot be measured: {''.join(last)}")
    return json.loads(result.stdout.strip().splitlines()[-1])
