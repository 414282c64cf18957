"""Gathers what is known of runs, and writes their report."""

import dataclasses
import os
import pathlib
import sys
import time
from collections.abc import Sequence

from deeplab_tf import files, runs
from deeplab_tf.config.options import ReportOptions
from deeplab_tf.errors import UserError
from deeplab_tf.inference import predictor
from deeplab_tf.report import document, figures, gallery, subjects
from deeplab_tf.report.subjects import Subject
from deeplab_tf.runs import Run


def write(
    reported: Sequence[Run],
    path: str | os.PathLike[str],
    options: ReportOptions | None = None,
) -> None:
    """Writes one HTML file about a run, or several side by side.

    Example:
      report.write([runs.open_run("runs/voc")], "runs/voc/report.html")

    Args:
      reported: runs of one data set that were evaluated before; the first is what the
        report is about.
      path: the file; a report of the same runs is replaced.
      options: split, folder of the shards, number of pictures, weights; None: the
        defaults. Without the shards the report has no pictures, and a line on
        standard error says so.

    Raises:
      UserError: a run was not evaluated on the split, the runs have different classes
        or are too many, dataset_dir is not theirs, or `path` is a report of another
        run.
    """
    path, options = pathlib.Path(path), options or ReportOptions()
    files.check_writable(path.parent, "give another file as --output.")
    if len(reported) > figures.NUM_COLORS:
        raise UserError(f"give at most {figures.NUM_COLORS} --run_dir.")
    if len({run.info.class_names for run in reported}) > 1:
        raise UserError("the runs have different classes; report them one by one.")
    found = [
        subjects.read(run, options.split or run.config.data.eval_split)
        for run in reported
    ]
    document.refuse_to_replace(path, found)
    if options.pictures:
        found = [
            dataclasses.replace(one, gallery=_gallery(one, options)) for one in found
        ]
    text = document.render(found, time.strftime("%Y-%m-%d %H:%M"))
    with files.replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _gallery(subject: Subject, options: ReportOptions) -> gallery.Gallery:
    run = subject.run
    try:
        folder, info = runs.dataset(run, options.dataset_dir)
        model = runs.load_model(run, checkpoint=options.checkpoint)
        chosen = gallery.choose(subject.pictures, info, options.pictures)
        return gallery.draw(
            chosen,
            predictor.make_predictor(model),
            folder,
            info,
            subject.result["split"],
        )
    except UserError as error:
        if options.dataset_dir:
            raise
        print(f"no pictures of {run.path}: {error}", file=sys.stderr)
        return {}
