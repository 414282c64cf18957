"""What accuracy costs: one set of weights at several strides, scales and flips."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator, Sequence

import keras

from deeplab_tf import cli, runs
from deeplab_tf.data.dataset_info import DatasetInfo
from deeplab_tf.errors import UserError
from deeplab_tf.evaluation import evaluate
from deeplab_tf.files import Json
from deeplab_tf.inference import predictor, timing
from deeplab_tf.network import cost
from deeplab_tf.runs import Run

_TIMED = 5


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
    """Evaluates and measures each setting, behind a bar with the time left.

    Args:
      run: whose weights serve all.
      wanted: settings.
      dataset_dir: folder of the shards.
      info: its dataset.json.
      split: with labels.
      size: height, width of the picture whose cost is measured.
    """
    steps = cli.bar(_measured(run, wanted, size), "explore", len(wanted), "setting")
    for setting, model, figures in steps:
        predict = _predictor(model, setting)
        result = evaluate.evaluate(predict, dataset_dir, info, split)
        if result["miou"] is None:
            raise UserError(f"split {split!r}: no pixel is labelled.")
        yield Point(
            setting=setting,
            miou=result["miou"],
            multiply_adds=_multiply_adds(model, size, setting),
            milliseconds=figures["latency_ms"],
            peak_memory_bytes=figures["process_memory_bytes"],
        )


def _measured(
    run: Run, wanted: Sequence[Setting], size: tuple[int, int]
) -> Iterator[tuple[Setting, keras.Model, Json]]:
    """Each setting with its model and what its process took; one for each stride."""
    for stride in sorted({setting.output_stride for setting in wanted}, reverse=True):
        model = runs.load_model(run, output_stride=stride)
        own = [setting for setting in wanted if setting.output_stride == stride]
        own.sort(key=functools.partial(_multiply_adds, model, size))
        prepare = functools.partial(_prepare, str(run.path), own, size)
        measured = timing.in_fresh_process(
            prepare, timing.all_threads(), _TIMED, f"output stride {stride}"
        )
        yield from zip(own, itertools.repeat(model), measured, strict=False)


def _multiply_adds(model: keras.Model, size: tuple[int, int], setting: Setting) -> int:
    passes = sum(
        cost.multiply_adds(model, *(max(1, int(side * scale)) for side in size))
        for scale in setting.scales
    )
    return passes * (2 if setting.flip else 1)


def _predictor(model: keras.Model, setting: Setting) -> predictor.ModelPredictor:
    return predictor.make_predictor(
        model, scales=setting.scales, flip=setting.flip, frozen=True
    )


def _prepare(
    run_dir: str, wanted: Sequence[Setting], size: tuple[int, int]
) -> Iterator[Callable[[], object]]:
    """The calls that are timed, of one output stride, in the process that does it."""
    run = runs.open_run(run_dir)
    model = runs.load_model(run, output_stride=wanted[0].output_stride)
    picture = timing.random_picture(*size, run.info.channels)
    for setting in wanted:
        yield functools.partial(_predictor(model, setting).labels, picture)


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


def advice(points: Sequence[Point], budget_ms: float) -> str:
    """Which setting to take: the best that is quick enough, of equals the quickest."""
    within = [point for point in points if point.milliseconds <= budget_ms]
    if not within:
        fastest = min(points, key=lambda point: point.milliseconds)
        return (
            f"None takes {budget_ms:g} ms or less. The quickest is "
            f"{fastest.setting} ({fastest.milliseconds:.0f} ms); a smaller --size, an "
            "int8 file (export/to_tflite.py --quantize=int8) or a narrower network "
            "(--model.depth_multiplier=0.5) takes less."
        )
    best = max(within, key=lambda point: (point.miou, -point.milliseconds))
    return (
        f"Within {budget_ms:g} ms take {best.setting}: mIoU {best.miou:.4f}, "
        f"{best.milliseconds:.0f} ms."
    )
