"""What a source yields: light descriptions of examples, read later in a worker."""

import dataclasses
import io
import math
import os
from collections.abc import Mapping

import numpy as np

from deeplab_tf import files
from deeplab_tf.errors import printable

Content = bytes | np.ndarray  # an encoded file, or pixels
Color = tuple[int, int, int]


@dataclasses.dataclass(frozen=True)
class Coding:
    """How the pixels of a label file tell their class.

    With neither table the pixels are the classes themselves, or the ignored label.

    Attributes:
      values: (raw value, class) pairs; a raw value that is not listed is a fault.
      colors: (RGB, class) pairs for colour masks; likewise.
    """

    values: tuple[tuple[int, int], ...] = ()
    colors: tuple[tuple[Color, int], ...] = ()

    @classmethod
    def of(
        cls, values: Mapping[int, int] | None = None, colors: Mapping | None = None
    ) -> "Coding":
        """From dictionaries."""
        return cls(tuple((values or {}).items()), tuple((colors or {}).items()))


INDICES = Coding()


class SampleError(Exception):
    """Why one example cannot be used.

    Attributes:
      kind: a word for tables, as "missing_label".
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(printable(message))
        self.kind = kind


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample:
    """One example, picklable; a subclass says how picture and label are read.

    Attributes:
      name: what the example is called in the records; distinct within a split.
      coding: how its label is coded.
    """

    name: str
    coding: Coding = INDICES

    @property
    def image_name(self) -> str:
        """The picture in messages."""
        return self.name

    @property
    def label_name(self) -> str:
        """The label in messages."""
        return self.name

    def image(self) -> Content:
        """The picture: an encoded file or pixels [H, W, C]."""
        raise NotImplementedError

    def label(self) -> Content | None:
        """The label: an encoded file, pixels [H, W], or None where there is none."""
        raise NotImplementedError

    @property
    def has_label(self) -> bool:
        """Whether it is an example of a split with labels."""
        return True

    def stamp(self) -> list[object]:
        """What changes when the example does, so that its shard is written anew."""
        return [repr(self)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class UnlabelledSample(Sample):
    """Another sample without its label."""

    sample: Sample

    @property
    def image_name(self) -> str:
        """The picture in messages."""
        return self.sample.image_name

    @property
    def has_label(self) -> bool:
        """It has none."""
        return False

    def image(self) -> Content:
        """The other's picture."""
        return self.sample.image()

    def label(self) -> None:
        """None: a split without labels."""

    def stamp(self) -> list[object]:
        """The other's, marked."""
        return ["unlabelled", *self.sample.stamp()]


@dataclasses.dataclass(frozen=True, kw_only=True)
class FileSample(Sample):
    """A picture file and its label file; label_path None in a split without labels."""

    image_path: str
    label_path: str | None

    @property
    def image_name(self) -> str:
        """The picture's path."""
        return self.image_path

    @property
    def label_name(self) -> str:
        """The label's path."""
        return self.label_path or self.name

    @property
    def has_label(self) -> bool:
        """Whether a label belongs to it, there or missing."""
        return self.label_path is not None

    def image(self) -> Content:
        """Reads the picture's file."""
        return _read(self.image_path, "image")

    def label(self) -> Content | None:
        """Reads the label's file."""
        return None if self.label_path is None else _read(self.label_path, "label")

    def stamp(self) -> list[object]:
        """Names, sizes and times of both files."""
        paths = [self.image_path, *([self.label_path] if self.label_path else [])]
        return [repr(self), *(_file_stamp(path) for path in paths)]


def _read(path: str, what: str) -> Content:
    try:
        content = files.read_bytes(path)
        return _array(content) if path.endswith(".npy") else content
    except FileNotFoundError:
        raise SampleError(
            f"missing_{what}", f"{path}: there is no such {what}."
        ) from None
    except Exception as error:  # NumPy's reader of headers raises nearly anything
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        text = f"{path}: cannot be read: {reason}."
        raise SampleError(f"unreadable_{what}", text) from None


def _array(content: bytes) -> np.ndarray:
    """The array of a .npy file, which takes no memory that the file does not hold."""
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }[version]
    shape, in_columns, dtype = read_header(stream)
    data = memoryview(content)[stream.tell() :]
    count = math.prod(shape)
    if not 0 < count * dtype.itemsize == len(data):
        raise ValueError(f"{dtype} {list(shape)} is not what its {len(data)} bytes are")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if in_columns else "C")


def _file_stamp(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns
