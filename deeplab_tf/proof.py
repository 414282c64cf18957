"""Measures whether an exported model keeps what the Keras model promises."""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Sequence

import keras
import numpy as np
import tensorflow as tf

from deeplab_tf import evaluation
from deeplab_tf import run as runs
from deeplab_tf.artefact import Artefact, to_labels
from deeplab_tf.errors import UserError
from deeplab_tf.inference import make_predictor
from deeplab_tf.run import Run

# Of a format that computes in float32.
MIN_PIXEL_AGREEMENT = 0.999
MAX_RELATIVE_DIFFERENCE = 1e-3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Agreement:
    """How near an artefact is to Keras, over the pixels of some pictures.

    Attributes:
      num_pictures: compared.
      pixel_agreement: share of pixels of the same class.
      max_difference, mean_difference: of the logits; None where the artefact gives
        none.
      logit_range: highest less lowest of Keras' logits.
    """

    num_pictures: int
    pixel_agreement: float
    max_difference: float | None
    mean_difference: float | None
    logit_range: float

    def require_float(self, what: str) -> None:
        """Raises UserError unless this is as good as float32 rounding allows."""
        difference = self.max_difference or 0.0
        limit = MAX_RELATIVE_DIFFERENCE * self.logit_range
        # Written so that a difference that is no number fails.
        if not (self.pixel_agreement >= MIN_PIXEL_AGREEMENT and difference <= limit):
            raise UserError(
                f"{what} differs from the Keras model and was not written: {self}."
            )

    def __str__(self) -> str:
        text = f"{self.pixel_agreement:.4%} of the pixels agree"
        if self.max_difference is not None:
            text += f", logits differ by at most {self.max_difference:.2g}"
            text += f" of a range of {self.logit_range:.3g}"
        return f"{text} ({self.num_pictures} pictures)"


def sample_pictures(
    run: Run, count: int, dataset_dir: str | None = None
) -> list[np.ndarray]:
    """The first pictures of the run's evaluation split, each [H, W, C].

    Where the data set is gone, smooth random pictures of odd and even sizes.
    """
    try:
        folder, info = runs.dataset(run, dataset_dir)
    except UserError:
        return random_pictures(run.info.channels, count)
    examples = evaluation.read_split(
        folder, info, run.config.data.eval_split, "read pictures"
    )
    return [example["image"].numpy() for example in itertools.islice(examples, count)]


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
    artefact: Artefact,
    pictures: Iterable[np.ndarray],
    *,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
) -> Agreement:
    """Runs both on the same pictures, each fitted to the artefact's size.

    Pixels that fitting added are left out.

    Args:
      model: float32 [B, H, W, C] -> logits [B, H, W, K].
      artefact: exported from it.
      pictures: each [H, W, C]; at least one.
      scales: over which the artefact averages its labels' probabilities.
      flip: whether it averages with the mirrored picture, too.
    """
    expect = _make_expect(model, scales, flip)
    agreeing, sizes, differences, bounds = 0, [], [], []
    for picture in pictures:
        fitted, box = artefact.fit(picture)
        logits, labels = (value[0][box] for value in expect(fitted))
        outputs = {name: y[0][box] for name, y in artefact.call(fitted).items()}
        agreeing += int((labels == to_labels(outputs)).sum())
        sizes.append(labels.size)
        bounds += [logits.min(), logits.max()]
        if "logits" in outputs:
            difference = np.abs(outputs["logits"] - logits)
            differences.append((difference.max(), difference.mean()))
    largest, means = np.array(differences).T if differences else (None, None)
    return Agreement(
        num_pictures=len(sizes),
        pixel_agreement=agreeing / sum(sizes),
        max_difference=None if largest is None else float(largest.max()),
        mean_difference=None
        if means is None
        else float(np.average(means, weights=sizes)),
        logit_range=float(max(bounds) - min(bounds)),
    )


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
        scores = predict(pictures) if predict else logits
        return logits, tf.argmax(scores, -1, output_type=tf.int32)

    return lambda pictures: tuple(y.numpy() for y in call(np.float32(pictures)))
