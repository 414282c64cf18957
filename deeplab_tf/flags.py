"""Dataclass leaves <-> absl flags, and the frame that every command line runs in."""

import json
import os
import pathlib
import sys
import types
import typing
from collections.abc import Callable
from typing import Any

from absl import app, flags, logging

from deeplab_tf import presets
from deeplab_tf.config import Config, iterate_leaves
from deeplab_tf.errors import UserError

FLAGS = flags.FLAGS


def run(main: Callable[[], int | None]) -> None:
    """Runs a command line: `main()` after the flags are parsed, then exits.

    A UserError, a flag that is not one, a full disk or a file that cannot be read ends
    in one line on standard error and exit code 1.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # TensorFlow tells of each checkpoint it writes; -v=0 shows that.
    logging.set_verbosity(logging.WARNING)
    app.run(lambda _: _guard(main), flags_parser=_parse)


def define_run_dir(help_text: str = "The run folder.") -> None:
    """Defines --run_dir, which the command cannot do without."""
    flags.DEFINE_string("run_dir", None, help_text, required=True)
    _show_in_help("run_dir")


def define_config() -> None:
    """Defines --preset, --config and a dotted flag for each leaf of Config."""
    flags.DEFINE_enum("preset", None, sorted(presets.PRESETS), presets.describe())
    flags.DEFINE_string("config", None, "JSON file of settings, as a run's run.json.")
    for section, field in iterate_leaves():
        name = f"{section}.{field.name}"
        text = field.metadata["help"] + f" Default: {_written(field.default)}."
        choices = field.metadata["choices"]
        if choices is not None:
            flags.DEFINE_enum(name, None, choices, text)
        elif field.type is bool:
            flags.DEFINE_boolean(name, None, text)
        else:
            flags.DEFINE(_LeafParser(field.type), name, None, text)
        _show_in_help(name)
    for name in ("preset", "config"):
        _show_in_help(name)


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


def numbers(values: list[str], name: str) -> list[float]:
    """The positive numbers of a list flag.

    Raises:
      UserError: the list is empty or an entry is no positive number.
    """
    try:
        parsed = [float(value) for value in values]
    except ValueError:
        parsed = []
    if not parsed or min(parsed) <= 0:
        raise UserError(
            f"--{name} must be positive numbers, as 0.5,1.0; received "
            f"{','.join(values)!r}."
        )
    return parsed


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


def _given(name: str) -> Any:
    value = FLAGS[name].value
    return None if value is _NONE else value


def _written(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "empty"
    return "none" if value is None else str(value).lower() or "empty"


def _show_in_help(name: str) -> None:
    # absl shows under --help the flags of the main module, which it knows as argv[0].
    FLAGS.register_key_flag_for_module(sys.argv[0], FLAGS[name])


def _parse(argv: list[str]) -> list[str]:
    try:
        left = FLAGS(argv)
    except flags.Error as error:
        _stop(" ".join(str(error).split()))
    if len(left) > 1:
        _stop(
            f"unexpected argument {left[1]!r}; write --name=value without spaces "
            "(--help lists the flags)."
        )
    return left


def _guard(main: Callable[[], int | None]) -> int | None:
    try:
        return main()
    except UserError as error:
        _stop(str(error), error.exit_code)
    except OSError as error:
        _stop(str(error))
    except KeyboardInterrupt:
        _stop("interrupted.", code=130)


def _stop(message: str, code: int = 1) -> typing.NoReturn:
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(code)
