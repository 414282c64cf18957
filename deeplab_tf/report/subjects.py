"""What a run folder tells of a run, for the report."""

import dataclasses
import json
import pathlib
import statistics
from typing import Any

from deeplab_tf import files
from deeplab_tf.evaluation import image_scores
from deeplab_tf.evaluation.image_scores import PictureScore
from deeplab_tf.network import cost
from deeplab_tf.network.deeplab import build_model
from deeplab_tf.runs import Run


@dataclasses.dataclass(frozen=True, kw_only=True)
class Subject:
    """A run and what is known of it.

    Attributes:
      name: the run folder's.
      run: the run.
      log: lines of metrics.jsonl.
      result: what eval wrote for the split.
      pictures: the scores of each picture.
      parameters: of the model.
      multiply_adds: for a picture of the size of the training crop.
      gallery: HTML of its pictures; empty: none to show.
    """

    name: str
    run: Run
    log: list[dict[str, Any]]
    result: dict[str, Any]
    pictures: list[PictureScore]
    parameters: int
    multiply_adds: int
    gallery: str = ""

    @property
    def calibration_error(self) -> float | None:
        """Expected calibration error, where it was taken."""
        return self.result.get("calibration", {}).get("expected_calibration_error")

    @property
    def speed(self) -> float | None:
        """Pictures a second of the evaluation, all of it."""
        seconds = self.result.get("seconds")
        return self.result["num_images"] / seconds if seconds else None

    @property
    def training_speed(self) -> float | None:
        """Median of the pictures a second of training, over all devices."""
        key = "images_per_second"
        rates = [line[key] for line in self.log if key in line]
        return statistics.median(rates) if rates else None

    @property
    def evaluated(self) -> str:
        """With which settings, in words."""
        keys = ("checkpoint", "output_stride", "scales", "flip", "tile_size")
        known = {key: self.result[key] for key in keys if self.result.get(key)}
        return ", ".join(f"{key} {value}" for key, value in known.items())

    def boundary(self, name: str) -> float | None:
        """A figure of `BoundaryCounter.result`, where it was taken."""
        return self.result.get("boundary", {}).get(name)


def read(run: Run, split: str, name: str) -> Subject:
    """Reads what training and evaluation left in the run folder.

    Raises:
      UserError: the run was not evaluated on the split.
    """
    config, info = run.config, run.info
    model = build_model(config.model, info.num_classes, channels=info.channels)
    path = run.path / "eval" / f"{split}.json"
    remedy = f"run `python -m deeplab_tf.eval --run_dir={run.path}` first."
    return Subject(
        name=name,
        run=run,
        log=_read_log(run.path / "metrics.jsonl"),
        result=files.read_json(path, remedy),
        pictures=image_scores.load(path.with_suffix(".pictures.jsonl")),
        parameters=cost.parameters(model.trainable_variables),
        multiply_adds=cost.multiply_adds(model, *config.data.crop_size),
    )


def _read_log(path: pathlib.Path) -> list[dict[str, Any]]:
    """The lines that are whole; empty without a file, as for imported weights."""
    if not path.exists():
        return []
    lines = []
    for line in path.read_text().splitlines():
        try:
            lines.append(json.loads(line))
        except ValueError:
            continue  # the half line of a run that is still training
    return [line for line in lines if isinstance(line, dict) and "step" in line]
