"""Writes one HTML file about a run, or several side by side.

Scores, curves, confusion matrix, boundaries, calibration, pictures, settings. The
file needs no server and no network. Each run must have been evaluated before (eval).

Examples:
  python -m deeplab_tf.report --run_dir=runs/voc
  python -m deeplab_tf.report --run_dir=runs/voc --run_dir=runs/baseline \\
      --output=comparison.html
"""

import dataclasses
import pathlib
import sys
import time
from typing import TYPE_CHECKING

from absl import flags as absl_flags

from deeplab_tf import cli, files
from deeplab_tf.config import setting_flags
from deeplab_tf.config.options import ReportOptions
from deeplab_tf.errors import UserError

if TYPE_CHECKING:
    from deeplab_tf.report.subjects import Subject

FLAGS = absl_flags.FLAGS
absl_flags.DEFINE_multi_string(
    "run_dir", None, "The run folder; several to compare them.", required=True
)
absl_flags.DEFINE_string("output", None, "File to write; default: RUN/report.html.")
_MAX_RUNS = 6  # as many as the page has colours for curves


def main() -> None:
    """Parses, gathers, writes."""
    options = setting_flags.options_from_flags(ReportOptions)
    if len(FLAGS.run_dir) > _MAX_RUNS:
        raise UserError(f"give at most {_MAX_RUNS} --run_dir.")
    cli.import_tensorflow()
    from deeplab_tf.report import document

    subjects = [_subject(path, options) for path in FLAGS.run_dir]
    classes = {subject.run.info.class_names for subject in subjects}
    if len(classes) > 1:
        raise UserError("the runs have different classes; report them one by one.")
    text = document.render(subjects, time.strftime("%Y-%m-%d %H:%M"))
    output = pathlib.Path(FLAGS.output or pathlib.Path(FLAGS.run_dir[0], "report.html"))
    with files.replacing(output) as temporary:
        temporary.write_text(text, encoding="utf-8")
    print(f"{output}: {output.stat().st_size / 1e6:.1f} MB")


def _subject(path: str, options: ReportOptions) -> "Subject":
    from deeplab_tf import runs
    from deeplab_tf.report import subjects

    run = runs.open_run(path)
    split = options.split or run.config.data.eval_split
    subject = subjects.read(run, split, pathlib.Path(path).resolve().name)
    if not options.pictures:
        return subject
    try:
        return dataclasses.replace(subject, gallery=_gallery(subject, split, options))
    except UserError as error:
        if options.dataset_dir:
            raise
        print(f"no pictures of {path}: {error}", file=sys.stderr)
        return subject


def _gallery(subject: "Subject", split: str, options: ReportOptions) -> str:
    from deeplab_tf import runs
    from deeplab_tf.inference import predictor
    from deeplab_tf.report import gallery

    folder, info = runs.dataset(subject.run, options.dataset_dir)
    model = runs.load_model(subject.run, checkpoint=options.checkpoint)
    chosen = gallery.choose(subject.pictures, info, options.pictures)
    return gallery.draw(chosen, predictor.make_predictor(model), folder, info, split)


if __name__ == "__main__":
    setting_flags.define_options(ReportOptions)
    cli.run(main)
