"""The data sets and layouts that can be converted: one file of this folder each.

Files whose names begin with an underscore serve them all.

A public data set's file holds
  INFO: a DatasetInfo without splits, or, where the classes are only known from the
    source folder, a function (source_dir, **options) that gives one;
  SPLITS: the names of its usual splits;
  samples(source_dir, split, **options): the examples of a split, in their order.
A layout of somebody's own, as the export of a labelling tool, holds
  read(contents, **options): a Reading: classes, examples by split, and remarks.
Both hold
  TITLE: what it is, in a few words;
  clues(contents) (optional): {what it looks for: whether the folder has it}; where all
    are there, the folder is recognised without --dataset;
  OPTIONS (optional): {option: help text}; each option is a keyword-only parameter of
    `samples` or `read`, whose default and type its flag has.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Iterable, Sequence

from deeplab_tf.data.conversion.contents import read_contents
from deeplab_tf.data.conversion.reading import Reading, divided
from deeplab_tf.data.conversion.samples import Sample, UnlabelledSample
from deeplab_tf.data.conversion.splits import usual_name
from deeplab_tf.data.dataset_info import DatasetInfo
from deeplab_tf.data.sources._files import (
    AUTO,
    call,
    define_flags,
    load,
    names,
    options_of,
)
from deeplab_tf.data.sources._recognition import recognise
from deeplab_tf.errors import UserError, unknown
from deeplab_tf.files import Values

__all__ = [
    "AUTO",
    "Source",
    "define_flags",
    "names",
    "open_source",
    "options_of",
    "recognise",
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """An opened source.

    Attributes:
      name: its file in this folder.
      source_dir: the folder of the data.
      options: those that were given; what it does not know is refused.
      val_fraction: see `reading.divided`.
      unlabelled: splits whose labels are not used.
    """

    name: str
    source_dir: str
    options: Values = dataclasses.field(default_factory=dict)
    val_fraction: float | None = None
    unlabelled: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """What it is, in a few words."""
        return load(self.name).TITLE

    @functools.cached_property
    def _reading(self) -> Reading | None:
        """What a layout says; None for a public data set, whose splits are its own."""
        read = getattr(load(self.name), "read", None)
        if read is None:
            return None
        if not self.source_dir:
            raise UserError("--source_dir must name the folder of the data set.")
        contents = read_contents(pathlib.Path(self.source_dir))
        return divided(call(read, self.options, contents), self.val_fraction)

    def info(self) -> DatasetInfo:
        """The data set's facts, without splits."""
        if self._reading:
            return self._reading.info
        info = load(self.name).INFO
        if isinstance(info, DatasetInfo):
            return info
        return call(info, self.options, self.source_dir)

    def splits(self) -> tuple[str, ...]:
        """The splits that are converted unless the user names others."""
        if self._reading:
            return tuple(self._reading.splits)
        splits = load(self.name).SPLITS
        if isinstance(splits, tuple):
            return splits
        return call(splits, self.options, self.source_dir)

    def notes(self) -> tuple[str, ...]:
        """What the user should know about how the folder was understood."""
        return self._reading.notes if self._reading else ()

    def samples(self, split: str) -> list[Sample]:
        """The examples of a split, in order.

        Raises:
          UserError: there are none, two have one name, or some lack a label.
        """

        def everything(_: str) -> list[Sample]:
            """Read to its end within the guard: a generator fails only there."""
            return list(self._all_samples(split))

        samples = call(everything, {}, self.source_dir)
        if not samples:
            raise UserError(
                f"split {split!r} of {self.source_dir or 'the source'} is empty."
            )
        _check_names(samples, split)
        if split in self.unlabelled:
            return [UnlabelledSample(name=s.name, sample=s) for s in samples]
        _check_labels(samples, split)
        return samples

    def _all_samples(self, split: str) -> Iterable[Sample]:
        if not self._reading:
            samples = load(self.name).samples
            return call(samples, self.options, self.source_dir, split)
        splits = self._reading.splits
        found = split if split in splits else usual_name(split)
        if found not in splits:
            raise unknown(f"split of {self.source_dir}", split, splits)
        return splits[found]


def _check_names(samples: Iterable[Sample], split: str) -> None:
    seen: set[str] = set()
    for sample in samples:
        if sample.name in seen:
            raise UserError(
                f"split {split!r}: two examples are called {sample.name!r} "
                f"({sample.image_name}); names must be distinct."
            )
        seen.add(sample.name)


def _check_labels(samples: Sequence[Sample], split: str) -> None:
    lacking = [sample for sample in samples if not sample.has_label]
    if 0 < len(lacking) < len(samples):
        raise UserError(
            f"split {split!r}: {len(lacking)} of {len(samples)} examples have no "
            f"label, the first is {lacking[0].image_name}. Give them labels or take "
            f"them out; --unlabelled={split} converts the whole split without labels."
        )


def open_source(
    name: str,
    source_dir: str,
    options: Values | None = None,
    *,
    val_fraction: float | None = None,
    unlabelled: Sequence[str] = (),
) -> Source:
    """Opens a source.

    Args:
      name: its file in this folder, or "auto": the folder tells.
      source_dir: the folder; empty for what is made up.
      options: the source's own.
      val_fraction: see `reading.divided`.
      unlabelled: splits whose labels are not used.

    Raises:
      UserError: there is no such source, it does not have one of the options, the
        folder is not recognised, or val_fraction is not in [0, 1).
    """
    if val_fraction is not None and not 0 <= val_fraction < 1:
        raise UserError(f"--val_fraction must be in [0, 1); received {val_fraction}.")
    if name == AUTO:
        name, source_dir = recognise(source_dir, tuple(options or {}))
    module = load(name)
    foreign = [option for option in options or {} if option not in options_of(name)]
    if foreign:
        raise UserError(
            f"--{foreign[0]} is no option of {name} ({module.TITLE}); it has: "
            f"{', '.join(options_of(name)) or 'none'}."
        )
    if val_fraction is not None and not hasattr(module, "read"):
        raise UserError(f"--val_fraction: {module.TITLE} has its own splits.")
    return Source(
        name=name,
        source_dir=source_dir,
        options=dict(options or {}),
        val_fraction=val_fraction,
        unlabelled=tuple(unlabelled),
    )
