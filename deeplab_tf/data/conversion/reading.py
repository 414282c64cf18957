"""What a layout of somebody's own says: classes, examples by split, and remarks."""

import dataclasses
import pathlib
from collections.abc import Iterable, Mapping, Sequence

from deeplab_tf.data.conversion.contents import Contents
from deeplab_tf.data.conversion.samples import FileSample, Sample
from deeplab_tf.data.conversion.splits import in_usual_order
from deeplab_tf.data.conversion.stratify import choose_stratified
from deeplab_tf.data.dataset_info import DatasetInfo

UNDIVIDED = ""  # the key of examples that belong to no split yet
VAL_FRACTION = 0.2


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reading:
    """A layout that was read.

    Attributes:
      info: the data set's facts, without splits.
      splits: examples by split, in order.
      notes: what the user should know about how it was understood.
    """

    info: DatasetInfo
    splits: Mapping[str, Sequence[Sample]]
    notes: tuple[str, ...] = ()


def divided(reading: Reading, val_fraction: float | None) -> Reading:
    """Makes train and val where there are no splits, the same at every call.

    Args:
      reading: what the layout says.
      val_fraction: share that goes to val; 0: none; None: the usual share, and only
        where there are no splits at all. A number also divides a train split that
        has no val beside it.

    """
    splits, notes = dict(reading.splits), list(reading.notes)
    loose = splits.pop(UNDIVIDED, None)
    if loose is not None and splits:
        notes.append(
            f"{len(loose)} examples in no split are left out, as {loose[0].name!r}; "
            f"the splits are {', '.join(splits)}."
        )
        loose = None
    elif loose is None and set(splits) & {"train", "val"} == {"train"}:
        if val_fraction:
            loose = splits.pop("train")
        elif val_fraction is None:
            notes.append("there is no val; --val_fraction=0.2 takes it from train.")
    elif loose is None and val_fraction is not None:
        notes.append("--val_fraction is not used: the splits are made already.")
    if loose is not None:
        fraction = VAL_FRACTION if val_fraction is None else val_fraction
        notes.append(_division(fraction))
        splits |= _train_and_val(loose, reading.info, fraction)
    ordered = {split: splits[split] for split in in_usual_order(splits)}
    return dataclasses.replace(reading, splits=ordered, notes=tuple(notes))


def _division(fraction: float) -> str:
    if not fraction:
        return "there are no splits: all examples are train."
    return (
        f"there are no splits: {fraction:.0%} of the examples become val, so that "
        "every class is in both parts; --val_fraction says otherwise."
    )


def _train_and_val(
    samples: Sequence[Sample], info: DatasetInfo, fraction: float
) -> dict[str, Sequence[Sample]]:
    for_val = choose_stratified(samples, info, fraction)
    parts = {
        "train": [s for s in samples if s.name not in for_val],
        "val": [s for s in samples if s.name in for_val],
    }
    return {split: part for split, part in parts.items() if part}


def folder_name(contents: Contents) -> str:
    """A name for the data set: that of its folder."""
    return contents.root.resolve().name or "data"


def without_unannotated(
    contents: Contents, used: Iterable[str], what: str
) -> list[str]:
    """What to say about pictures that no annotation speaks of: they are left out."""
    known = set(used)
    left = [path for path in contents.images if contents.path(path) not in known]
    if not left:
        return []
    return [
        f"{len(left)} pictures without {what} are left out, as {left[0]!r}.",
    ]


def example_name(path: str) -> str:
    """What an example is called in the records: its path without ending."""
    return pathlib.PurePosixPath(path).with_suffix("").as_posix()


def pair_of(sample: Sample) -> str:
    """A line for the screen: what was taken for picture and label."""
    label = sample.label_name if sample.has_label else "no label"
    if isinstance(sample, FileSample):
        return f"{sample.image_path}  <->  {label}"
    return sample.image_name
