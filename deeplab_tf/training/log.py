"""What a training run tells: one live line, metrics.jsonl, TensorBoard, trackers."""

import json
import sys
import time
import types
from collections.abc import Mapping
from typing import Self

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from deeplab_tf import cli, files
from deeplab_tf.data import reading
from deeplab_tf.evaluation import metrics
from deeplab_tf.files import Json
from deeplab_tf.inference import coloring
from deeplab_tf.inference.predictor import Predictor
from deeplab_tf.runs import Run
from deeplab_tf.training import choices
from deeplab_tf.training.tracking import Tracking

_PACE_STEPS = 6  # of a process, the first excluded, tell how fast it is
_PICTURES = 4  # shown in TensorBoard after each evaluation


class RunLog:
    """Writes the course of a run; use it in a `with` statement.

    metrics.jsonl has a line {"step", "loss", "gradient_norm", "learning_rate",
    "images_per_second"} each logged step and {"step", "miou", ...} each evaluation.
    Lines after `start_step` are dropped first: a resumed run writes them again.

    Args:
      run: the run.
      start_step: steps done before.
      writes: False in all workers but the first, which stay silent.
    """

    def __init__(self, run: Run, start_step: int, writes: bool = True) -> None:
        self._run = run
        self._writes = writes
        self._batch_size = run.config.train.batch_size
        self._profiling = False
        self._since = (time.perf_counter(), start_step)
        self._first: tuple[float, int] | None = None  # time and step
        self._told = False
        if not writes:
            return
        self._path = run.path / "metrics.jsonl"
        self._drop_after(start_step)
        self._events = tf.summary.create_file_writer(str(run.path / "events"))
        self._tracking = Tracking(run)
        self._bar = tqdm(
            total=run.config.train.steps * self._batch_size,
            initial=start_step * self._batch_size,
            unit="img",
            mininterval=cli.interval(),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: types.TracebackType | None,
    ) -> None:
        if self._profiling:
            tf.profiler.experimental.stop()
        if self._writes:
            self._bar.close()
            self._events.close()
            self._tracking.end(error)

    def advance(self, step: int, loss: float) -> None:
        """Moves the live line to a step."""
        if not self._writes:
            return
        total = self._run.config.train.steps
        self._bar.set_description(f"step {step}/{total} loss {loss:.4f}", refresh=False)
        self._bar.update(step * self._batch_size - self._bar.n)
        now = time.perf_counter()
        if self._first is None:
            self._first = (now, step)
        elif not self._told and step - self._first[1] >= _PACE_STEPS:
            self._told = True
            self._tell_of_days((now - self._first[0]) / (step - self._first[1]), step)

    def _tell_of_days(self, step_seconds: float, step: int) -> None:
        """The bar shows the time left; where that is days, what would be shorter."""
        config = self._run.config
        left = config.replace({"train.steps": max(1, config.train.steps - step)})
        pace = choices.pace_of([step_seconds], start_seconds=0, evaluation_seconds=0)
        if choices.is_long(left, pace):
            tqdm.write(choices.forecast(left, pace), file=sys.stderr)

    def step(self, step: int, values: dict[str, float]) -> None:
        """Writes a training step: loss, learning rate and the like by name."""
        if not self._writes:
            return
        now, (then, last) = time.perf_counter(), self._since
        rate = (step - last) * self._batch_size / (now - then)
        self._since = (now, step)
        self._write(step, "train", {**values, "images_per_second": round(rate, 2)})

    def profile(self, step: int) -> None:
        """Starts or ends the profile that the config asks for, before a step."""
        wanted = self._run.config.train.profile_steps
        if not wanted or not self._writes:
            return
        if not self._profiling and wanted[0] <= step + 1 <= wanted[1]:
            tf.profiler.experimental.start(str(self._run.path / "events"))
            self._profiling = True
        elif self._profiling and step + 1 > wanted[1]:
            tf.profiler.experimental.stop()
            self._profiling = False

    def evaluation(self, step: int, result: Json, predict: Predictor) -> None:
        """Writes an evaluation and draws some of its pictures."""
        split = result["split"]
        values = {key: result[key] for key in ("miou", "pixel_accuracy")}
        self._write(step, split, values, per_class_iou=result["per_class_iou"])
        matrix = coloring.matrix_image(np.array(result["confusion_matrix"]))
        self._tell(step, f"{split}_iou", result["per_class_iou"])
        self._tracking.evaluated(result)
        with self._events.as_default(step):
            tf.summary.image(f"{split}/confusion_matrix", matrix[None])
            for number, picture in enumerate(self._pictures(split, predict)):
                tf.summary.image(f"{split}/{number}", picture[None])
        tqdm.write(
            f"step {step}: {split} mIoU {metrics.text(result['miou'])}, pixel accuracy "
            f"{metrics.text(result['pixel_accuracy'])}",
            file=sys.stderr,
        )
        self._since = (time.perf_counter(), step)

    def _pictures(self, split: str, predict: Predictor) -> list[np.ndarray]:
        info, data = self._run.info, self._run.config.data
        examples = reading.read_split(data.dataset_dir, info, split, count=_PICTURES)
        return [
            coloring.side_by_side(
                example["image"].numpy(),
                predict.probabilities(example["image"][None])[0].numpy().argmax(-1),
                info.colormap,
                example["labels"].numpy(),
            )
            for example in examples
        ]

    def _write(
        self, step: int, group: str, values: dict[str, float | None], **more: object
    ) -> None:
        with self._path.open("a") as file:
            file.write(json.dumps({"step": step, **values, **more}) + "\n")
        self._tell(step, group, values)

    def _tell(self, step: int, group: str, values: Mapping[str, float | None]) -> None:
        """Tells TensorBoard and the trackers."""
        known = {f"{group}/{n}": v for n, v in values.items() if v is not None}
        with self._events.as_default(step):
            for name, value in known.items():
                tf.summary.scalar(name, value)
        self._tracking.log(step, known)

    def _drop_after(self, start_step: int) -> None:
        if not self._path.exists():
            return
        kept = []
        for line in self._path.read_text().splitlines():
            try:
                keep = json.loads(line)["step"] <= start_step
            except (ValueError, KeyError):
                keep = False  # the half line of a killed run
            if keep:
                kept.append(line + "\n")
        with files.replacing(self._path) as temporary:
            temporary.write_text("".join(kept))
