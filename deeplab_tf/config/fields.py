"""What a leaf of the config is: default, help text, allowed values, checks."""

import dataclasses
import math
import types
import typing
from collections.abc import Callable
from typing import Any, TypeVar

from deeplab_tf.errors import UserError, unknown

T = TypeVar("T")
Rule = tuple[str, Callable[[Any], bool]]  # what is allowed, in words and as a test

POSITIVE: Rule = ("positive", lambda value: value > 0)
NOT_NEGATIVE: Rule = ("at least 0", lambda value: value >= 0)
AT_LEAST_ONE: Rule = ("at least 1", lambda value: value >= 1)
FRACTION: Rule = ("in [0, 1]", lambda value: 0 <= value <= 1)
BELOW_ONE: Rule = ("in [0, 1)", lambda value: 0 <= value < 1)
ALL_POSITIVE: Rule = ("positive numbers", lambda values: all(v > 0 for v in values))
DIFFERENT: Rule = (
    "different positive numbers",
    lambda values: all(v > 0 for v in values) and len(set(values)) == len(values),
)
HALF_TURN: Rule = ("in [0, 180]", lambda value: 0 <= value <= 180)
SIZE_OR_EMPTY: Rule = (
    "height,width or empty",
    lambda size: len(size) in (0, 2) and all(side > 0 for side in size),
)


def one_of(*values: Any) -> Rule:
    """The rule that a value is one of those given."""
    return ", ".join(map(str, values)), lambda value: value in values


def leaf(
    default: T,
    help_text: str,
    rule: Rule | None = None,
    choices: tuple[str, ...] | None = None,
) -> T:
    """A dataclass field with its help text and what it may be; None is always let by.

    Args:
      default: its value where nothing else is given; its type is the field's hint.
      help_text: one or two sentences, shown by --help.
      rule: for numbers: the allowed range.
      choices: for strings: the allowed values.
    """
    metadata = {"help": help_text, "rule": rule, "choices": choices}
    return dataclasses.field(default=default, metadata=metadata)


def require(condition: bool, name: str, allowed: str, received: object) -> None:
    """Raises UserError in the one shape that every check of a setting has."""
    if not condition:
        raise UserError(f"{name} must be {allowed}; received {received!r}.")


class Section:
    """Checks type, rule and choices of every leaf."""

    @classmethod
    def full_name(cls, name: str) -> str:
        """A leaf's name in messages, as `model.backbone`."""
        return f"{cls.__name__.lower()}.{name}"

    def __post_init__(self) -> None:
        hints = typing.get_type_hints(type(self))
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            name = self.full_name(field.name)
            value = _coerce(getattr(self, field.name), hints[field.name], name)
            object.__setattr__(self, field.name, value)
            choices, rule = field.metadata["choices"], field.metadata["rule"]
            if value is None:
                continue
            if choices is not None and value not in choices:
                raise unknown(name, value, choices)
            if rule is not None:
                require(rule[1](value), name, rule[0], value)


def _coerce(value: Any, hint: Any, name: str) -> Any:
    """Turns JSON's list into a tuple and an int into a float; refuses other types."""
    if isinstance(hint, types.UnionType):
        if value is None:
            return None
        hint = next(arm for arm in typing.get_args(hint) if arm is not type(None))
    if typing.get_origin(hint) is tuple:
        item = typing.get_args(hint)[0]
        require(
            isinstance(value, list | tuple),
            name,
            f"a list of {item.__name__}s",
            value,
        )
        return tuple(_coerce(part, item, name) for part in value)
    if hint is float and type(value) is int:
        return float(value)
    require(type(value) is hint, name, f"of type {hint.__name__}", value)
    if hint is float:
        require(math.isfinite(value), name, "finite", value)
    return value
