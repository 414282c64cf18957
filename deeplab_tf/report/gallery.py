"""The report's pictures: best and worst, confusions, labels that may be wrong."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from deeplab_tf.data import reading
from deeplab_tf.data.dataset_info import DatasetInfo
from deeplab_tf.evaluation import evaluate, image_scores
from deeplab_tf.evaluation.image_scores import PictureScore
from deeplab_tf.inference import coloring
from deeplab_tf.inference.predictor import Predictor
from deeplab_tf.report import page

_SUSPECT_COLOR = (255, 0, 220)
_MIN_SUSPECT = 0.001  # share of a picture's pixels
Chosen = tuple[PictureScore, str]  # a picture and why it is shown


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shown:
    """A picture in the page.

    Attributes:
      name: file name in the data set.
      why: it is shown.
      source: address of the drawing.
      width: of the drawing in pixels.
      height: likewise.
    """

    name: str
    why: str
    source: str
    width: int
    height: int


Gallery = dict[str, list[Shown]]  # by heading


def choose(
    pictures: Sequence[PictureScore], info: DatasetInfo, count: int
) -> dict[str, list[Chosen]]:
    """Which pictures to show under which heading, `count` under each at most."""
    scored = [picture for picture in pictures if picture.miou is not None]
    ranked = sorted(scored, key=lambda picture: picture.miou or 0.0)
    doubtful = sorted(scored, key=lambda picture: -(picture.suspect or 0.0))[:count]
    return {
        "Examples": [(one, _score(one)) for one in _spread(ranked or pictures, count)],
        "Worst": [(one, _score(one)) for one in ranked[:count]],
        "Best": [(one, _score(one)) for one in ranked[count:][-count:][::-1]],
        "Most confused": _confused(pictures, info)[:count],
        "Labels to check": [
            (one, f"{100 * one.suspect:.1f} % of the pixels")
            for one in doubtful
            if one.suspect is not None and one.suspect >= _MIN_SUSPECT
        ],
    }


def _spread(ranked: Sequence[PictureScore], count: int) -> list[PictureScore]:
    """As many from equal parts of the list, the middle of each."""
    count = min(count, len(ranked))
    return [ranked[int((i + 0.5) * len(ranked) / count)] for i in range(count)]


def _score(one: PictureScore) -> str:
    return "no labelled pixel" if one.miou is None else f"mIoU {one.miou:.3f}"


def draw(
    chosen: Mapping[str, Sequence[Chosen]],
    predict: Predictor,
    dataset_dir: str,
    info: DatasetInfo,
    split: str,
) -> Gallery:
    """Predicts the chosen pictures and draws them.

    Args:
      chosen: what `choose` gave.
      predict: labels pictures.
      dataset_dir: folder of the shards.
      info: its dataset.json.
      split: that the pictures are numbered in.
    """
    wanted = {one.index for group in chosen.values() for one, _ in group}
    drawn = {
        index: _panels(example, predict, info)
        for index, example in _examples(dataset_dir, info, split, wanted)
    }
    return {
        title: [_shown(drawn[one.index], one.name, why) for one, why in group]
        for title, group in chosen.items()
    }


def _shown(panels: np.ndarray, name: str, why: str) -> Shown:
    height, width = panels.shape[:2]
    return Shown(
        name=name, why=why, source=page.jpeg(panels), width=width, height=height
    )


def _confused(pictures: Sequence[PictureScore], info: DatasetInfo) -> list[Chosen]:
    """The pictures with most pixels of the pairs that are confused most."""
    best: dict[tuple[int, int], tuple[int, PictureScore]] = {}
    totals: dict[tuple[int, int], int] = {}
    for picture in pictures:
        for label, prediction, pixels in picture.confused:
            pair = label, prediction
            totals[pair] = totals.get(pair, 0) + pixels
            if pixels > best.get(pair, (0, picture))[0]:
                best[pair] = pixels, picture
    ranked = sorted(totals, key=lambda pair: -totals[pair])
    names = info.class_names
    return [
        (best[pair][1], f"{names[pair[0]]} taken for {names[pair[1]]}")
        for pair in ranked
    ]


def _examples(
    dataset_dir: str, info: DatasetInfo, split: str, wanted: set[int]
) -> Iterator[tuple[int, evaluate.Example]]:
    examples = reading.read_split(dataset_dir, info, split, "draw the report")
    last = max(wanted, default=-1)
    for index, example in enumerate(examples):
        if index in wanted:
            yield index, example
        if index >= last:
            return


def _panels(
    example: evaluate.Example, predict: Predictor, info: DatasetInfo
) -> np.ndarray:
    """Picture | labels | prediction | errors, uint8 [h, 4 w + gaps, 3]."""
    image = coloring.as_rgb(
        np.clip(np.round(example["image"].numpy()), 0, 255).astype(np.uint8)
    )
    labels = example["labels"].numpy().astype(np.uint8)
    predictions, confidence = predict.labels_and_confidence(example["image"][None])
    errors = coloring.error_map(image, predictions[0], labels, info.ignore_label)
    if confidence is not None:
        doubtful = image_scores.suspects(
            labels, predictions[0], confidence[0], info.ignore_label
        )
        errors[doubtful] = _SUSPECT_COLOR
    colors = (coloring.colorize(y, info.colormap) for y in (labels, predictions[0]))
    mixed = [coloring.overlay(image, color) for color in colors]
    return coloring.row([page.shrink(panel) for panel in (image, *mixed, errors)])
