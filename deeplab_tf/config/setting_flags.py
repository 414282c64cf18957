"""Dataclass leaves <-> absl flags."""

import dataclasses
import inspect
import json
import pathlib
import typing
from collections.abc import Collection
from typing import Any, TypeVar

from absl import flags

from deeplab_tf import flag_help
from deeplab_tf.config import Config, iterate_leaves, presets
from deeplab_tf.config.fields import SettingField, choices, read
from deeplab_tf.config.options import Options
from deeplab_tf.errors import UserError

FLAGS = flags.FLAGS
T = TypeVar("T", bound=Options)
SECTIONS = [field.name for field in dataclasses.fields(Config)]


def define_config(shown: Collection[str] = SECTIONS) -> None:
    """Defines --preset, --config and a dotted flag for each leaf of Config.

    Args:
      shown: the sections whose main settings --help shows; --helpfull shows all.
    """
    flags.DEFINE_enum("preset", None, sorted(presets.PRESETS), presets.describe())
    flags.DEFINE_string("config", None, "JSON file of settings, as a run's run.json.")
    defaults = Config().leaves()
    for section, field in iterate_leaves():
        name = f"{section}.{field.name}"
        _define_leaf(name, field, defaults[name])
        is_shown = section in shown and field.metadata["main"]
        heading = _heading(type(getattr(Config(), section)))
        flag_help.group(name, heading, shown=is_shown)


def define_options(kind: type[Options]) -> None:
    """Defines a flag for each setting of a command's options."""
    for field in dataclasses.fields(kind):
        _define_leaf(field.name, field, field.default)
        owner = [k for k in kind.__mro__ if field.name in inspect.get_annotations(k)]
        flag_help.group(field.name, _heading(owner[-1]))


def options_from_flags(kind: type[T]) -> T:
    """The options with the flags that were given.

    Raises:
      UserError: a value is not allowed.
    """
    names = [field.name for field in dataclasses.fields(kind)]
    given = {name: FLAGS[name].value for name in names if FLAGS[name].present}
    return read(kind, given, strict=False)


def config_from_flags() -> Config:
    """The config by precedence: defaults < --preset < --config < flags given."""
    config = presets.get(FLAGS.preset) if FLAGS.preset else Config()
    if FLAGS.config:
        config = config.replace(read_settings(FLAGS.config))
    given = {name: FLAGS[name].value for name in config.leaves() if FLAGS[name].present}
    return config.replace(given, strict=False)


def given_settings() -> set[str]:
    """The leaves that somebody has set; all with --preset or --config.

    A recipe is complete: what it does not name is at its default on purpose.
    """
    names = set(Config().leaves())
    if FLAGS.preset or FLAGS.config:
        return names
    return {name for name in names if FLAGS[name].present}


def read_settings(path: str) -> dict[str, Any]:
    """The dotted leaves that a JSON file sets: a run.json, or sections of settings.

    Raises:
      UserError: the file is missing, is no JSON or holds an unknown or wrong setting.
    """
    try:
        content = json.loads(pathlib.Path(path).read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as JSON: {error}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: must hold an object of settings.")
    content = content.get("config", content)
    config = Config.from_dict(content, path)
    return {
        name: value
        for name, value in config.leaves().items()
        if name.split(".")[1] in content.get(name.split(".")[0], {})
    }


def _define_leaf(name: str, field: SettingField, default: object) -> None:
    """Defines a flag whose text the setting's own type will read."""
    text = f"{field.metadata['help']} Default: {_written(default)}."
    if allowed := choices(field):
        flags.DEFINE_enum(name, None, allowed, text)
    elif field.type is bool:
        flags.DEFINE_boolean(name, None, text)
    elif typing.get_origin(field.type) is tuple:  # no comma list, but a flag for each
        flags.DEFINE_multi_string(name, None, text)
    else:
        flags.DEFINE_string(name, None, text)


def _heading(kind: type) -> str:
    """The first line of a class's docstring."""
    return (kind.__doc__ or "").partition("\n")[0]


def _written(value: object) -> str:
    if isinstance(value, dict):
        value = tuple(name if f == 1 else f"{f:g}*{name}" for name, f in value.items())
    if isinstance(value, tuple):
        nested = any(isinstance(item, tuple) for item in value)
        return (" ".join if nested else ",".join)(map(_written, value)) or "empty"
    return "none" if value is None else str(value).lower() or "empty"
