"""The data sets and layouts that can be converted: one file of this folder each.

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
import importlib
import inspect
import pathlib
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from absl import flags

from deeplab_tf.data.conversion.contents import Contents, read_contents
from deeplab_tf.data.conversion.pairing import tells_nothing
from deeplab_tf.data.conversion.reading import Reading, divided
from deeplab_tf.data.conversion.samples import Sample, UnlabelledSample
from deeplab_tf.data.conversion.splits import usual_name
from deeplab_tf.data.dataset_info import DatasetInfo
from deeplab_tf.errors import UserError, unknown
from deeplab_tf.files import Values

_FOLDER = pathlib.Path(__file__).parent
T = TypeVar("T")
AUTO = "auto"


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
        return _load(self.name).TITLE

    @functools.cached_property
    def _reading(self) -> Reading | None:
        """What a layout says; None for a public data set, whose splits are its own."""
        read = getattr(_load(self.name), "read", None)
        if read is None:
            return None
        if not self.source_dir:
            raise UserError("--source_dir must name the folder of the data set.")
        contents = read_contents(pathlib.Path(self.source_dir))
        return divided(_call(read, self.options, contents), self.val_fraction)

    def info(self) -> DatasetInfo:
        """The data set's facts, without splits."""
        if self._reading:
            return self._reading.info
        info = _load(self.name).INFO
        if isinstance(info, DatasetInfo):
            return info
        return _call(info, self.options, self.source_dir)

    def splits(self) -> tuple[str, ...]:
        """The splits that are converted unless the user names others."""
        if self._reading:
            return tuple(self._reading.splits)
        splits = _load(self.name).SPLITS
        if isinstance(splits, tuple):
            return splits
        return _call(splits, self.options, self.source_dir)

    def notes(self) -> tuple[str, ...]:
        """What the user should know about how the folder was understood."""
        return self._reading.notes if self._reading else ()

    def samples(self, split: str) -> list[Sample]:
        """The examples of a split, in order.

        Raises:
          UserError: there are none, two have one name, or some lack a label.
        """

        def everything(_: str) -> list[Sample]:
            return list(self._all_samples(split))

        samples = _call(everything, {}, self.source_dir)
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
            samples = _load(self.name).samples
            return _call(samples, self.options, self.source_dir, split)
        splits = self._reading.splits
        found = split if split in splits else usual_name(split)
        if found not in splits:
            raise unknown(f"split of {self.source_dir}", split, splits)
        return splits[found]


def _call(function: Callable[..., T], options: Values, *arguments: object) -> T:
    """With the options that the function takes; the one guard of what others wrote.

    Raises:
      UserError: as the function, or for whatever a file that is not in the form of
        its kind leads to.
    """
    takes = inspect.signature(function).parameters
    try:
        return function(*arguments, **{k: v for k, v in options.items() if k in takes})
    except (UserError, OSError):
        raise
    except Exception as error:
        folder = getattr(arguments[0], "root", arguments[0])
        raise UserError(
            f"{folder}: a file in it is not in the form of its kind "
            f"({type(error).__name__}: {error})."
        ) from error


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


def names() -> list[str]:
    """The data sets and layouts that can be converted."""
    return sorted(path.stem for path in _FOLDER.glob("[!_]*.py"))


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
    module = _load(name)
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


def recognise(source_dir: str, options: Sequence[str] = ()) -> tuple[str, str]:
    """Finds out what a folder is.

    Args:
      source_dir: the folder.
      options: that were given: it is a source that has them.

    Returns:
      The source's name, and the folder where it lies: the one given, or the only one
      in it, as archives are packed.

    Raises:
      UserError: no source, or more than one, recognises it.
    """
    if not source_dir:
        raise UserError(
            "--source_dir must name a folder; only --dataset=shapes needs none."
        )
    root = pathlib.Path(source_dir)
    contents = _unwrapped(read_contents(root))
    clues = _clues(contents)
    able = [name for name in clues if set(options) <= set(options_of(name))]
    found = [name for name, seen in clues.items() if all(seen.values())]
    found = [name for name in found if name in able] or found
    if options and not found:  # what was told may be what is not seen
        found = able[:1]
    exact = [name for name in found if not getattr(_load(name), "GENERAL", 0)]
    found = exact or found[:1]
    if not found:
        raise _unrecognised(root, contents, clues)
    if len(found) > 1:
        kinds = " or ".join(f"--dataset={n} ({_load(n).TITLE})" for n in found)
        raise UserError(f"{root}: may be several things; say which: {kinds}.")
    return found[0], str(contents.root)


def _unwrapped(contents: Contents) -> Contents:
    """Without the folders that archives put around everything."""
    top = {path.partition("/")[0] for path in contents.files}
    if len(top) == 1 and tells_nothing(min(top)):
        inner = contents.root / min(top)
        return _unwrapped(read_contents(inner)) if inner.is_dir() else contents
    return contents


def _clues(contents: Contents) -> dict[str, dict[str, bool]]:
    """The clues of every source that can be recognised; GENERAL ones come last."""
    modules = {name: _load(name) for name in names()}
    able = [name for name, module in modules.items() if hasattr(module, "clues")]
    able.sort(key=lambda name: getattr(modules[name], "GENERAL", 0))
    # What cannot be asked is not passed over: its labels would be.
    return {name: _call(modules[name].clues, {}, contents) for name in able}


def _unrecognised(
    root: pathlib.Path, contents: Contents, clues: Mapping[str, Mapping[str, bool]]
) -> UserError:
    def share(name: str) -> tuple[float, int]:
        seen = sum(clues[name].values()) / len(clues[name])
        return seen, getattr(_load(name), "GENERAL", 0)

    nearest = sorted(clues, key=share, reverse=True)[:2]
    lines = []
    for name in nearest:
        lacks = [what for what, seen in clues[name].items() if not seen]
        lines.append(f"{name} ({_load(name).TITLE}) lacks {', '.join(lacks)}")
    return UserError(
        f"{root}: is no layout that is known. It holds {_inventory(contents)}. "
        f"Nearest: {'; '.join(lines)}. Looked for: {', '.join(clues)}; docs/labels.md "
        "shows each."
    )


def _inventory(contents: Contents) -> str:
    """The kinds of files in a folder, in a few words."""
    endings: dict[str, int] = {}
    for path in contents.files:
        ending = pathlib.PurePath(path).suffix.lower() or "(no ending)"
        endings[ending] = endings.get(ending, 0) + 1
    most = sorted(endings.items(), key=lambda item: -item[1])[:4]
    top = sorted({path.split("/")[0] for path in contents.files if "/" in path})[:6]
    kinds = ", ".join(f"{count} {ending}" for ending, count in most) or "no files"
    return kinds + (f" in {', '.join(f'{name}/' for name in top)}" if top else "")


def options_of(name: str) -> dict[str, str]:
    """The options of a source, or of all for "auto", and their help texts."""
    if name != AUTO:
        return getattr(_load(name), "OPTIONS", {})
    texts: dict[str, str] = {}
    for one in names():
        for option, text in options_of(one).items():
            texts[option] = (
                f"{texts[option]} {one}: {text}" if option in texts else text
            )
    return texts


def define_flags(name: str) -> list[str]:
    """Defines a flag for each option of the source; returns the options' names."""
    texts = options_of(name)
    for option, text in texts.items():
        default = _default(name, option)
        define: Any = {
            bool: flags.DEFINE_boolean,
            int: flags.DEFINE_integer,
            float: flags.DEFINE_float,
            str: flags.DEFINE_string,
        }[type(default)]
        define(option, default, f"{name}: {text}")
    return list(texts)


def _default(name: str, option: str) -> object:
    owners = names() if name == AUTO else [name]
    module = _load(next(one for one in owners if option in options_of(one)))
    function = getattr(module, "read", None) or module.samples
    return inspect.signature(function).parameters[option].default


def _load(name: str) -> types.ModuleType:
    if name not in names():
        raise unknown("--dataset", name, [AUTO, *names()])
    return importlib.import_module(f"{__name__}.{name}")
