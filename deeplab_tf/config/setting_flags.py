"""Dataclass leaves <-> absl flags."""

import dataclasses
import json
import pathlib
import types
import typing
from typing import Any, TypeVar

from absl import flags

from deeplab_tf.config import Config, iterate_leaves, presets
from deeplab_tf.config.options import Options
from deeplab_tf.errors import UserError

FLAGS = flags.FLAGS
T = TypeVar("T", bound=Options)


def define_config() -> None:
    """Defines --preset, --config and a dotted flag for each leaf of Config."""
    flags.DEFINE_enum("preset", None, sorted(presets.PRESETS), presets.describe())
    flags.DEFINE_string("config", None, "JSON file of settings, as a run's run.json.")
    for section, field in iterate_leaves():
        _define_leaf(f"{section}.{field.name}", field)


def define_options(kind: type[Options]) -> None:
    """Defines a flag for each setting of a command's options."""
    for field in dataclasses.fields(typing.cast(Any, kind)):
        _define_leaf(field.name, field)


def options_from_flags(kind: type[T]) -> T:
    """The options with the flags that were given.

    Raises:
      UserError: a value is not allowed.
    """
    names = [field.name for field in dataclasses.fields(typing.cast(Any, kind))]
    return kind(**{name: _given(name) for name in names if FLAGS[name].present})


def config_from_flags() -> Config:
    """The config by precedence: defaults < --preset < --config < flags given."""
    config = presets.get(FLAGS.preset) if FLAGS.preset else Config()
    if FLAGS.config:
        config = config.replace(read_settings(FLAGS.config))
    names = config.leaves()
    given = {name: _given(name) for name in names if FLAGS[name].present}
    return config.replace(given)


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


def _define_leaf(name: str, field: dataclasses.Field[Any]) -> None:
    text = f"{field.metadata['help']} Default: {_written(field.default)}."
    choices = field.metadata["choices"]
    if choices is not None:
        flags.DEFINE_enum(name, None, choices, text)
    elif field.type is bool:
        flags.DEFINE_boolean(name, None, text)
    elif typing.get_origin(item := _item(field.type)) is tuple:
        flags.DEFINE_multi(_LeafParser(item), _SERIALIZER, name, None, text)
    else:
        flags.DEFINE(_LeafParser(field.type), name, None, text)


def _item(hint: Any) -> Any:
    """What a tuple is of; None for what is no tuple."""
    return typing.get_args(hint)[0] if typing.get_origin(hint) is tuple else None


class _LeafParser(flags.ArgumentParser[Any]):
    """Parses a number, a string, a comma list of numbers, or "none"."""

    def __init__(self, hint: Any) -> None:
        self.optional = isinstance(hint, types.UnionType)
        if self.optional:
            hint = next(arm for arm in typing.get_args(hint) if arm is not type(None))
        self.is_list = typing.get_origin(hint) is tuple
        self.item = typing.get_args(hint)[0] if self.is_list else hint
        self.syntactic_help = f"{self.item.__name__}{',...' if self.is_list else ''}"

    def parse(self, argument: str | Any) -> Any:
        if not isinstance(argument, str):
            return argument
        if self.optional and argument.lower() == "none":
            # None itself means "not given" to absl.
            return _NONE
        if self.is_list:
            return tuple(self.item(part) for part in argument.split(",") if part)
        return self.item(argument)

    def flag_type(self) -> str:
        return self.syntactic_help


_NONE = object()
_SERIALIZER: flags.ArgumentSerializer[Any] = flags.ArgumentSerializer()


def _given(name: str) -> Any:
    value = FLAGS[name].value
    return None if value is _NONE else value


def _written(value: Any) -> str:
    if isinstance(value, tuple):
        nested = any(isinstance(item, tuple) for item in value)
        return (" ".join if nested else ",".join)(map(_written, value)) or "empty"
    return "none" if value is None else str(value).lower() or "empty"
