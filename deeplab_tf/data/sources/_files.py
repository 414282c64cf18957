"""The files of this folder: which there are, what each takes, and how it is called."""

import functools
import importlib
import inspect
import pathlib
import types
from collections.abc import Callable
from typing import Any, TypeVar

from absl import flags

from deeplab_tf.errors import UserError, unknown
from deeplab_tf.files import Values

T = TypeVar("T")
AUTO = "auto"
_FOLDER = pathlib.Path(__file__).parent


@functools.cache  # starting convert asks some two hundred times
def names() -> tuple[str, ...]:
    """The data sets and layouts that can be converted."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("[!_]*.py")))


def options_of(name: str) -> dict[str, str]:
    """The options of a source, or of all for "auto", and their help texts."""
    if name != AUTO:
        return getattr(load(name), "OPTIONS", {})
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
    module = load(next(one for one in owners if option in options_of(one)))
    function = getattr(module, "read", None) or module.samples
    return inspect.signature(function).parameters[option].default


def load(name: str) -> types.ModuleType:
    """The file of that name.

    Raises:
      UserError: there is none.
    """
    if name not in names():
        raise unknown("--dataset", name, [AUTO, *names()])
    return importlib.import_module(f"{__package__}.{name}")


def call(function: Callable[..., T], options: Values, *arguments: object) -> T:
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
