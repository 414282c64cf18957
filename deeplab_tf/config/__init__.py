"""The configuration of a run: its sections together, and strict JSON.

Each leaf stands once, in network.py or training.py, with its help
text. Its flag (`--model.output_stride`), its place in run.json and in every exported
file follow from it. Neither the number of classes nor the ignored label is here: they
belong to the data set (dataset.json).
"""

import dataclasses
import json
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from deeplab_tf.config.fields import SettingField, checked, read
from deeplab_tf.config.network import BACKBONES, Augment, Data, Model
from deeplab_tf.config.training import OPTIMIZERS, Loss, Optimizer, Train
from deeplab_tf.errors import UserError, unknown

__all__ = [
    "AUTO",
    "BACKBONES",
    "OPTIMIZERS",
    "Augment",
    "Config",
    "Data",
    "Loss",
    "Model",
    "Optimizer",
    "Train",
    "iterate_leaves",
]

SCHEMA = 1
AUTO = "auto"  # of a setting: what suits the machine and what lies on it


@checked
class Config:
    """Everything that recreates a run, but for the data set's own facts."""

    model: Model = dataclasses.field(default_factory=Model)
    data: Data = dataclasses.field(default_factory=Data)
    augment: Augment = dataclasses.field(default_factory=Augment)
    loss: Loss = dataclasses.field(default_factory=Loss)
    optimizer: Optimizer = dataclasses.field(default_factory=Optimizer)
    train: Train = dataclasses.field(default_factory=Train)

    def leaves(self) -> dict[str, Any]:
        """All values by dotted name, in the order of this file."""
        return {
            f"{section}.{field.name}": getattr(getattr(self, section), field.name)
            for section, field in iterate_leaves()
        }

    def replace(
        self, changes: Mapping[str, object], *, strict: bool = True
    ) -> "Config":
        """A copy with the leaves of the dotted names replaced, checked anew.

        Args:
          changes: dotted name -> value.
          strict: False where values may be texts, as flags are.

        Raises:
          UserError: a name is unknown, or a value has a wrong type or range.
        """
        values, known = dataclasses.asdict(self), self.leaves()
        for dotted, value in changes.items():
            if dotted not in known:
                raise unknown("setting", dotted, known)
            section, name = dotted.split(".")
            values[section][name] = value
        return read(Config, values, strict=strict)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, with the schema number."""
        plain = json.loads(json.dumps(dataclasses.asdict(self)))
        return {"schema": SCHEMA, **plain}

    @classmethod
    def from_dict(cls, values: Mapping[str, object], source: str) -> "Config":
        """Reads what `to_dict` gave.

        Args:
          values: sections of leaves; what is missing has its default.
          source: the file's name, for messages.

        Raises:
          UserError: a key is unknown, a value has the wrong type or range, or the
            schema is newer than this program.
        """
        if not isinstance(values, Mapping):
            raise UserError(
                f"{source}: config must be a JSON object; received {values!r:.80}."
            )
        schema = values.get("schema", SCHEMA)
        if schema != SCHEMA:
            raise UserError(
                f"{source}: schema must be {SCHEMA}, which this version reads; "
                f"received {schema!r}."
            )
        try:
            return read(cls, {k: v for k, v in values.items() if k != "schema"})
        except UserError as error:
            raise UserError(f"{source}: {error}") from None

    def difference(self, other: "Config") -> list[str]:
        """One line "name: here -> there" for each leaf that differs."""
        mine, theirs = self.leaves(), other.leaves()
        return [
            f"{name}: {mine[name]} -> {theirs[name]}"
            for name in mine
            if mine[name] != theirs[name]
        ]

    def with_changeable(self, other: "Config") -> "Config":
        """This config with those leaves of another that a run may go on with."""
        theirs = other.leaves()
        names = [
            f"{section}.{field.name}"
            for section, field in iterate_leaves()
            if field.metadata["may_change"]
        ]
        return self.replace({name: theirs[name] for name in names})


def iterate_leaves() -> Iterator[tuple[str, SettingField]]:
    """Yields (section, field) for each leaf of Config."""
    for section in dataclasses.fields(Config):
        for field in dataclasses.fields(typing.cast(Any, section.type)):
            yield section.name, field
