"""Writes dataset.json for a folder of TFRecords that others have written.

  python datasets/describe.py --dataset_dir=DIR --classes=classes.json
  python datasets/describe.py --dataset_dir=DIR --like=voc2012

Shards of research/deeplab, Model Garden or deeplab2 are read once, every example is
checked, and training can then read the folder. Splits are the first parts of the file
names: train-00000-of-00004.tfrecord, val-...
"""

import dataclasses
import pathlib
import re

from absl import flags

from deeplab_tf import cli, files
from deeplab_tf.data import dataset_info, sources
from deeplab_tf.data.conversion.audit import make_split
from deeplab_tf.data.conversion.classes_file import read_classes
from deeplab_tf.data.conversion.scan import scan
from deeplab_tf.data.conversion.workers import available_cpus
from deeplab_tf.data.dataset_info import DatasetInfo
from deeplab_tf.errors import UserError

FLAGS = flags.FLAGS
_SHARD = re.compile(
    r"(?P<split>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})(\.tfrecords?)?"
)


def define_flags() -> None:
    """The flags of this command."""
    flags.DEFINE_string("dataset_dir", None, "Folder with the shards.", required=True)
    flags.DEFINE_string("classes", "", "A classes.json that names the classes.")
    flags.DEFINE_string(
        "like", "", "Take classes and colours from this data set of convert.py."
    )
    flags.DEFINE_integer(
        "workers", 0, "Worker processes; 0: one for each CPU.", lower_bound=0
    )


def main() -> None:
    """Scans the shards and writes dataset.json and audit.json."""
    folder = pathlib.Path(FLAGS.dataset_dir)
    if (folder / dataset_info.FILE_NAME).exists():
        raise UserError(f"{folder}: holds a {dataset_info.FILE_NAME} already.")
    info = _classes(folder)
    audit, found = scan(
        info, folder, _shards(folder), FLAGS.workers or available_cpus()
    )
    print(audit.table())
    if audit.errors:
        more = len(audit.errors) - 1
        raise UserError(
            audit.errors[0]["message"] + (f" And {more} more errors." if more else "")
        )
    splits = {
        split: make_split(
            audit.split_facts(split), [s for s in found if s["split"] == split]
        )
        for split in dict.fromkeys(shard["split"] for shard in found)
    }
    files.write_json(folder / "audit.json", audit.to_dict())
    dataset_info.save(dataclasses.replace(info, splits=splits), folder)
    print(f"Wrote {folder / dataset_info.FILE_NAME}.")


def _classes(folder: pathlib.Path) -> DatasetInfo:
    if bool(FLAGS.classes) == bool(FLAGS.like):
        raise UserError("give either --classes=classes.json or --like=NAME.")
    if FLAGS.classes:
        return read_classes(pathlib.Path(FLAGS.classes), folder.resolve().name)[0]
    return sources.open_source(FLAGS.like, "", {}).info()


def _shards(folder: pathlib.Path) -> dict[str, list[str]]:
    """File names by split, in order; every shard that the names promise is there."""
    shards: dict[str, list[str]] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        match = _SHARD.fullmatch(path.name)
        if match and path.is_file():
            shards.setdefault(match["split"], []).append(path.name)
    for split, names in shards.items():
        counts = {_SHARD.fullmatch(name)["count"] for name in names}  # type: ignore[index]
        if counts != {f"{len(names):05d}"}:
            raise UserError(
                f"{folder}: split {split!r} has {len(names)} shards, but their names "
                f"say {' and '.join(sorted(counts))}."
            )
    if not shards:
        raise UserError(
            f"{folder}: holds no files named as train-00000-of-00004.tfrecord."
        )
    return shards


def run() -> None:
    """The command line."""
    define_flags()
    cli.run(main, __doc__)


if __name__ == "__main__":
    run()
