"""Regions whose labels may be wrong: where a network confidently says otherwise.

Confident learning (Northcutt et al. 2021, arXiv 1911.00068) by regions instead of
single pixels: what is labelled i is suspected to be j where the network says j at
least as surely as it does, on average, of what is labelled j. A region is a connected
part of an image with one label and one prediction.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from pycocotools import mask as coco_mask
from scipy import ndimage

from deeplab_tf.data.conversion.decisions import Decision
from deeplab_tf.files import Json

# Strips of disagreement along an edge, up to two pixels wide, are no regions.
_CORE = np.ones((3, 3), bool)
_SUREST = 0.1
# With so many regions of a pair of classes, what is usual for it counts as much as what
# is usual for all.
_PRIOR = 20
_DECIDED = 0.5  # of a region's pixels


@dataclasses.dataclass(frozen=True, kw_only=True)
class Suspect:
    """A region whose label may be wrong.

    Attributes:
      example: name of its example.
      index: place of the example in the split.
      label: class of all its pixels.
      prediction: what is predicted for all of them.
      pixels: how many.
      confidence: probability of the prediction that its surest tenth reaches; the mean
        would tell of its edges.
      margin: mean of that less the probability of the label.
      box: x, y, width and height.
      size: height and width of the image.
      counts: its run lengths, COCO's string.
      score: how suspect it is; 0 until `rank` has compared it.
    """

    example: str
    index: int
    label: int
    prediction: int
    pixels: int
    confidence: float
    margin: float
    box: tuple[int, int, int, int]
    size: tuple[int, int]
    counts: str
    score: float = 0.0

    @property
    def mask(self) -> np.ndarray:
        """The region, bool [H, W]."""
        coded = {"size": self.size, "counts": self.counts.encode()}
        return coco_mask.decode(coded).astype(bool)

    def to_dict(self) -> Json:
        """As in regions.json."""
        rounded = {
            name: round(getattr(self, name), 4)
            for name in ("confidence", "margin", "score")
        }
        lists = {"box": list(self.box), "size": list(self.size)}
        return {**dataclasses.asdict(self), **lists, **rounded}


class SelfConfidence:
    """How sure a network is, on average, of the pixels that are labelled a class."""

    def __init__(self, num_classes: int) -> None:
        self._sums = np.zeros(num_classes)
        self._counts = np.zeros(num_classes)

    def update(self, labels: np.ndarray, of_label: np.ndarray) -> None:
        """Counts an image.

        Args:
          labels: classes [N] of its valid pixels.
          of_label: the probability [N] of each one's label.
        """
        size = len(self._sums)
        self._sums += np.bincount(labels, of_label, size)
        self._counts += np.bincount(labels, minlength=size)

    def result(self) -> np.ndarray:
        """The thresholds of confident learning, [K]; 1 for what is never labelled."""
        known = self._counts > 0
        means = self._sums / np.maximum(self._counts, 1)
        return np.where(known, means, 1.0)


def find(
    labels: np.ndarray,
    probabilities: np.ndarray,
    ignore_label: int,
    *,
    example: str = "",
    index: int = 0,
    least: int = 25,
) -> list[Suspect]:
    """The regions of an image where labels and predictions differ.

    Args:
      labels: [H, W].
      probabilities: [H, W, K].
      ignore_label: is never suspect.
      example, index: of the image in its split.
      least: pixels of a region.
    """
    predictions = probabilities.argmax(-1)
    differ = (labels != predictions) & (labels != ignore_label)
    return [
        _measured(place, inside, labels, predictions, probabilities, example, index)
        for place, inside in _regions(differ, labels, predictions, probabilities)
        if inside.sum() >= least
    ]


def _regions(
    differ: np.ndarray,
    labels: np.ndarray,
    predictions: np.ndarray,
    probabilities: np.ndarray,
) -> Iterator[tuple[tuple[slice, slice], np.ndarray]]:
    """Yields the place of each region, and which pixels of it belong to it."""
    pairs = np.where(differ, labels * probabilities.shape[-1] + predictions + 1, 0)
    for pair, place in enumerate(ndimage.find_objects(pairs), start=1):
        if place is None:
            continue
        solid = ndimage.binary_opening(pairs[place] == pair, _CORE)
        numbers, _ = ndimage.label(solid)
        for number, part in enumerate(ndimage.find_objects(numbers), start=1):
            rows, columns = (
                slice(outer.start + one.start, outer.start + one.stop)
                for outer, one in zip(place, part, strict=True)
            )
            yield (rows, columns), numbers[part] == number


def _measured(
    place: tuple[slice, slice],
    inside: np.ndarray,
    labels: np.ndarray,
    predictions: np.ndarray,
    probabilities: np.ndarray,
    example: str,
    index: int,
) -> Suspect:
    label = int(labels[place][inside][0])
    prediction = int(predictions[place][inside][0])
    of_prediction = probabilities[place][inside][:, prediction]
    of_label = probabilities[place][inside][:, label]
    mask = np.zeros(labels.shape, np.uint8, order="F")
    mask[place] = inside
    rows, columns = place
    return Suspect(
        example=example,
        index=index,
        label=label,
        prediction=prediction,
        pixels=int(inside.sum()),
        confidence=float(np.quantile(of_prediction, 1 - _SUREST)),
        margin=float((of_prediction - of_label).mean()),
        box=(
            columns.start,
            rows.start,
            columns.stop - columns.start,
            rows.stop - rows.start,
        ),
        size=(labels.shape[0], labels.shape[1]),
        counts=coco_mask.encode(mask)["counts"].decode(),
    )


def rank(suspects: Sequence[Suspect], thresholds: np.ndarray) -> list[Suspect]:
    """The suspects that are confident enough, the most suspect first.

    The score is the squared margin times the side of a square of as many pixels: a
    small region must be surer than a large one. It is divided by the root of what is
    usual for regions with the same label and prediction, so that two classes that are
    confused in every image do not fill the page; and multiplied by the root of how much
    of its image is suspect, against the median image: errors come in company, as where
    a whole mask lies beside its objects.

    Args:
      suspects: of all images.
      thresholds: [K], of `SelfConfidence`.
    """
    sure = [one for one in suspects if one.confidence >= thresholds[one.prediction]]
    raw = np.array([one.margin**2 * np.sqrt(one.pixels) for one in sure])
    usual = _usual([(one.label, one.prediction) for one in sure], raw)
    scores = raw / np.sqrt(usual) * np.sqrt(_company(sure))
    scored = [
        dataclasses.replace(one, score=float(value))
        for one, value in zip(sure, scores, strict=True)
    ]
    return sorted(scored, key=lambda one: (-one.score, one.example, one.box))


def undecided(
    suspects: Iterable[Suspect], earlier: Iterable[Decision]
) -> list[Suspect]:
    """The suspects on which nothing was decided before.

    A region counts as decided where half of its pixels or more lie in regions of
    earlier decisions on its example, whatever was decided: another network draws it
    a little otherwise, and gives it another number. Of an example that was left out,
    all are.

    Args:
      suspects: in their order.
      earlier: decisions on the same split.
    """
    dropped: set[str] = set()
    covered: dict[str, np.ndarray] = {}
    for one in earlier:
        if one.action == "drop":
            dropped.add(one.example)
        pixels, before = one.pixels(), covered.get(one.example)
        # What was seen at another size is another image.
        known = before is not None and before.shape == pixels.shape
        covered[one.example] = before | pixels if known else pixels
    return [
        one
        for one in suspects
        if one.example not in dropped and _share(one, covered) < _DECIDED
    ]


def _share(one: Suspect, covered: Mapping[str, np.ndarray]) -> float:
    """How much of the region is covered."""
    pixels = covered.get(one.example)
    if pixels is None or pixels.shape != one.size:
        return 0.0
    return float(pixels[one.mask].mean())


def _company(suspects: Sequence[Suspect]) -> np.ndarray:
    """How much of each region's image is suspect, over the median image's, [N]."""
    if not suspects:
        return np.zeros(0)
    _, members = np.unique([one.example for one in suspects], return_inverse=True)
    masses = np.bincount(members, [one.pixels * one.margin for one in suspects])
    return (masses / np.median(masses))[members]


def _usual(pairs: Sequence[tuple[int, int]], raw: np.ndarray) -> np.ndarray:
    """The median of each region's pair of classes, leaning to that of all, [N]."""
    if not len(raw):
        return raw
    _, members, counts = np.unique(
        np.array(pairs), axis=0, return_inverse=True, return_counts=True
    )
    medians = np.array([np.median(raw[members == i]) for i in range(len(counts))])
    known = counts / (counts + _PRIOR)
    return (known * medians + (1 - known) * np.median(raw))[members]
