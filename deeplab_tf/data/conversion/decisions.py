"""What was decided on suspected label errors: the file that review's page saves.

{"schema": 1, "dataset": "camvid", "split": "train", "class_names": ["sky", ...],
 "decisions": [{"example": "0001TP_006690", "region": 7, "action": "prediction",
                "label": 5, "prediction": 8, "size": [360, 480], "counts": "..."}]}

A decision holds its region: run lengths in COCO's coding, so that the file alone says
which pixels are meant. Actions:
  keep        the label is right; nothing changes
  prediction  the pixels become the class that was predicted
  void        the pixels count nowhere
  drop        the whole example is left out
"""

import dataclasses
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Literal

import numpy as np
from PIL import Image
from pydantic import PositiveInt

from deeplab_tf import files
from deeplab_tf.config.fields import checked, read, require, rule
from deeplab_tf.data.conversion.labels import read_label
from deeplab_tf.data.conversion.regions import MAX_PIXELS
from deeplab_tf.data.conversion.runs import coco_runs
from deeplab_tf.data.conversion.samples import Content, Sample, SampleError
from deeplab_tf.data.dataset_info import Byte, ClassNames, DatasetInfo
from deeplab_tf.errors import UserError, unknown

SCHEMA = 1
Action = Literal["keep", "prediction", "void", "drop"]
_REMEDY = "save the decisions from the page that `python -m deeplab_tf.review` writes."
_SAYS = {
    "keep": "regions stay as labelled",
    "prediction": "regions take the prediction",
    "void": "regions become void",
    "drop": "examples are left out",
}
Splits = dict[str, list[Sample]]


@checked
class Decision:
    """What is done about one region.

    Attributes:
      example: name of the example in its split.
      region: its number in regions.json.
      action: see the head of this file.
      label: class of all its pixels.
      prediction: the class that was predicted for all of them.
      size: height and width of the label.
      counts: run lengths of the region, COCO's string.
    """

    example: str
    region: PositiveInt
    action: Action
    label: Byte
    prediction: Byte
    size: Annotated[
        tuple[PositiveInt, PositiveInt],
        rule(f"at most {MAX_PIXELS:,} pixels", lambda s: s[0] * s[1] <= MAX_PIXELS),
    ]
    counts: str

    def pixels(self) -> np.ndarray:
        """The region, bool [H, W]; ValueError for run lengths that are none."""
        return coco_runs(self.size, {"counts": self.counts})


@checked
class Decisions:
    """A file of decisions on the examples of one split."""

    dataset: str
    split: str
    class_names: ClassNames
    decisions: tuple[Decision, ...]

    def __post_init__(self) -> None:
        numbers = [one.region for one in self.decisions]
        for index, one in enumerate(self.decisions):
            name = f"decisions.{index}"
            first = numbers.index(one.region) == index
            require(first, f"{name}.region", "decided once", one.region)
            for field in ("label", "prediction"):
                value = getattr(one, field)
                allowed = f"a class, 0..{len(self.class_names) - 1}"
                require(
                    value < len(self.class_names), f"{name}.{field}", allowed, value
                )
            try:
                one.pixels()
            except (ValueError, IndexError) as error:
                raise UserError(f"{name}.counts: no run lengths ({error}).") from None


def load(path: str | os.PathLike[str]) -> Decisions:
    """Reads a file of decisions.

    Raises:
      UserError: it is missing, no JSON, of another schema, or a field is wrong; the
        message names file and field.
    """
    values = files.read_json(path, _REMEDY)
    try:
        schema = values.pop("schema", None)
        require(schema == SCHEMA, "schema", f"{SCHEMA}: {_REMEDY[:-1]}", schema)
        return read(Decisions, values)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def apply(
    splits: Mapping[str, Sequence[Sample]], info: DatasetInfo, paths: Iterable[str]
) -> tuple[Splits, list[str]]:
    """Puts decisions into effect.

    Args:
      splits: the examples of a conversion.
      info: its data set.
      paths: files of decisions.

    Returns:
      The examples without those that are dropped, the others with the labels that
      were decided on; and what is to be said about it.

    Raises:
      UserError: a file cannot be read, or is of other splits, classes or examples.
    """
    result = {split: list(samples) for split, samples in splits.items()}
    notes = []
    for path in paths:
        found = load(path)
        _check(path, found, result, info)
        result[found.split] = _decided(result[found.split], found, info)
        if not result[found.split]:
            raise UserError(f"{path}: leaves no example in split {found.split!r}.")
        notes.append(f"{path}, split {found.split}: {_summary(found)}.")
    return result, notes


def _check(path: str, found: Decisions, splits: Splits, info: DatasetInfo) -> None:
    if found.class_names != info.class_names:
        raise UserError(
            f"{path}: its classes are {', '.join(found.class_names)}, those of this "
            f"data set {', '.join(info.class_names)}."
        )
    if found.split not in splits:
        raise UserError(f"{path}: {unknown('split', found.split, splits)}")
    names = {sample.name for sample in splits[found.split] if sample.has_label}
    for one in found.decisions:
        if one.example not in names:
            raise UserError(
                f"{path}: there is no labelled example {one.example!r} in split "
                f"{found.split!r}; give the source and the options that the reviewed "
                "shards were converted with."
            )


def _decided(
    samples: Sequence[Sample], found: Decisions, info: DatasetInfo
) -> list[Sample]:
    by_example: dict[str, list[Decision]] = {}
    for one in found.decisions:
        if one.action != "keep":
            by_example.setdefault(one.example, []).append(one)
    dropped = {one.example for one in found.decisions if one.action == "drop"}
    return [
        DecidedSample(
            name=sample.name,
            sample=sample,
            info=info,
            decisions=tuple(by_example[sample.name]),
        )
        if sample.name in by_example
        else sample
        for sample in samples
        if sample.name not in dropped
    ]


def _summary(found: Decisions) -> str:
    counts = {
        action: [one.example for one in found.decisions if one.action == action]
        for action in _SAYS
    }
    counts["drop"] = sorted(set(counts["drop"]))
    said = [f"{len(some)} {_SAYS[a]}" for a, some in counts.items() if some]
    return ", ".join(said) or "nothing is decided"


@dataclasses.dataclass(frozen=True, kw_only=True)
class DecidedSample(Sample):
    """Another sample with some regions of its label changed.

    Attributes:
      sample: the other.
      info: the data set's facts.
      decisions: on its regions, none of them "keep" or "drop".
    """

    sample: Sample
    info: DatasetInfo
    decisions: tuple[Decision, ...]

    @property
    def image_name(self) -> str:
        """The other's."""
        return self.sample.image_name

    @property
    def label_name(self) -> str:
        """The other's."""
        return self.sample.label_name

    def image(self) -> Content:
        """The other's picture."""
        return self.sample.image()

    def label(self) -> Content | None:
        """The other's label as class indices [H, W], with what was decided."""
        content = self.sample.label()
        if content is None:
            return None
        coding, name = self.sample.coding, self.sample.label_name
        encoded = read_label(content, name, self.info, coding).encoded
        before = np.asarray(Image.open(io.BytesIO(encoded)))
        labels = before.copy()
        for one in self.decisions:
            pixels = _place(one, before, name, self.info.class_names)
            void = one.action == "void"
            labels[pixels] = self.info.ignore_label if void else one.prediction
        return labels

    def stamp(self) -> list[object]:
        """The other's, and the decisions."""
        return [*self.sample.stamp(), *map(repr, self.decisions)]


def _place(
    one: Decision, labels: np.ndarray, name: str, class_names: Sequence[str]
) -> np.ndarray:
    """The region's pixels, if the label there is still what was looked at."""
    if labels.shape != one.size:
        seen, now = list(one.size), list(labels.shape)
        change = f"its height and width are {now}, not {seen}"
    else:
        pixels = one.pixels()
        if (labels[pixels] == one.label).all():
            return pixels
        change = f"region {one.region} is not {class_names[one.label]!r} any more"
    raise SampleError(
        "changed_label",
        f"{name}: has changed since it was reviewed ({change}); review it again, or "
        "take its decisions out of the file.",
    )
