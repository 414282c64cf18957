"""The page of a review: each suspect region, and the keys that decide on it."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from deeplab_tf.data import reading
from deeplab_tf.data.dataset_info import DatasetInfo
from deeplab_tf.files import Json, Values
from deeplab_tf.inference import coloring
from deeplab_tf.inference.predictor import Predictor
from deeplab_tf.labelling.suspects import Suspect
from deeplab_tf.report import page

_MARK = (255, 0, 220)
_MARK_WIDTH = 2  # pixels of the drawing
_ROUND = 0.6  # of a region's sides is shown on each side of it
_LEAST_WIDTH = 120  # pixels that a drawing shows
_SHAPE = 0.75  # height by width
# What a decision says of its region.
_FIELDS = ("example", "region", "label", "prediction", "size", "counts")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Card:
    """A region in the page.

    Attributes:
      suspect: the region.
      source: address of the drawing: image, labels and prediction round the region.
      width: of the drawing in pixels.
      height: likewise.
    """

    suspect: Suspect
    source: str
    width: int
    height: int


def render(
    content: Values, cards: Sequence[Card], info: DatasetInfo, run: str, file: str
) -> str:
    """The page.

    Args:
      content: of regions.json.
      cards: of its first regions, in order.
      info: names and colours.
      run: its name.
      file: the name under which the page saves what is decided.
    """
    shown = content["regions"][: len(cards)]
    saved: Json = {
        key: content[key] for key in ("schema", "dataset", "split", "class_names")
    }
    saved["decisions"] = [{key: one[key] for key in _FIELDS} for one in shown]
    return page.render(
        "review.html",
        script=page.script("review.js"),
        title=f"Labels to check: {info.name}, {content['split']}",
        run=run,
        info=info,
        cards=cards,
        found=len(content["regions"]),
        decided_before=content["decided_before"],
        file=file,
        saved=saved,
    )


def draw(
    shown: Sequence[Suspect],
    predict: Predictor,
    dataset_dir: str,
    info: DatasetInfo,
    split: str,
) -> list[Card]:
    """Predicts the examples of the regions again and draws them."""
    by_index: dict[int, list[int]] = {}
    for place, one in enumerate(shown):
        by_index.setdefault(one.index, []).append(place)
    cards: dict[int, Card] = {}
    examples = reading.read_split(dataset_dir, info, split, "draw the regions")
    for index, example in enumerate(examples):
        if index not in by_index:
            continue
        image = np.clip(np.round(example["image"].numpy()), 0, 255).astype(np.uint8)
        labels = example["labels"].numpy()
        predictions = predict.labels(example["image"][None])[0]
        panels = _panels(coloring.as_rgb(image), labels, predictions, info)
        for place in by_index[index]:
            cards[place] = _card(shown[place], panels)
        if len(cards) == len(shown):
            break
    return [cards[place] for place in range(len(shown))]


def _panels(
    image: np.ndarray, labels: np.ndarray, predictions: np.ndarray, info: DatasetInfo
) -> list[np.ndarray]:
    """The image, and the image under labels and predictions."""
    colors = (
        coloring.colorize(values, info.colormap) for values in (labels, predictions)
    )
    return [image, *(coloring.overlay(image, color) for color in colors)]


def _card(one: Suspect, panels: Sequence[np.ndarray]) -> Card:
    rows, columns = _window(one)
    inside = one.mask[rows, columns]
    width = page.PANEL_WIDTH
    size = max(1, round(width * inside.shape[0] / inside.shape[1])), width
    mark = _outline(page.scaled(inside.astype(np.uint8) * 255, size) > 127)
    drawn = []
    for panel in panels:
        scaled = page.scaled(panel[rows, columns], size).copy()
        scaled[mark] = _MARK
        drawn.append(scaled)
    pixels = coloring.row(drawn)
    return Card(
        suspect=one,
        source=page.jpeg(pixels),
        width=pixels.shape[1],
        height=pixels.shape[0],
    )


def _window(one: Suspect) -> tuple[slice, slice]:
    """Rows and columns round the region, cut at the image's border."""
    left, top, width, height = one.box
    wide = max(width, height / _SHAPE) * (1 + 2 * _ROUND)
    wide = max(wide, _LEAST_WIDTH)
    sides = (one.size[0], wide * _SHAPE), (one.size[1], wide)
    centres = top + height / 2, left + width / 2
    rows, columns = (
        _span(centre, length, side)
        for centre, (side, length) in zip(centres, sides, strict=True)
    )
    return rows, columns


def _span(centre: float, length: float, side: int) -> slice:
    """As long as that round the centre, moved inside where it reaches out."""
    length = min(round(length), side)
    start = min(max(round(centre - length / 2), 0), side - length)
    return slice(start, start + length)


def _outline(inside: np.ndarray) -> np.ndarray:
    """The pixels just outside of a region."""
    return ndimage.binary_dilation(inside, iterations=_MARK_WIDTH) & ~inside
