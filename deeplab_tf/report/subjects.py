"""What a run folder tells of a run, for the report."""

import dataclasses
import json
import statistics
from collections.abc import Mapping

from deeplab_tf import files
from deeplab_tf.data.dataset_info import DatasetInfo
from deeplab_tf.evaluation import class_subset, image_scores
from deeplab_tf.evaluation.image_scores import PictureScore
from deeplab_tf.files import Json
from deeplab_tf.network import cost
from deeplab_tf.network.deeplab import build_model
from deeplab_tf.report import history
from deeplab_tf.report.gallery import Gallery
from deeplab_tf.runs import Run


@dataclasses.dataclass(frozen=True, kw_only=True)
class Subject:
    """A run and what is known of it.

    Attributes:
      name: the run folder's.
      run: the run.
      info: the data set in whose classes it was scored: its own, or that of a run that
        it is compared to and that knows fewer.
      log: lines of metrics.jsonl.
      result: what eval wrote for the split; None is a score of nothing.
      pictures: the scores of each picture.
      parameters: of the model.
      multiply_adds: for a picture of the size of the training crop.
      gallery: its pictures by heading; empty: none to show.
    """

    name: str
    run: Run
    info: DatasetInfo
    log: list[Json]
    result: Json
    pictures: list[PictureScore]
    parameters: int
    multiply_adds: int
    gallery: Gallery = dataclasses.field(default_factory=dict)

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

    @property
    def manner(self) -> str:
        """How it was evaluated, where not plainly: the scores depend on it."""
        result, stride = self.result, self.run.config.model.output_stride
        scales = result.get("scales", [1.0])
        parts = [
            f"scales {', '.join(map(str, scales))}" if scales != [1.0] else "",
            "with the mirrored image" if result.get("flip") else "",
            f"tiles of {result['tile_size']}" if result.get("tile_size") else "",
            f"output stride {result['output_stride']}"
            if result.get("output_stride", stride) not in (None, stride)
            else "",
        ]
        return ", ".join(filter(None, parts))

    @property
    def classes_left_out(self) -> list[str]:
        """Which it knows and was not scored in, as another run does not know them."""
        return self.result.get("classes_left_out", [])

    @property
    def interval(self) -> list[float | None] | None:
        """Of the mIoU, where it was taken."""
        return self.result.get("miou_interval")

    @property
    def class_columns(self) -> dict[str, Mapping[str, float | None]]:
        """The scores of each class by the heading of their column."""
        result, boundary = self.result, self.result.get("boundary", {})
        return {
            "IoU": result["per_class_iou"],
            "precision": result["per_class_precision"],
            "recall": result["per_class_recall"],
            "F1": result["per_class_f1"],
            "boundary IoU": boundary.get("per_class_boundary_iou", {}),
            "boundary F1": boundary.get("per_class_boundary_f1", {}),
        }

    @property
    def class_shares(self) -> list[float]:
        """Each class's share of the labelled pixels."""
        counts = [sum(row) for row in self.result["confusion_matrix"]]
        return [count / max(1, sum(counts)) for count in counts]

    @property
    def class_calibration(self) -> Mapping[str, float | None]:
        """Calibration error of the pixels predicted as each class."""
        return self.result.get("calibration", {}).get("per_class_calibration_error", {})

    @property
    def run_json(self) -> str:
        """The content of run.json."""
        return json.dumps(self.run.to_dict(), indent=1)

    def boundary(self, name: str) -> float | None:
        """A figure of `BoundaryCounter.result`, where it was taken."""
        return self.result.get("boundary", {}).get(name)


def read(run: Run, split: str, scorer: Run) -> Subject:
    """Reads what training and evaluation left in the run folder.

    Args:
      run: the run.
      split: that it was evaluated on.
      scorer: the run in whose classes; mostly the same.

    Raises:
      UserError: the run was not evaluated on the split.
    """
    config, info = run.config, run.info
    model = build_model(config.model, info.num_classes, channels=info.channels)
    suffix = class_subset.file_suffix(run, scorer)
    path = run.path / "eval" / f"{split}{suffix}.json"
    command = f"python -m deeplab_tf.eval --run_dir={run.path}"
    command += f" --compare_to={scorer.path}" if suffix else ""
    remedy = f"run `{command}` first."
    return Subject(
        name=run.path.resolve().name,
        run=run,
        info=scorer.info,
        log=history.read(run.path / "metrics.jsonl"),
        result=history.known(files.read_json(path, remedy)),
        pictures=image_scores.load(path.with_suffix(".pictures.jsonl")),
        parameters=cost.parameters(model.trainable_variables),
        multiply_adds=cost.multiply_adds(model, *config.data.crop_size),
    )
