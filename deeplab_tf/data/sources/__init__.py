"""Finds the source of a data set: the file of its name in this folder.

A source file holds
  INFO: a DatasetInfo without splits, or, where the classes are only known from the
    source folder, a function (source_dir, **options) that gives one;
  SPLITS: the names of its usual splits;
  samples(source_dir, split, **options): the examples of a split, in their order;
  OPTIONS (optional): {option: help text}; each option is a keyword-only parameter of
    `samples`, whose default and type its flag has.
"""

import dataclasses
import importlib
import inspect
import pathlib
import types
from collections.abc import Iterable, Mapping
from typing import Any

from absl import flags

from deeplab_tf.data.conversion.samples import Sample
from deeplab_tf.data.dataset_info import DatasetInfo
from deeplab_tf.errors import UserError, unknown

_FOLDER = pathlib.Path(__file__).parent


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """An opened source."""

    module: types.ModuleType
    source_dir: str
    options: Mapping[str, Any]

    def info(self) -> DatasetInfo:
        """The data set's facts, without splits."""
        info = self.module.INFO
        return info if isinstance(info, DatasetInfo) else self._call(info)

    def splits(self) -> tuple[str, ...]:
        """The splits that are converted unless the user names others."""
        splits = self.module.SPLITS
        return splits if isinstance(splits, tuple) else self._call(splits)

    def samples(self, split: str) -> list[Sample]:
        """The examples of a split, in order; raises UserError if there is none."""
        found: Iterable[Sample] = self._call(self.module.samples, split)
        samples = list(found)
        if not samples:
            raise UserError(
                f"split {split!r} of {self.source_dir or 'the source'} is empty."
            )
        _check_names(samples, split)
        return samples

    def _call(self, function: Any, *arguments: Any) -> Any:
        """With the options that the function takes."""
        takes = inspect.signature(function).parameters
        options = {k: v for k, v in self.options.items() if k in takes}
        return function(self.source_dir, *arguments, **options)


def _check_names(samples: Iterable[Sample], split: str) -> None:
    seen: set[str] = set()
    for sample in samples:
        if sample.name in seen:
            raise UserError(
                f"split {split!r}: two examples are called {sample.name!r} "
                f"({sample.image_name}); names must be distinct."
            )
        seen.add(sample.name)


def names() -> list[str]:
    """The data sets that can be converted."""
    return sorted(path.stem for path in _FOLDER.glob("[!_]*.py"))


def open_source(name: str, source_dir: str, options: Mapping[str, Any]) -> Source:
    """Opens a source by name; options must be its own."""
    return Source(module=_load(name), source_dir=source_dir, options=options)


def define_flags(name: str) -> list[str]:
    """Defines a flag for each option of the source; returns the options' names."""
    module = _load(name)
    texts = getattr(module, "OPTIONS", {})
    parameters = inspect.signature(module.samples).parameters
    for option, text in texts.items():
        default = parameters[option].default
        define: Any = {
            bool: flags.DEFINE_boolean,
            int: flags.DEFINE_integer,
            float: flags.DEFINE_float,
            str: flags.DEFINE_string,
        }[type(default)]
        define(option, default, f"{name}: {text}")
    return list(texts)


def _load(name: str) -> types.ModuleType:
    if name not in names():
        raise unknown("--dataset", name, names())
    return importlib.import_module(f"{__name__}.{name}")
