"""Converts labelled pictures to TFRecord shards and finds their mistakes on the way.

  python datasets/convert.py --dataset=voc2012 --source_dir=VOCdevkit --output_dir=OUT
  python datasets/convert.py --dataset=folder --source_dir=DIR --audit_only

OUT then holds <split>-00000-of-00004.tfrecord, dataset.json and audit.json; nothing
appears there under its final name before every example was checked. A conversion that
was stopped goes on where it was when the same command is given again.
"""

import functools
import json
import os
import pathlib
import shutil
import sys
import tempfile
from typing import Any

from absl import flags
from conversion import sources
from conversion.audit import Audit, make_split
from conversion.shards import (
    Shard,
    digest_of,
    plan,
    read_side_car,
    write_shard,
)
from conversion.workers import Task, run_tasks

from deeplab_tf import flags as command_line
from deeplab_tf.data import info as data_info
from deeplab_tf.errors import UserError

FLAGS = flags.FLAGS
_PARTIAL = ".partial"  # folder in OUT for an unfinished conversion
_EXAMPLES_PER_SHARD = 128
_MIN_SHARDS = 4


def define_flags() -> None:
    """The flags of every data set."""
    flags.DEFINE_string("dataset", None, f"One of {', '.join(sources.names())}.")
    flags.DEFINE_string("source_dir", "", "Folder with the pictures and labels.")
    flags.DEFINE_string("output_dir", "", "Folder for the shards and dataset.json.")
    flags.DEFINE_list("splits", [], "Splits to convert; empty: the usual ones.")
    flags.DEFINE_integer(
        "num_shards", 0, "Shards of each split; 0: by its length.", lower_bound=0
    )
    flags.DEFINE_integer(
        "workers", 0, "Worker processes; 0: one for each CPU.", lower_bound=0
    )
    flags.DEFINE_boolean("audit_only", False, "Check and report; write no shards.")
    flags.mark_flag_as_required("dataset")


def main(options: list[str]) -> None:
    """Converts by the flags; `options` are the flags that belong to the source."""
    values = {option: FLAGS[option].value for option in options}
    source = sources.open_source(FLAGS.dataset, FLAGS.source_dir, values)
    if not FLAGS.audit_only and not FLAGS.output_dir:
        raise UserError("--output_dir must name the folder to write.")
    shards = _plan(source)
    if FLAGS.audit_only:
        with tempfile.TemporaryDirectory() as folder:
            audit = _check(shards, pathlib.Path(folder), keep_records=False)[0]
        if FLAGS.output_dir:
            _write_audit(audit, pathlib.Path(FLAGS.output_dir))
    else:
        audit = _convert(shards, pathlib.Path(FLAGS.output_dir))
    _stop_on_errors(audit)


def _plan(source: sources.Source) -> list[Shard]:
    info = source.info()
    shards: list[Shard] = []
    for split in FLAGS.splits or source.splits():
        samples = source.samples(split)
        usual = max(_MIN_SHARDS, -(-len(samples) // _EXAMPLES_PER_SHARD))
        num_shards = min(FLAGS.num_shards or usual, len(samples))
        shards += plan(info, split, samples, num_shards)
    return shards


def _convert(shards: list[Shard], output: pathlib.Path) -> Audit:
    """Writes into OUT/.partial, and moves everything to its name once all is well."""
    if (output / data_info.FILE_NAME).exists():
        raise UserError(
            f"{output}: holds a finished data set already; give another --output_dir, "
            "or remove that one first."
        )
    partial = output / _PARTIAL
    partial.mkdir(parents=True, exist_ok=True)
    audit, side_cars = _check(shards, partial, keep_records=True)
    if audit.errors:
        return audit
    splits = {
        split: make_split(
            audit.split_facts(split), [s for s in side_cars if s["split"] == split]
        )
        for split in dict.fromkeys(shard.split for shard in shards)
    }
    for shard in shards:
        if (partial / shard.file).exists():
            os.replace(partial / shard.file, output / shard.file)
    _write_audit(audit, output)
    info = data_info.DatasetInfo(**{**vars(shards[0].info), "splits": splits})
    data_info.save(info, output)
    shutil.rmtree(partial)
    print(f"Wrote {sum(s.num_examples for s in splits.values())} examples to {output}.")
    return audit


def _check(
    shards: list[Shard], folder: pathlib.Path, keep_records: bool
) -> tuple[Audit, list[dict[str, Any]]]:
    """Reads every example once; writes what is not yet there; adds up the facts."""
    missing = [s for s in shards if not (keep_records and _is_done(s, folder))]
    tasks: list[Task] = [
        functools.partial(write_shard, shard, folder, keep_records) for shard in missing
    ]
    if len(missing) < len(shards):
        print(
            f"{len(shards) - len(missing)} of {len(shards)} shards are there already."
        )
    run_tasks(
        tasks,
        sum(len(shard.samples) for shard in missing),
        FLAGS.workers or os.cpu_count() or 1,
        shards[0].info.name,
    )
    audit, side_cars = Audit(shards[0].info), []
    for shard in shards:
        side_car = read_side_car(folder, shard)
        if side_car is None:
            raise UserError(f"{shard.file}: its files changed during the conversion.")
        audit.add(shard.split, side_car.pop("facts"))
        side_cars.append(side_car)
    audit.finish()
    return audit, side_cars


def _is_done(shard: Shard, partial: pathlib.Path) -> bool:
    """Whether an earlier run wrote the shard from the same input, and it is whole."""
    side_car = read_side_car(partial, shard)
    if side_car is None:
        return False
    paths = [partial / shard.file, partial.parent / shard.file]
    return any(p.exists() and digest_of(p) == side_car["sha256"] for p in paths)


def _write_audit(audit: Audit, output: pathlib.Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    temporary = output / "audit.json.tmp"
    temporary.write_text(json.dumps(audit.to_dict(), indent=1, ensure_ascii=False))
    os.replace(temporary, output / "audit.json")


def _stop_on_errors(audit: Audit) -> None:
    print(audit.table())
    if audit.errors:
        first = audit.errors[0]
        more = len(audit.errors) - 1
        raise UserError(
            first["message"]
            + (f" And {more} more errors, listed above." if more else "")
        )


def _named_dataset(arguments: list[str]) -> str:
    """The value of --dataset, before absl parses: the source's flags depend on it."""
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=True):
        name, _, value = argument.lstrip("-").partition("=")
        if name == "dataset" and argument.startswith("-"):
            return value or following
    return ""


if __name__ == "__main__":
    define_flags()
    dataset = _named_dataset(sys.argv)
    names = sources.define_flags(dataset) if dataset in sources.names() else []
    command_line.run(functools.partial(main, names))
