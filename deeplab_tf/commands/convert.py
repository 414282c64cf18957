"""Converts labelled pictures to TFRecord shards and finds their mistakes on the way.

  python datasets/convert.py --source_dir=DIR --output_dir=OUT
  python datasets/convert.py --dataset=voc2012 --source_dir=VOCdevkit --output_dir=OUT
  python datasets/convert.py --source_dir=DIR --audit_only
  python datasets/convert.py --source_dir=DIR --output_dir=OUT --decisions=FILE
  python datasets/convert.py --verify --output_dir=OUT

What DIR is, it finds out itself and says: folders of pictures and masks, a list or
table of them, a labelling tool's export, or a public data set (docs/labels.md).

OUT then holds <split>-00000-of-00004.tfrecord, dataset.json and audit.json; nothing
appears there under its final name before every example was checked. A conversion that
was stopped goes on where it was when the same command is given again.
"""

import functools
import sys

from absl import flags

from deeplab_tf import cli, flag_help
from deeplab_tf.data import sources
from deeplab_tf.data.conversion.run import convert, verify
from deeplab_tf.errors import UserError

FLAGS = flags.FLAGS


def define_flags() -> None:
    """The flags of every data set."""
    flags.DEFINE_string(
        "dataset",
        sources.AUTO,
        f"What the folder is: {sources.AUTO}, or one of {', '.join(sources.names())}.",
    )
    flags.DEFINE_string("source_dir", "", "Folder with the pictures and labels.")
    flags.DEFINE_string("output_dir", "", "Folder for the shards and dataset.json.")
    flags.DEFINE_list("splits", [], "Splits to convert; empty: the usual ones.")
    flags.DEFINE_float(
        "val_fraction",
        None,
        "Share of the examples that goes to val where there are no splits; 0: none. "
        "Unset: 0.2.",
    )
    flags.DEFINE_list("unlabelled", [], "Splits to convert without their labels.")
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
    flags.DEFINE_multi_string(
        "decisions", [], "A file that review's page saved; repeat it for several."
    )
    flags.DEFINE_boolean(
        "verify", False, "Read all of --output_dir again and compare with dataset.json."
    )


def main(options: list[str]) -> None:
    """Acts by the flags; `options` are the flags that belong to the source."""
    if FLAGS.verify:
        if not FLAGS.output_dir:
            raise UserError("--output_dir must name the folder to verify.")
        verify(FLAGS.output_dir, FLAGS.workers)
        return
    convert(
        FLAGS.source_dir,
        FLAGS.output_dir,
        dataset=FLAGS.dataset,
        splits=FLAGS.splits,
        val_fraction=FLAGS.val_fraction,
        unlabelled=FLAGS.unlabelled,
        num_shards=FLAGS.num_shards,
        workers=FLAGS.workers,
        skip_bad=FLAGS.skip_bad,
        audit_only=FLAGS.audit_only,
        decisions=FLAGS.decisions,
        beam_flags=FLAGS.beam_flags if FLAGS.runner == "beam" else None,
        **{name: FLAGS[name].value for name in options if FLAGS[name].present},
    )


def _named_dataset(arguments: list[str]) -> str:
    """The value of --dataset, before absl parses: the source's flags depend on it."""
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=True):
        name, _, value = argument.lstrip("-").partition("=")
        if name == "dataset" and argument.startswith("-"):
            return value or following
    return sources.AUTO


def run() -> None:
    """The command line."""
    define_flags()
    dataset = _named_dataset(sys.argv)
    known = dataset in (sources.AUTO, *sources.names())
    names = sources.define_flags(dataset) if known else []
    for name in names:
        heading = "What single layouts are told; --dataset=NAME --help shows its own."
        flag_help.group(name, heading, shown=dataset != sources.AUTO)
    cli.run(functools.partial(main, names), __doc__)


if __name__ == "__main__":
    run()
