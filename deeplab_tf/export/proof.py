"""Measures whether an exported model keeps what the Keras model promises."""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from deeplab_tf import runs
from deeplab_tf.data import reading
from deeplab_tf.data.dataset_info import DatasetInfo
from deeplab_tf.errors import UserError
from deeplab_tf.evaluation import metrics
from deeplab_tf.export.tflite import inspection
from deeplab_tf.inference import timing
from deeplab_tf.inference.exported import Export, restore, to_labels
from deeplab_tf.inference.predictor import make_predictor
from deeplab_tf.runs import Run

Example = tuple[np.ndarray, np.ndarray | None]  # picture [H, W, C], labels [H, W]

# Of a format that computes in float32.
MIN_PIXEL_AGREEMENT = 0.999
MAX_RELATIVE_DIFFERENCE = 1e-3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Agreement:
    """How near an export is to Keras, over the pixels of some pictures.

    Attributes:
      num_pictures: compared.
      pixel_agreement: share of pixels of the same class.
      max_difference, mean_difference: of the logits; None where the export gives
        none.
      logit_range: highest less lowest of Keras' logits.
      keras_miou, miou: against the labels of the same pictures; None without labels.
    """

    num_pictures: int
    pixel_agreement: float
    max_difference: float | None
    mean_difference: float | None
    logit_range: float
    keras_miou: float | None = None
    miou: float | None = None

    @property
    def miou_drop(self) -> float:
        """What the export loses of Keras' mIoU; 0 without labels."""
        if self.miou is None or self.keras_miou is None:
            return 0.0
        return self.keras_miou - self.miou

    def require_float(self, what: str) -> None:
        """Raises UserError unless this is as good as float32 rounding allows."""
        limit = MAX_RELATIVE_DIFFERENCE * self.logit_range
        self._require(
            what,
            self.pixel_agreement >= MIN_PIXEL_AGREEMENT
            and (self.max_difference or 0.0) <= limit,
        )

    def require_miou(self, what: str, max_drop: float) -> None:
        """Raises UserError if the logits are no numbers or mIoU fell by more."""
        is_finite = bool(np.isfinite(self.max_difference or 0.0))
        self._require(what, is_finite and self.miou_drop <= max_drop)

    def _require(self, what: str, condition: bool) -> None:
        if not condition:
            raise UserError(f"{what} is worse than Keras and was not written: {self}.")

    def __str__(self) -> str:
        text = f"{self.pixel_agreement:.4%} of the pixels agree"
        if self.max_difference is not None:
            text += f", logits differ by at most {self.max_difference:.2g}"
            text += f" of a range of {self.logit_range:.3g}"
        if self.miou is not None:
            text += f", mIoU {self.miou:.4f} instead of {self.keras_miou:.4f}"
        return f"{text} ({self.num_pictures} pictures)"


def sample(
    run: Run, count: int, split: str | None = None, dataset_dir: str | None = None
) -> list[Example]:
    """The first pictures of a split of the run's data set, with their labels.

    Where the data set is gone, smooth random pictures of odd and even sizes.

    Args:
      run: the run.
      count: at most so many.
      split: None: the split that the run was evaluated on.
      dataset_dir: the folder of the shards, where it moved.
    """
    split = split or run.config.data.eval_split
    try:
        folder, info = runs.dataset(run, dataset_dir)
        has_labels = info.split(split).has_labels
    except UserError:
        if dataset_dir is not None:
            raise
        return [
            (picture, None) for picture in random_pictures(run.info.channels, count)
        ]
    examples = reading.read_split(folder, info, split, "read pictures")
    return [
        (example["image"].numpy(), example["labels"].numpy() if has_labels else None)
        for example in itertools.islice(examples, count)
    ]


def random_pictures(channels: int, count: int) -> list[np.ndarray]:
    """Smooth random pictures, uint8 [H, W, channels], of odd and even sizes."""
    rng = np.random.default_rng(0)
    pictures = []
    for height, width in rng.integers(97, 257, (count, 2)):
        coarse = rng.uniform(0, 255, (6, 6, channels))
        smooth = tf.image.resize(coarse, [height, width], "bicubic").numpy()
        pictures.append(np.clip(smooth, 0, 255).astype(np.uint8))
    return pictures


def compare(
    model: keras.Model,
    export: Export,
    examples: Iterable[Example],
    info: DatasetInfo,
    *,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
) -> Agreement:
    """Runs both on the same pictures, each fitted to the export's size.

    Pixels that fitting added are left out.

    Args:
      model: float32 [B, H, W, C] -> logits [B, H, W, K].
      export: exported from it.
      examples: pictures and, where known, labels; at least one.
      info: the data set's classes.
      scales: over which the export averages its labels' probabilities.
      flip: whether it averages with the mirrored picture, too.
    """
    expect = _make_expect(model, scales, flip)
    agreeing, sizes, differences, bounds = 0, [], [], []
    matrices = np.zeros([2] + [info.num_classes] * 2, np.int64)
    for picture, truth in examples:
        fitted, box = export.fit(picture)
        logits, labels = (value[0][box] for value in expect(fitted))
        outputs = {
            name: y[0][box]
            for name, y in export.runner(fitted, export.runner.names).items()
        }
        given = to_labels(outputs)
        agreeing += int((labels == given).sum())
        sizes.append(labels.size)
        bounds += [logits.min(), logits.max()]
        if "logits" in outputs:
            difference = np.abs(outputs["logits"] - logits)
            differences.append((difference.max(), difference.mean()))
        if truth is not None:
            for matrix, predicted in zip(matrices, (labels, given), strict=True):
                matrix += _confusion(truth, predicted, info)
    largest, means = np.array(differences).T if differences else (None, None)
    return Agreement(
        num_pictures=len(sizes),
        pixel_agreement=agreeing / sum(sizes),
        max_difference=None if largest is None else float(largest.max()),
        mean_difference=None
        if means is None
        else float(np.average(means, weights=sizes)),
        logit_range=float(max(bounds) - min(bounds)),
        keras_miou=_miou(matrices[0], info),
        miou=_miou(matrices[1], info),
    )


def _confusion(truth: np.ndarray, labels: np.ndarray, info: DatasetInfo) -> np.ndarray:
    restored = restore(labels, truth.shape)
    return metrics.confusion_matrix(
        truth, restored, info.num_classes, info.ignore_label
    )


def _miou(matrix: np.ndarray, info: DatasetInfo) -> float | None:
    if not matrix.any():
        return None
    return metrics.scores(matrix).to_dict(info.class_names)["miou"]


def report(
    export: Export, agreement: Agreement, run: Run, *, measure: bool = True
) -> dict[str, Any]:
    """What the file beside an export says: size, agreement, speed, operations.

    Args:
      export: the export.
      agreement: what `compare` found.
      run: the run.
      measure: runs it on one thread and on all, in processes of their own, at the
        export's size or the run's crop; on this machine, as busy as it is.
    """
    path = str(export.path)
    height, width = run.config.data.crop_size
    size = export.nearest_size((height, width))
    threads = sorted({1, timing.all_threads()}) if measure else []
    result = {
        "format": export.format,
        "num_bytes": export.num_bytes,
        "agreement": dataclasses.asdict(agreement),
        "size": size,
        "speed": [
            timing.measure(path, size, run.info.channels, num_threads)
            for num_threads in threads
        ],
    }
    if export.format == "TFLite":
        kinds = inspection.operations(export.path.read_bytes())
        result["operations"] = [dataclasses.asdict(kind) for kind in kinds]
    return result


def _make_expect(
    model: keras.Model, scales: Sequence[float], flip: bool
) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Keras' logits and labels of pictures [1, H, W, C]."""
    spec = tf.TensorSpec(model.input_shape, tf.float32)
    averages = flip or tuple(scales) != (1.0,)
    predict = make_predictor(model, scales=scales, flip=flip) if averages else None

    @tf.function(input_signature=[spec])
    def call(pictures: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        logits = model(pictures, training=False)
        scores = predict.probabilities(pictures) if predict else logits
        return logits, tf.argmax(scores, -1, output_type=tf.int32)

    return lambda pictures: tuple(y.numpy() for y in call(np.float32(pictures)))
