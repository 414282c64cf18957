"""How near an export is to Keras: pixels, logits, mIoU."""

import dataclasses
from collections.abc import Callable, Iterable, Sequence

import keras
import numpy as np
import tensorflow as tf

from deeplab_tf.data.dataset_info import DatasetInfo
from deeplab_tf.errors import UserError
from deeplab_tf.evaluation import metrics
from deeplab_tf.inference.exported import Export, restore, to_labels
from deeplab_tf.inference.predictor import make_predictor

Example = tuple[np.ndarray, np.ndarray | None]  # picture [H, W, C], labels [H, W]
Expect = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]

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
      own_size_miou: Keras' mIoU with each picture at its own size, as the eval
        command measures it; None without labels.
      num_shrunk: pictures that are larger than the export takes.
    """

    num_pictures: int
    pixel_agreement: float
    max_difference: float | None
    mean_difference: float | None
    logit_range: float
    keras_miou: float | None = None
    miou: float | None = None
    own_size_miou: float | None = None
    num_shrunk: int = 0

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
        text = f"{text} ({self.num_pictures} pictures)"
        own = self.own_size_miou
        if own is not None and self.keras_miou not in (None, own):
            text += f"; {own:.4f} by Keras at the pictures' own size, so the fixed size"
            cost = round(own - self.keras_miou, 4)
            verb = "gains" if cost < 0 else "costs"
            text += f" {verb} {abs(cost):.4f}" if cost else " costs nothing"
        return text

    @property
    def warning(self) -> str:
        """What is lost by the size; empty: nothing is shrunk."""
        if not self.num_shrunk:
            return ""
        return (
            f"{self.num_shrunk} of {self.num_pictures} pictures are larger than the "
            "export takes and are shrunk to fit; a larger --input_size does without."
        )


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
    count = _Count(info)
    for picture, truth in examples:
        count.add(expect, export, picture, truth)
    return count.agreement()


class _Count:
    """All sums of a comparison."""

    def __init__(self, info: DatasetInfo) -> None:
        self._info = info
        self._agreeing = self._num_shrunk = 0
        self._sizes: list[int] = []
        self._differences: list[tuple[float, float]] = []
        self._bounds: list[float] = []
        # Of Keras, of the export, of Keras with each picture at its own size.
        self._matrices = np.zeros([3] + [info.num_classes] * 2, np.int64)

    def add(
        self,
        expect: Expect,
        export: Export,
        picture: np.ndarray,
        truth: np.ndarray | None,
    ) -> None:
        fitted, box = export.fit(picture)
        logits, labels = (value[0][box] for value in expect(fitted))
        given = export.runner(fitted, export.runner.names)
        outputs = {name: y[0][box] for name, y in given.items()}
        found = to_labels(outputs)
        self._agreeing += int((labels == found).sum())
        self._num_shrunk += labels.shape != picture.shape[:2]
        self._sizes.append(labels.size)
        self._bounds += [logits.min(), logits.max()]
        if "logits" in outputs:
            difference = np.abs(outputs["logits"] - logits)
            self._differences.append((difference.max(), difference.mean()))
        if truth is not None:
            is_fixed = fitted.shape[1:3] != picture.shape[:2]
            own = expect(picture[None])[1][0] if is_fixed else labels
            self._score(truth, (labels, found, own))

    def _score(self, truth: np.ndarray, predictions: Iterable[np.ndarray]) -> None:
        info = self._info
        for matrix, labels in zip(self._matrices, predictions, strict=True):
            restored = restore(labels, truth.shape)
            matrix += metrics.confusion_matrix(
                truth, restored, info.num_classes, info.ignore_label
            )

    def agreement(self) -> Agreement:
        largest = mean = None
        if self._differences:
            maxima, means = np.array(self._differences).T
            largest = float(maxima.max())
            mean = float(np.average(means, weights=self._sizes))
        keras_miou, miou, own = (_miou(m, self._info) for m in self._matrices)
        return Agreement(
            num_pictures=len(self._sizes),
            pixel_agreement=self._agreeing / sum(self._sizes),
            max_difference=largest,
            mean_difference=mean,
            logit_range=float(max(self._bounds) - min(self._bounds)),
            keras_miou=keras_miou,
            miou=miou,
            own_size_miou=own,
            num_shrunk=self._num_shrunk,
        )


def _miou(matrix: np.ndarray, info: DatasetInfo) -> float | None:
    if not matrix.any():
        return None
    return metrics.scores(matrix).to_dict(info.class_names)["miou"]


def _make_expect(model: keras.Model, scales: Sequence[float], flip: bool) -> Expect:
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
