"""dataset.json: what a data set says about itself, beside its TFRecord shards.

It is the one place that knows class names, colours, the ignored label and how many
examples a split has. Training, evaluation, pictures and exports read it from here, so
no table of data sets is needed anywhere.
"""

import dataclasses
import json
import os
from collections.abc import Mapping
from typing import Any, TypeVar

from deeplab_tf import files
from deeplab_tf.errors import UserError, unknown

FILE_NAME = "dataset.json"
SCHEMA = 1
IGNORE_LABEL = 255
Color = tuple[int, int, int]
T = TypeVar("T")
_LEAST_RECORD = 17  # bytes: a length, two checksums and one byte
_REMEDY = "write it with datasets/convert.py, or datasets/describe.py for old shards."


@dataclasses.dataclass(frozen=True, kw_only=True)
class Split:
    """One split and its shards.

    Attributes:
      num_examples: examples in all shards together.
      shards: file names in the data set's folder, in order.
      shard_examples: examples in each shard; empty where unknown.
      shard_bytes: size of each shard's file; empty where unknown.
      sha256: hexadecimal digest of each shard; empty where unknown.
      has_labels: False for a test split; its parsed labels are all ignore_label.
      class_pixels: labelled pixels of each class; empty where not counted.
      ignored_pixels: pixels that carry ignore_label.
      max_size: largest height and largest width; 0, 0 where unknown.
    """

    num_examples: int
    shards: tuple[str, ...]
    shard_examples: tuple[int, ...] = ()
    shard_bytes: tuple[int, ...] = ()
    sha256: tuple[str, ...] = ()
    has_labels: bool = True
    class_pixels: tuple[int, ...] = ()
    ignored_pixels: int = 0
    max_size: tuple[int, int] = (0, 0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """The facts of a data set.

    Attributes:
      name: short name, as in messages and titles.
      class_names: one name for each label value from 0.
      colormap: RGB in 0..255 for each class; left empty: VOC's colours.
      ignore_label: label value that counts nowhere, in 0..255; inside the classes only
        where weights with an output for it are to be used, as the released ADE20K's.
      splits: by name.
      channels: of a picture.
      bits: of a channel: 8, 16, or 32 for float32 in [0, 255].
      source: where the pictures come from: publication, address, licence.
    """

    name: str
    class_names: tuple[str, ...]
    colormap: tuple[Color, ...] = ()
    ignore_label: int = IGNORE_LABEL
    splits: Mapping[str, Split] = dataclasses.field(default_factory=dict)
    channels: int = 3
    bits: int = 8
    source: str = ""

    def __post_init__(self) -> None:
        if not self.colormap:
            object.__setattr__(self, "colormap", default_colormap(self.num_classes))
        names, label = self.class_names, self.ignore_label
        _check(1 <= len(names) <= 255, "class_names", "1 to 255 names", len(names))
        _check(len(set(names)) == len(names), "class_names", "distinct", names)
        _check(
            len(self.colormap) == len(names),
            "colormap",
            f"one colour for each of the {len(names)} classes",
            f"{len(self.colormap)} colours",
        )
        _check(
            all(
                len(rgb) == 3 and all(0 <= v <= 255 for v in rgb)
                for rgb in self.colormap
            ),
            "colormap",
            "[red, green, blue] in 0..255",
            self.colormap,
        )
        _check(
            0 <= label <= 255,
            "ignore_label",
            "in 0..255",
            label,
        )
        _check(self.channels >= 1, "channels", "at least 1", self.channels)
        _check(self.bits in (8, 16, 32), "bits", "8, 16 or 32", self.bits)
        for name, split in self.splits.items():
            _check_split(name, split, len(names))

    @property
    def num_classes(self) -> int:
        """Label values 0 .. num_classes - 1 are classes."""
        return len(self.class_names)

    def split(self, name: str) -> Split:
        """The split of that name, which must exist and hold examples."""
        if name not in self.splits:
            raise unknown(f"split of the data set {self.name!r}", name, self.splits)
        if not self.splits[name].num_examples:
            raise UserError(f"split {name!r} of the data set {self.name!r} is empty.")
        return self.splits[name]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, with the schema number."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        fields["splits"] = {
            name: dataclasses.asdict(split) for name, split in self.splits.items()
        }
        return {"schema": SCHEMA, **json.loads(json.dumps(fields))}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: str) -> "DatasetInfo":
        """Reads what `to_dict` gave.

        Args:
          values: name and class_names must be there; what else is missing has its
            default.
          source: the file's name, for messages.

        Raises:
          UserError: a key is unknown or missing, or a value has a wrong type or range.
        """
        try:
            schema = values.get("schema", SCHEMA)
            _check(
                schema == SCHEMA, "schema", f"{SCHEMA}, as this version reads", schema
            )
            fields = {key: value for key, value in values.items() if key != "schema"}
            splits = _mapping(fields.get("splits", {}), "splits")
            fields["splits"] = {
                name: _build(
                    Split, _mapping(split, f"splits.{name}"), f"splits.{name}."
                )
                for name, split in splits.items()
            }
            return _build(cls, fields, "")
        except UserError as error:
            raise UserError(f"{source}: {error}") from None


def default_colormap(num_classes: int) -> tuple[Color, ...]:
    """PASCAL VOC's colours: the bits of the label spread over red, green and blue.

    The lowest three bits become the highest bit of each channel, the next three the
    bit below, and so on; 0 is black. Source: the VOC development kit.
    """
    return tuple(
        (_every_third_bit(i), _every_third_bit(i >> 1), _every_third_bit(i >> 2))
        for i in range(num_classes)
    )


def _every_third_bit(value: int) -> int:
    return sum((value >> (3 * place) & 1) << (7 - place) for place in range(8))


def load(dataset_dir: str | os.PathLike[str]) -> DatasetInfo:
    """Reads dataset.json; raises UserError that names the file if it cannot be."""
    path = os.path.join(dataset_dir, FILE_NAME)
    values = files.read_json(path, _REMEDY)
    return DatasetInfo.from_dict(_mapping(values, path), path)


def save(info: DatasetInfo, dataset_dir: str | os.PathLike[str]) -> None:
    """Writes dataset.json whole or not at all."""
    files.write_json(os.path.join(dataset_dir, FILE_NAME), info.to_dict())


def _check_split(name: str, split: Split, num_classes: int) -> None:
    """The ranges of what one split says, and that its parts agree."""
    files.check_name(name, "split")
    numbers = ("num_examples", "shard_examples", "shard_bytes", "class_pixels")
    for field in (*numbers, "ignored_pixels", "max_size"):
        value = getattr(split, field)
        least = min(value, default=0) if isinstance(value, tuple) else value
        _check(least >= 0, f"splits.{name}.{field}", "at least 0", least)
    lengths = {"class_pixels": num_classes, "max_size": 2}
    of_shards = ("shard_examples", "shard_bytes", "sha256")
    for field, length in (
        dict.fromkeys(of_shards, len(split.shards)) | lengths
    ).items():
        found = len(getattr(split, field))
        allowed = f"empty or of length {length}"
        _check(found in (0, length), f"splits.{name}.{field}", allowed, found)
    total = sum(split.shard_examples)
    agrees = not split.shard_examples or total == split.num_examples
    _check(
        agrees,
        f"splits.{name}.num_examples",
        f"{total}, the sum of its shards'",
        split.num_examples,
    )
    for shard in split.shards:
        files.check_name(shard, "shard")


def shard_paths(
    dataset_dir: str | os.PathLike[str], info: DatasetInfo, split: str
) -> list[str]:
    """Paths of a split's shards, in order.

    Raises:
      UserError: the split is unknown or empty, or a shard is missing or of another
        size than it was written with.
    """
    facts = info.split(split)
    paths = [os.path.join(dataset_dir, name) for name in facts.shards]
    for index, path in enumerate(paths):
        if not os.path.isfile(path):
            raise UserError(
                f"{path}: missing, but {FILE_NAME} lists it in split {split!r}. "
                "Copy the whole folder, or run datasets/convert.py again."
            )
        _check_size(path, facts, index)
    return paths


def _check_size(path: str, split: Split, index: int) -> None:
    """Finds what was cut, swapped or appended to; --verify compares the digests."""
    size = os.path.getsize(path)
    if split.shard_bytes:
        wrong = size != split.shard_bytes[index]
    else:
        wrong = size < _LEAST_RECORD * sum(split.shard_examples[index : index + 1])
    if wrong:
        expected = split.shard_bytes[index] if split.shard_bytes else "more"
        raise UserError(
            f"{path}: has {size} bytes, but by {FILE_NAME} it must have {expected}. "
            "Copy the whole folder again, or run datasets/convert.py again."
        )


def _check(condition: bool, name: str, allowed: str, received: object) -> None:
    if not condition:
        raise UserError(f"{name} must be {allowed}; received {received!r}.")


def _mapping(value: Any, name: str) -> Mapping[str, Any]:
    _check(isinstance(value, Mapping), name, "a JSON object", value)
    return value


def _build(cls: type[T], values: Mapping[str, Any], prefix: str) -> T:
    """Makes the dataclass from JSON types; lists become tuples."""
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    arguments = {}
    for name, value in values.items():
        if name not in fields:
            raise unknown("field", prefix + name, (prefix + known for known in fields))
        arguments[name] = _typed(value, fields[name].type, prefix + name)
    for name, field in fields.items():
        no_default = field.default is field.default_factory is dataclasses.MISSING
        _check(name in values or not no_default, prefix + name, "given", None)
    return cls(**arguments)


def _typed(value: Any, hint: Any, name: str) -> Any:
    """Checks a value against the few types that this file's dataclasses use."""
    if hint in (int, str, bool):
        _check(type(value) is hint, name, f"of type {hint.__name__}", value)
        return value
    if getattr(hint, "__origin__", None) is tuple:
        _check(isinstance(value, list | tuple), name, "a list", value)
        return tuple(_typed(part, hint.__args__[0], name) for part in value)
    return value
