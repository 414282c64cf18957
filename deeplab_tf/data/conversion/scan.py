"""Reads shards back: every record, its checksums, its picture and its label."""

import dataclasses
import functools
import json
import pathlib
import tempfile
from collections.abc import Mapping, Sequence

import numpy as np

from deeplab_tf.data import records
from deeplab_tf.data.conversion.audit import Audit, make_split
from deeplab_tf.data.conversion.labels import Label, read_label
from deeplab_tf.data.conversion.pictures import (
    Picture,
    decoding_fault,
    read_picture,
)
from deeplab_tf.data.conversion.png import is_label
from deeplab_tf.data.conversion.samples import INDICES, SampleError
from deeplab_tf.data.conversion.shards import digest_of
from deeplab_tf.data.conversion.workers import Tick, run_tasks
from deeplab_tf.data.dataset_info import DatasetInfo, Split
from deeplab_tf.data.tfrecord import read_records
from deeplab_tf.errors import UserError
from deeplab_tf.files import Json, Values

ShardFact = Json  # file, split, examples, bytes, sha256


def scan(
    info: DatasetInfo,
    folder: pathlib.Path,
    shards: Mapping[str, Sequence[str]],
    workers: int,
) -> tuple[Audit, list[ShardFact]]:
    """Reads all shards in parallel.

    Args:
      info: classes, channels, ignored label; of its splits the lengths
        are used, for the progress bar.
      folder: the data set's.
      shards: file names by split.
      workers: processes.

    Returns:
      The audit of what was found, and the facts of every shard, in order.

    Raises:
      UserError: a shard is truncated or corrupt, or a record is no example.
    """
    audit, found = Audit(info), []
    total = sum(split.num_examples for split in info.splits.values())
    files = [(split, file) for split, names in shards.items() for file in names]
    with tempfile.TemporaryDirectory() as temporary:
        results = [pathlib.Path(temporary) / f"{i}.json" for i in range(len(files))]
        tasks = [
            functools.partial(_scan_shard, info, folder / file, result)
            for (_, file), result in zip(files, results, strict=True)
        ]
        run_tasks(tasks, total, info.name, workers)
        for (split, file), result in zip(files, results, strict=True):
            content = json.loads(result.read_text())
            audit.add(split, content.pop("facts"))
            found.append({"split": split, "file": file, **content})
    audit.finish()
    return audit, found


def _scan_shard(
    info: DatasetInfo, path: pathlib.Path, result: pathlib.Path, tick: Tick
) -> None:
    facts = []
    for number, serialized in enumerate(read_records(path)):
        facts.append(scan_record(serialized, f"{path}, record {number}", info))
        tick()
    content = {
        "examples": len(facts),
        "bytes": path.stat().st_size,
        "sha256": digest_of(path),
        "facts": facts,
    }
    result.write_text(json.dumps(content))


def scan_record(serialized: bytes, place: str, info: DatasetInfo) -> Json:
    """The facts of one record, or what is wrong with it; `place` is for messages."""
    try:
        example = records.decode_example(serialized)
        name = records.name_of(example)
        place = f"{place} ({name})"
        fact = {"name": name, "image": place, "label": place, "fault": None}
        return fact | _check(example, place, info)
    except SampleError as error:
        fault = (error.kind, str(error))
    except UserError as error:
        fault = ("no_example", f"{place}: {error}")
    except Exception as error:  # whatever strange fields lead to
        fault = ("no_example", f"{place}: {type(error).__name__}: {error}")
    return {"name": place, "image": place, "label": place, "fault": fault}


def _check(example: Values, place: str, info: DatasetInfo) -> Json:
    """Size, digest, notes and pixel counts of one example."""
    if records.IMAGE not in example:
        raise SampleError("missing_image", f"{place}: holds no {records.IMAGE}.")
    stated = (example.get(records.HEIGHT, 0), example.get(records.WIDTH, 0))
    label = _label(example, place, info)
    label_size = label.size if label else stated
    picture = _picture(example, place, info, stated, label_size)
    for size, what in ((stated, "its fields say"), (label_size, "its label is")):
        if any(size) and size != picture.size:
            raise SampleError(
                "size_mismatch",
                f"{place}: height, width are {picture.size}, but {what} {size}.",
            )
    return {
        "size": picture.size,
        "digest": picture.digest,
        "notes": picture.notes,
        "pixels": label.counts if label else None,
    }


def _label(example: Values, place: str, info: DatasetInfo) -> Label | None:
    if records.LABEL not in example:
        return None
    data = example[records.LABEL]
    if not is_label(data):
        raise SampleError(
            "not_indices",
            f"{place}: its label is no grey PNG of 8 bits a pixel; TensorFlow reads a "
            "palette as colours and other depths as brightness. Convert the pictures "
            "again.",
        )
    return read_label(data, f"{place}, label", info, INDICES)


def _picture(
    example: Values,
    place: str,
    info: DatasetInfo,
    stated: tuple[int, int],
    label_size: tuple[int, int],
) -> Picture:
    data = example[records.IMAGE]
    if not records.is_raw(info.channels, info.bits):
        if fault := decoding_fault(data):
            message = f"{place}: TensorFlow cannot decode its picture: {fault}."
            raise SampleError("unreadable_image", message)
        return read_picture(data, place, info, label_size)
    pixels = np.frombuffer(data, records.PIXEL_TYPES[info.bits])
    if pixels.size != stated[0] * stated[1] * info.channels:
        raise SampleError(
            "size_mismatch",
            f"{place}: {pixels.size} values do not make {stated} pixels of "
            f"{info.channels} channels.",
        )
    return read_picture(pixels.reshape(*stated, -1), place, info, None)


def differences(info: DatasetInfo, audit: Audit, found: list[ShardFact]) -> list[str]:
    """What dataset.json says otherwise than the shards, one line each."""
    lines = []
    for name, stated in info.splits.items():
        shards = [shard for shard in found if shard["split"] == name]
        seen = make_split(audit.split_facts(name), shards)
        for field in dataclasses.fields(Split):
            says, is_ = getattr(stated, field.name), getattr(seen, field.name)
            given = field.name == "has_labels" or says != field.default
            if given and says != is_:
                lines.append(
                    f"split {name!r}: {field.name} is {is_}, but dataset.json says "
                    f"{says}."
                )
    return lines
