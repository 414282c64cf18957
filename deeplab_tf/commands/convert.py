"""Converts labelled pictures to TFRecord shards and finds their mistakes on the way.

  python datasets/convert.py --dataset=voc2012 --source_dir=VOCdevkit --output_dir=OUT
  python datasets/convert.py --dataset=folder --source_dir=DIR --audit_only
  python datasets/convert.py --verify --output_dir=OUT

OUT then holds <split>-00000-of-00004.tfrecord, dataset.json and audit.json; nothing
appears there under its final name before every example was checked. A conversion that
was stopped goes on where it was when the same command is given again.
"""

import functools
import pathlib
import sys
import tempfile

from absl import flags

from deeplab_tf import cli, files
from deeplab_tf.data import dataset_info, sources
from deeplab_tf.data.conversion.audit import Audit
from deeplab_tf.data.conversion.beam import run_beam
from deeplab_tf.data.conversion.output import Execute, Output
from deeplab_tf.data.conversion.scan import differences, scan
from deeplab_tf.data.conversion.shards import Shard, plan
from deeplab_tf.data.conversion.workers import available_cpus, run_tasks
from deeplab_tf.errors import UserError

FLAGS = flags.FLAGS
_EXAMPLES_PER_SHARD = 128
_MIN_SHARDS = 4


def define_flags() -> None:
    """The flags of every data set."""
    flags.DEFINE_string("dataset", "", f"One of {', '.join(sources.names())}.")
    flags.DEFINE_string("source_dir", "", "Folder with the pictures and labels.")
    flags.DEFINE_string("output_dir", "", "Folder for the shards and dataset.json.")
    flags.DEFINE_list("splits", [], "Splits to convert; empty: the usual ones.")
    flags.DEFINE_integer(
        "num_shards", 0, "Shards of each split; 0: by its length.", lower_bound=0
    )
    flags.DEFINE_integer(
        "workers", 0, "Worker processes; 0: one for each CPU.", lower_bound=0
    )
    flags.DEFINE_enum(
        "runner", "local", ["local", "beam"], "Processes here, or Apache Beam."
    )
    flags.DEFINE_multi_string(
        "beam_flags", [], "One option for Beam, as --beam_flags=--runner=FlinkRunner."
    )
    flags.DEFINE_boolean("audit_only", False, "Check and report; write no shards.")
    flags.DEFINE_boolean(
        "skip_bad", False, "Leave bad examples out and list them in skipped.jsonl."
    )
    flags.DEFINE_boolean(
        "verify", False, "Read all of --output_dir again and compare with dataset.json."
    )


def main(options: list[str]) -> None:
    """Acts by the flags; `options` are the flags that belong to the source."""
    values = {option: FLAGS[option].value for option in options}
    if not FLAGS.verify:
        source = sources.open_source(FLAGS.dataset, FLAGS.source_dir, values)
    if not FLAGS.output_dir and not FLAGS.audit_only:
        raise UserError("--output_dir must name the folder to write.")
    if FLAGS.verify:
        _verify(pathlib.Path(FLAGS.output_dir))
    elif FLAGS.audit_only:
        _audit_only(_plan(source))
    else:
        _convert(source)


def _convert(source: sources.Source) -> None:
    output = Output(pathlib.Path(FLAGS.output_dir))
    if output.is_finished():
        return
    shards = _plan(source)
    audit, written = output.write(shards, _execute())
    print(audit.table())
    if (audit.errors and not FLAGS.skip_bad) or audit.has_empty_split():
        _stop(audit)
    info = output.finish(shards[0].info, audit, written)
    total = sum(split.num_examples for split in info.splits.values())
    print(f"Wrote {total} examples to {output.folder}.")


def _audit_only(shards: list[Shard]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        output = Output(pathlib.Path(folder))
        audit, _ = output.write(shards, _execute(), keep_records=False)
    if FLAGS.output_dir:
        files.write_json(pathlib.Path(FLAGS.output_dir) / "audit.json", audit.to_dict())
    print(audit.table())
    if audit.errors:
        _stop(audit)


def _verify(folder: pathlib.Path) -> None:
    """Reads every record of a finished data set."""
    info = dataset_info.load(folder)
    shards = {name: split.shards for name, split in info.splits.items()}
    for split in info.splits:
        dataset_info.shard_paths(folder, info, split)
    audit, found = scan(info, folder, shards, _workers())
    lines = differences(info, audit, found)
    print("\n".join([audit.table(), *lines]))
    if lines:
        raise UserError(f"{folder}: {lines[0]} In all {len(lines)} differences.")
    if audit.errors:
        _stop(audit)
    print(f"{folder}: all shards are as {dataset_info.FILE_NAME} says.")


def _plan(source: sources.Source) -> list[Shard]:
    info = source.info()
    shards: list[Shard] = []
    for split in FLAGS.splits or source.splits():
        samples = source.samples(split)
        usual = max(_MIN_SHARDS, -(-len(samples) // _EXAMPLES_PER_SHARD))
        num_shards = min(FLAGS.num_shards or usual, len(samples))
        shards += plan(info, split, samples, num_shards)
    return shards


def _execute() -> Execute:
    """What runs the tasks: processes here, or Beam."""
    if FLAGS.runner == "beam":
        return functools.partial(run_beam, beam_flags=FLAGS.beam_flags)
    return functools.partial(run_tasks, num_workers=_workers())


def _workers() -> int:
    return FLAGS.workers or available_cpus()


def _stop(audit: Audit) -> None:
    more = len(audit.errors) - 1
    tail = f" {more} more errors are listed above." if more else ""
    raise UserError(audit.errors[0]["message"] + tail)


def _named_dataset(arguments: list[str]) -> str:
    """The value of --dataset, before absl parses: the source's flags depend on it."""
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=True):
        name, _, value = argument.lstrip("-").partition("=")
        if name == "dataset" and argument.startswith("-"):
            return value or following
    return ""


def run() -> None:
    """The command line."""
    define_flags()
    dataset = _named_dataset(sys.argv)
    names = sources.define_flags(dataset) if dataset in sources.names() else []
    cli.run(functools.partial(main, names), __doc__)
