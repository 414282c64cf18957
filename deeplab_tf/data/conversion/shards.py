"""One shard: its examples read, checked, encoded and written with a side-car.

The side-car holds the facts that the audit adds up and the shard's digest, so a
conversion that was stopped keeps every shard that was finished.
"""

import contextlib
import dataclasses
import hashlib
import itertools
import json
import os
import pathlib
import pickle
import zlib
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from deeplab_tf import files
from deeplab_tf.data.conversion.audit import Fact
from deeplab_tf.data.conversion.labels import Label, read_label
from deeplab_tf.data.conversion.pictures import Picture, read_picture
from deeplab_tf.data.conversion.samples import Sample, SampleError
from deeplab_tf.data.conversion.workers import Tick
from deeplab_tf.data.dataset_info import DatasetInfo
from deeplab_tf.data.records import encode_example
from deeplab_tf.data.tfrecord import write_record
from deeplab_tf.errors import UserError
from deeplab_tf.files import Json

_FORMAT_VERSION = 2  # raise it when the same input gives other bytes or facts


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shard:
    """One unit of work.

    Attributes:
      split: its split.
      file: its final file name.
      info: the data set's facts.
      num_samples: how many examples it takes from the source.
      packed: these examples in order, pickled and compressed: the paths of a large
        set, held by every process, would be most of the memory.
    """

    split: str
    file: str
    info: DatasetInfo
    num_samples: int
    packed: bytes

    def samples(self) -> list[Sample]:
        """Its examples, in order."""
        return pickle.loads(zlib.decompress(self.packed))

    def fingerprint(self) -> str:
        """Changes when the input, its files or the way of writing does."""
        facts = [_FORMAT_VERSION, self.file, self.info.to_dict()]
        facts += [sample.stamp() for sample in self.samples()]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def plan(
    info: DatasetInfo, split: str, samples: Sequence[Sample], num_shards: int
) -> list[Shard]:
    """Cuts a split into shards whose lengths differ by one at most.

    Raises:
      UserError: the split's name cannot be part of a file's.
    """
    files.check_name(split, "split")
    bounds = [len(samples) * i // num_shards for i in range(num_shards + 1)]
    return [
        Shard(
            split=split,
            file=f"{split}-{i:05d}-of-{num_shards:05d}.tfrecord",
            info=info,
            num_samples=end - start,
            packed=zlib.compress(pickle.dumps(samples[start:end])),
        )
        for i, (start, end) in enumerate(itertools.pairwise(bounds))
    ]


def write_shard(
    shard: Shard, folder: pathlib.Path, keep_records: bool, tick: Tick
) -> None:
    """Writes folder/<file> and its side-car, or neither.

    Args:
      shard: what to write.
      folder: where the parts of an unfinished conversion lie.
      keep_records: False for an audit: only the side-car is written.
      tick: called after each example.
    """
    path = folder / shard.file
    # A worker that outlives its parent for a moment must not meet the next run's.
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    facts: list[Fact] = []
    with _new_file(temporary, keep_records) as file:
        for sample in shard.samples():
            fact, record = convert_sample(sample, shard.info)
            facts.append(fact)
            if file is not None and record is not None:
                write_record(file, record)
            tick()
    side_car = {
        "fingerprint": shard.fingerprint(),
        "file": shard.file,
        "split": shard.split,
        "examples": sum(fact["fault"] is None for fact in facts),
        "bytes": 0,
        "sha256": "",
        "facts": facts,
    }
    if keep_records:
        side_car |= {
            "bytes": temporary.stat().st_size,
            "sha256": digest_of(temporary),
        }
        os.replace(temporary, path)
    temporary.write_text(json.dumps(side_car))
    os.replace(temporary, side_car_path(folder, shard))


@contextlib.contextmanager
def _new_file(path: pathlib.Path, wanted: bool) -> Iterator[BinaryIO | None]:
    if not wanted:
        yield None
        return
    try:
        with path.open("wb") as file:
            yield file
    except OSError:
        path.unlink(missing_ok=True)  # give a full disk its space back
        raise


def side_car_path(folder: pathlib.Path, shard: Shard) -> pathlib.Path:
    """Where the facts of a written shard lie."""
    return (folder / shard.file).with_suffix(".json")


def read_side_car(folder: pathlib.Path, shard: Shard) -> Json:
    """What was written beside the shard; empty if nothing was."""
    try:
        return json.loads(side_car_path(folder, shard).read_text())
    except FileNotFoundError:
        return {}


def digest_of(path: pathlib.Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def convert_sample(sample: Sample, info: DatasetInfo) -> tuple[Fact, bytes | None]:
    """Reads and checks one example.

    Returns:
      Its facts, and its serialised record unless it has a fault.
    """
    fact: Json = {
        "name": sample.name,
        "image": sample.image_name,
        "label": sample.label_name,
        "fault": None,
    }
    try:
        found, record = _convert(sample, info)
    except SampleError as fault:
        return fact | {"fault": (fault.kind, str(fault))}, None
    except (UserError, OSError):
        raise
    except Exception as error:  # one odd file must not end the whole conversion
        text = f"{sample.image_name}: cannot be used: {type(error).__name__}: {error}"
        return fact | {"fault": ("unexpected", text)}, None
    return fact | found, record


def _convert(sample: Sample, info: DatasetInfo) -> tuple[Json, bytes]:
    picture, label = _read(sample, info)
    record = encode_example(
        filename=sample.name,
        image=picture.encoded,
        image_format=picture.format,
        size=picture.size,
        channels=info.channels,
        label=label.encoded if label else None,
    )
    found = {
        "size": picture.size,
        "digest": picture.digest,
        "notes": picture.notes,
        "pixels": label.counts if label else None,
    }
    return found, record


def _read(sample: Sample, info: DatasetInfo) -> tuple[Picture, Label | None]:
    content = sample.label()
    label = None
    if content is not None:
        label = read_label(content, sample.label_name, info, sample.coding)
    size = label.size if label else None
    picture = read_picture(sample.image(), sample.image_name, info, size)
    if label and label.size != picture.size:
        raise SampleError(
            "size_mismatch",
            f"{sample.label_name}: {_by(label.size)}, but {sample.image_name} is "
            f"{_by(picture.size)}; labels are never resized here.",
        )
    return picture, label


def _by(size: tuple[int, int]) -> str:
    return f"{size[1]}x{size[0]} (width x height)"
