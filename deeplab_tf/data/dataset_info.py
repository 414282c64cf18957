"""dataset.json: what a data set says about itself, beside its TFRecord shards.

It is the one place that knows class names, colours, the ignored label and how many
examples a split has. Training, evaluation, pictures and exports read it from here, so
no table of data sets is needed anywhere.
"""

import dataclasses
import json
import os
from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, NonNegativeInt, PositiveInt

from deeplab_tf import files
from deeplab_tf.config.fields import checked, read, require, rule
from deeplab_tf.errors import UserError, unknown
from deeplab_tf.files import Json, Values

FILE_NAME = "dataset.json"
SCHEMA = 1
IGNORE_LABEL = 255
Color = tuple[int, int, int]
Byte = Annotated[int, Field(ge=0, le=255)]
Numbers = tuple[NonNegativeInt, ...]
_LEAST_RECORD = 17  # bytes: a length, two checksums and one byte
ClassNames = Annotated[
    tuple[str, ...],
    rule("1 to 255 names", lambda names: 1 <= len(names) <= 255),
    rule("distinct", lambda names: len(set(names)) == len(names)),
]
_REMEDY = "write it with datasets/convert.py, or datasets/describe.py for old shards."


@checked
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

    num_examples: NonNegativeInt
    shards: tuple[str, ...]
    shard_examples: Numbers = ()
    shard_bytes: Numbers = ()
    sha256: tuple[str, ...] = ()
    has_labels: bool = True
    class_pixels: Numbers = ()
    ignored_pixels: NonNegativeInt = 0
    max_size: tuple[NonNegativeInt, NonNegativeInt] = (0, 0)


@checked
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
    class_names: ClassNames
    colormap: tuple[tuple[Byte, Byte, Byte], ...] = ()
    ignore_label: Byte = IGNORE_LABEL
    splits: Mapping[str, Split] = dataclasses.field(default_factory=dict)
    channels: PositiveInt = 3
    bits: Annotated[int, rule("8, 16 or 32", (8, 16, 32).__contains__)] = 8
    source: str = ""

    def __post_init__(self) -> None:
        if not self.colormap:
            object.__setattr__(self, "colormap", default_colormap(self.num_classes))
        require(
            len(self.colormap) == self.num_classes,
            "colormap",
            f"one colour for each of the {self.num_classes} classes",
            f"{len(self.colormap)} colours",
        )
        for name, split in self.splits.items():
            _check_split(name, split, self.num_classes)

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

    def to_dict(self) -> Json:
        """Plain JSON types, with the schema number."""
        return {"schema": SCHEMA, **json.loads(json.dumps(dataclasses.asdict(self)))}

    @classmethod
    def from_dict(cls, values: Values, source: str) -> "DatasetInfo":
        """Reads what `to_dict` gave.

        Args:
          values: name and class_names must be there; what else is missing has its
            default.
          source: the file's name, for messages.

        Raises:
          UserError: a key is unknown or missing, or a value has a wrong type or range.
        """
        try:
            require(isinstance(values, Mapping), "dataset", "a JSON object", values)
            schema = values.get("schema", SCHEMA)
            allowed = f"{SCHEMA}, as this version reads"
            require(schema == SCHEMA, "schema", allowed, schema)
            return read(cls, {k: v for k, v in values.items() if k != "schema"})
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
    return DatasetInfo.from_dict(values, path)


def save(info: DatasetInfo, dataset_dir: str | os.PathLike[str]) -> None:
    """Writes dataset.json whole or not at all."""
    files.write_json(os.path.join(dataset_dir, FILE_NAME), info.to_dict())


def _check_split(name: str, split: Split, num_classes: int) -> None:
    """The names of what one split says, and that its parts agree."""
    for part, what in ((name, "split"), *((shard, "shard") for shard in split.shards)):
        files.check_name(part, what)
    of_shards = ("shard_examples", "shard_bytes", "sha256")
    lengths = dict.fromkeys(of_shards, len(split.shards))
    for field, length in (lengths | {"class_pixels": num_classes}).items():
        found = len(getattr(split, field))
        allowed = f"empty or of length {length}"
        require(found in (0, length), f"splits.{name}.{field}", allowed, found)
    total = sum(split.shard_examples)
    require(
        not split.shard_examples or total == split.num_examples,
        f"splits.{name}.num_examples",
        f"{total}, the sum of its shards'",
        split.num_examples,
    )


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
