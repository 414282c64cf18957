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
from deeplab_tf.evaluation import class_subset
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
      reported: runs that were evaluated before; the first is what the report is about.
        One that knows more classes than another must have been compared to that one.
      path: the file; a report of the same runs is replaced.
      options: split, folder of the shards, number of pictures, weights; None: the
        defaults. Without the shards the report has no pictures, and a line on
        standard error says so.

    Raises:
      UserError: a run was not evaluated on the split, the runs have other classes
        or are too many, dataset_dir is not theirs, or `path` is a report of another
        run.
    """
    path, options = pathlib.Path(path), options or ReportOptions()
    files.check_writable(path.parent, "give another file as --output.")
    if len(reported) > figures.NUM_COLORS:
        raise UserError(f"give at most {figures.NUM_COLORS} --run_dir.")
    scorers = _scorers(reported)
    found = [
        subjects.read(run, options.split or scorer.config.data.eval_split, scorer)
        for run, scorer in zip(reported, scorers, strict=True)
    ]
    document.refuse_to_replace(path, found)
    if options.pictures:
        found = [
            dataclasses.replace(one, gallery=_gallery(one, scorer, options))
            for one, scorer in zip(found, scorers, strict=True)
        ]
    text = document.render(found, time.strftime("%Y-%m-%d %H:%M"))
    with files.replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _scorers(reported: Sequence[Run]) -> list[Run]:
    """For each run itself, or the one that knows fewest classes where it knows others.

    Raises:
      UserError: a run does not know a class of that one.
    """
    fewest = min(reported, key=lambda run: run.info.num_classes)
    for run in reported:
        class_subset.require_known(run, fewest)
    names = fewest.info.class_names
    return [run if run.info.class_names == names else fewest for run in reported]


def _gallery(subject: Subject, scorer: Run, options: ReportOptions) -> gallery.Gallery:
    run = subject.run
    try:
        folder, info = runs.dataset(scorer, options.dataset_dir)
        model = runs.load_model(run, checkpoint=options.checkpoint)
        chosen = gallery.choose(subject.pictures, info, options.pictures)
        return gallery.draw(
            chosen,
            class_subset.restrict(predictor.make_predictor(model), run, scorer),
            folder,
            info,
            subject.result["split"],
        )
    except UserError as error:
        if options.dataset_dir:
            raise
        print(f"no pictures of {run.path}: {error}", file=sys.stderr)
        return {}
