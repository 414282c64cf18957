"""What each picture adds to the scores: for the worst, for comparing runs."""

import dataclasses
import json
import pathlib
from collections.abc import Iterable

import numpy as np

from deeplab_tf import files
from deeplab_tf.errors import UserError
from deeplab_tf.evaluation import boundary, metrics, significance

# A pixel that may be labelled wrongly: the model is so sure of another class, and no
# other label is so near (pixels).
SUSPECT_CONFIDENCE = 0.9
SUSPECT_DISTANCE = 4
_CONFUSED_PAIRS = 3  # kept for each picture


@dataclasses.dataclass(frozen=True, kw_only=True)
class PictureScore:
    """What one picture adds to the scores.

    Attributes:
      index: place in the split.
      name: file name in the data set.
      miou: of its own classes; None where all is void.
      suspect: share of its valid pixels that the model confidently calls another
        class, away from boundaries; None where the confidence was not taken or all
        is void.
      classes: [class, right, labelled, predicted pixels] for those that occur.
      confused: [label, prediction, pixels], the most frequent confusions.
    """

    index: int
    name: str
    miou: float | None
    suspect: float | None
    classes: list[list[int]]
    confused: list[list[int]]


def score(
    index: int, name: str, matrix: np.ndarray, suspect: np.ndarray | None
) -> PictureScore:
    """Scores a picture by its confusion matrix [K, K] and its `suspects`."""
    pixels = metrics.class_pixels(matrix)
    confusions = matrix - np.diag(np.diag(matrix))
    most = np.argsort(-confusions, axis=None, kind="stable")[:_CONFUSED_PAIRS]
    pairs = np.unravel_index(most, matrix.shape)
    return PictureScore(
        index=index,
        name=name,
        miou=metrics.figure(metrics.mean_iou(pixels)),
        suspect=None
        if suspect is None or not matrix.any()
        else round(float(suspect.sum() / matrix.sum()), 6),
        classes=[
            [int(c), *pixels[:, c].tolist()] for c in np.flatnonzero(pixels.any(0))
        ],
        confused=[
            [int(label), int(prediction), int(confusions[label, prediction])]
            for label, prediction in zip(*pairs, strict=True)
            if confusions[label, prediction]
        ],
    )


def suspects(
    labels: np.ndarray,
    predictions: np.ndarray,
    confidence: np.ndarray,
    ignore_label: int,
) -> np.ndarray:
    """Pixels that may be labelled wrongly, bool [H, W].

    The model is sure of another class (`SUSPECT_CONFIDENCE`), and all the labels near
    (`SUSPECT_DISTANCE`, along, across or diagonally) are the same.
    """
    wrong = (labels != predictions) & (confidence > SUSPECT_CONFIDENCE)
    wrong &= labels != ignore_label
    if not wrong.any():
        return wrong
    return wrong & boundary.interior(labels, SUSPECT_DISTANCE)


def save(path: pathlib.Path, pictures: Iterable[PictureScore]) -> None:
    """Writes a JSON line for each picture."""
    lines = [json.dumps(dataclasses.asdict(picture)) + "\n" for picture in pictures]
    with files.replacing(path) as temporary:
        temporary.write_text("".join(lines))


def load(path: pathlib.Path) -> list[PictureScore]:
    """Reads what `save` wrote; raises UserError if it cannot be."""
    try:
        lines = path.read_text().splitlines()
        return [PictureScore(**json.loads(line)) for line in lines]
    except FileNotFoundError:
        raise UserError(
            f"{path}: no such file; run `python -m deeplab_tf.eval` on that run first."
        ) from None
    except (ValueError, TypeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); run eval anew.") from None


def class_pixels(pictures: Iterable[PictureScore], num_classes: int) -> np.ndarray:
    """`metrics.class_pixels` of each picture, int64 [N, 3, K]."""
    pictures = list(pictures)
    pixels = np.zeros([len(pictures), 3, num_classes], np.int64)
    for number, picture in enumerate(pictures):
        for label, *counts in picture.classes:
            pixels[number, :, label] = counts
    return pixels


def compare(
    first: list[PictureScore], second: list[PictureScore], num_classes: int
) -> significance.Comparison:
    """The paired test of two evaluations; raises UserError if pictures differ."""
    names, others = ([picture.name for picture in run] for run in (first, second))
    if names != others:
        raise UserError(
            f"the runs were evaluated on different pictures: {len(names)} and "
            f"{len(others)}; evaluate both on the same split of the same data set "
            "(--dataset_dir)."
        )
    return significance.compare(
        class_pixels(first, num_classes), class_pixels(second, num_classes)
    )
