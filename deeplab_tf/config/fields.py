"""What a setting is: default, help text, and a type that says what it may be.

pydantic checks the types. What it finds wrong becomes a UserError of one line in the
shape "name must be X; received Y.", whoever made the object.
"""

import dataclasses
import json
import re
import types
import typing
from collections.abc import Callable, Iterable
from typing import Annotated, Any, TypeVar

import pydantic
from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from deeplab_tf.errors import UserError, unknown

T = TypeVar("T")
SettingField = dataclasses.Field[Any]  # of any type
_LONGEST = 200  # letters of a received value in a message
_STRICT = pydantic.ConfigDict(extra="forbid", allow_inf_nan=False)


def rule(allowed: str, test: Callable[[Any], bool]) -> AfterValidator:
    """What a value must be beside its type, in words and as a test."""

    def check(value: T) -> T:
        if not test(value):
            raise PydanticCustomError("rule", allowed)
        return value

    return AfterValidator(check)


def _as_tuple(value: object) -> object:
    """The parts of a flag's text, or of JSON's list."""
    if isinstance(value, str):
        value = [part for part in value.split(",") if part.strip()]
    return tuple(value) if isinstance(value, list) else value


def _none(value: object) -> object:
    return None if isinstance(value, str) and value.lower() == "none" else value


COMMA_LIST = BeforeValidator(_as_tuple)
NONE = BeforeValidator(_none)
Fraction = Annotated[float, Field(ge=0, le=1)]
BelowOne = Annotated[float, Field(ge=0, lt=1)]
PositiveInts = Annotated[tuple[pydantic.PositiveInt, ...], COMMA_LIST]
DifferentInts = Annotated[
    PositiveInts, rule("different numbers", lambda v: len(set(v)) == len(v))
]
SizeOrEmpty = Annotated[
    PositiveInts, rule("height,width or empty", lambda size: len(size) in (0, 2))
]


def leaf(
    default: T, help_text: str, *, may_change: bool = False, main: bool = False
) -> T:
    """A setting.

    Args:
      default: its value where none is given.
      help_text: one or two sentences, shown by --help.
      may_change: whether a run may go on with another value, as what it trains stays
        the same.
      main: whether --help shows it; --helpfull shows every setting of a run.
    """
    metadata = {"help": help_text, "may_change": may_change, "main": main}
    if isinstance(default, dict):
        copy: Any = default.copy
        return dataclasses.field(default_factory=copy, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def choices(field: SettingField) -> tuple[str, ...]:
    """What the setting is one of; empty where it is none of a few."""
    hint: Any = field.type
    if typing.get_origin(hint) in (typing.Union, types.UnionType):  # or None
        hint = typing.get_args(hint)[0]
    return typing.get_args(hint) if typing.get_origin(hint) is typing.Literal else ()


def require(condition: bool, name: str, allowed: str, received: object) -> None:
    """Raises UserError in the one shape that every check of a setting has."""
    if not condition:
        raise UserError(f"{name} must be {allowed}; received {received!r}.")


@typing.dataclass_transform(frozen_default=True, kw_only_default=True)
def checked(kind: type[T]) -> type[T]:
    """Makes a class a frozen dataclass whose values are checked by their types."""
    made: Any = pydantic.dataclasses.dataclass(
        frozen=True, kw_only=True, config=_STRICT
    )(kind)
    build = made.__init__

    def init(self: T, **values: object) -> None:
        try:
            build(self, **values)
        except pydantic.ValidationError as error:
            raise _explain(error, made) from None

    made.__init__ = init
    return made


def read(kind: Any, values: object, *, name: str = "", strict: bool = True) -> Any:
    """Makes a `checked` class, or a tuple of such, from values as JSON has them.

    Args:
      kind: the class.
      values: its fields by name; what is missing has its default.
      name: of the whole, for messages.
      strict: whether a number must be a number; else its text will do, as in a flag.

    Raises:
      UserError: a name is unknown or missing, or a value is none that is allowed.
    """
    text = json.dumps(values, default=dataclasses.asdict)
    try:
        return pydantic.TypeAdapter(kind).validate_json(text, strict=strict)
    except pydantic.ValidationError as error:
        raise _explain(error, kind, name) from None


def _explain(
    error: pydantic.ValidationError, kind: object, whole: str = ""
) -> UserError:
    """The first thing found wrong, in one line."""
    first = error.errors(include_url=False)[0]
    path, words, value = first["loc"], first["msg"], first["input"]
    parts = [part for part in (whole, *map(str, path)) if part not in ("", "[key]")]
    name = getattr(kind, "PREFIX", "") + ".".join(parts)
    if first["type"] == "unexpected_keyword_argument":
        known = _names_at(kind, path[:-1])
        return unknown("setting", name, (".".join([*parts[:-1], n]) for n in known))
    context = first.get("ctx", {})
    expected = context.get("expected") or context.get("expected_tags", "")
    if choices := re.findall("'([^']*)'", expected):
        return unknown(name, value, choices)
    if first["type"] == "value_error":  # of a check in __post_init__, with its name
        return UserError(str(context["error"]))
    if first["type"] == "missing":
        return UserError(f"{name} must be given.")
    allowed = words.removeprefix("Input should be ").split(", unable to parse")[0]
    text = repr(value)
    received = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
    return UserError(f"{name} must be {allowed}; received {received}.")


def _names_at(kind: Any, path: Iterable[Any]) -> list[str]:
    """The names that may stand at a place in a tree of dataclasses."""
    for part in path:
        if dataclasses.is_dataclass(kind):
            kind = typing.get_type_hints(kind)[part]
        elif not isinstance(kind, types.UnionType):  # whose tag is the part
            kind = [arm for arm in typing.get_args(kind) if arm is not ...][-1]
    kinds = typing.get_args(kind) or (kind,)
    return [field.name for one in kinds for field in dataclasses.fields(one)]
