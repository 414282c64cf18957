"""The folder that a conversion writes, and how it comes to be complete.

All is written to OUT/.partial first. Once every example was read, the shards move to
their names, then the small files, dataset.json as the last: where it stands, the data
set is whole. A process that dies at any moment leaves what the next run can go on from.
"""

import collections
import dataclasses
import functools
import json
import os
import pathlib
import re
import shutil
from collections.abc import Callable

from deeplab_tf import files
from deeplab_tf.data import dataset_info
from deeplab_tf.data.conversion.audit import Audit, make_split
from deeplab_tf.data.conversion.shards import (
    Shard,
    digest_of,
    read_side_car,
    write_shard,
)
from deeplab_tf.data.conversion.tfds_metadata import tfds_files
from deeplab_tf.data.conversion.workers import Task
from deeplab_tf.data.dataset_info import DatasetInfo
from deeplab_tf.errors import UserError
from deeplab_tf.files import Json

_SHARD = re.compile(r".+-\d{5}-of-\d{5}\.tfrecord")
SideCar = Json
Execute = Callable[[list[Task], int, str], None]


@dataclasses.dataclass(frozen=True)
class Output:
    """A folder for shards."""

    folder: pathlib.Path

    @property
    def partial(self) -> pathlib.Path:
        """Where the parts of an unfinished conversion lie."""
        return self.folder / ".partial"

    def is_finished(self) -> bool:
        """Whether a run that was stopped had only its waste left to remove.

        Raises:
          UserError: the folder holds a finished data set of an earlier conversion.
        """
        if not (self.folder / dataset_info.FILE_NAME).exists():
            return False
        if self.partial.exists():
            shutil.rmtree(self.partial)
            print(f"{self.folder} is complete; it was finished before it was stopped.")
            return True
        raise UserError(
            f"{self.folder}: holds a finished data set already; give another "
            "--output_dir, or remove that one first."
        )

    def write(
        self, shards: list[Shard], execute: Execute, keep_records: bool = True
    ) -> tuple[Audit, list[SideCar]]:
        """Writes the shards that are not there yet, and adds up the facts of all.

        Args:
          shards: all shards of the data set.
          execute: runs the tasks, given them, the number of their examples and a
            title.
          keep_records: False: only the facts are wanted.

        Returns:
          The audit, and the side-car of each shard without its facts, in order.
        """
        self.partial.mkdir(parents=True, exist_ok=True)
        for waste in self.partial.glob("*.tmp"):
            waste.unlink()
        self._check_plan(shards)
        missing = [s for s in shards if not (keep_records and self._is_done(s))]
        if len(missing) < len(shards):
            done = len(shards) - len(missing)
            print(f"{done} of {len(shards)} shards are there already.")
        tasks: list[Task] = [
            functools.partial(write_shard, shard, self.partial, keep_records)
            for shard in missing
        ]
        total = sum(shard.num_samples for shard in missing)
        execute(tasks, total, shards[0].info.name)
        return self._add_up(shards)

    def _check_plan(self, shards: list[Shard]) -> None:
        """No shard twice, and none of another conversion beside them."""
        planned = collections.Counter(shard.file for shard in shards)
        for shard in shards:
            if planned[shard.file] > 1:
                raise UserError(f"split {shard.split!r} is given twice; give it once.")
        for path in sorted(self.folder.iterdir()):
            if _SHARD.fullmatch(path.name) and path.name not in planned:
                raise UserError(
                    f"{path}: is no shard of this conversion; give another "
                    "--output_dir, or remove it first."
                )

    def _is_done(self, shard: Shard) -> bool:
        """Whether an earlier run wrote it from the same input, and it is whole."""
        side_car = read_side_car(self.partial, shard)
        if not side_car or side_car["fingerprint"] != shard.fingerprint():
            return False
        paths = [self.partial / shard.file, self.folder / shard.file]
        found = next((path for path in paths if path.exists()), None)
        return found is not None and digest_of(found) == side_car["sha256"]

    def _add_up(self, shards: list[Shard]) -> tuple[Audit, list[SideCar]]:
        audit, side_cars = Audit(shards[0].info), []
        for shard in shards:
            side_car = read_side_car(self.partial, shard)
            audit.add(shard.split, side_car.pop("facts"))
            side_cars.append(side_car)
        audit.finish()
        return audit, side_cars

    def finish(
        self, info: DatasetInfo, audit: Audit, written: list[SideCar]
    ) -> DatasetInfo:
        """Moves everything to its final name; returns what dataset.json says."""
        splits = {
            split: make_split(
                audit.split_facts(split), [s for s in written if s["split"] == split]
            )
            for split in dict.fromkeys(side_car["split"] for side_car in written)
        }
        info = dataclasses.replace(info, splits=splits)
        small = {"audit.json": audit.to_dict(), **tfds_files(info)}
        for name, content in small.items():
            files.write_json(self.partial / name, content)
        moved = [side_car["file"] for side_car in written] + list(small)
        if audit.errors:
            lines = [json.dumps(error, ensure_ascii=False) for error in audit.errors]
            (self.partial / "skipped.jsonl").write_text("\n".join(lines) + "\n")
            moved.append("skipped.jsonl")
        dataset_info.save(info, self.partial)
        for name in [*moved, dataset_info.FILE_NAME]:
            if (self.partial / name).exists():
                os.replace(self.partial / name, self.folder / name)
        shutil.rmtree(self.partial)
        return info
