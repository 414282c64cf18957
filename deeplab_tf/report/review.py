"""What to label again: looks through a split and writes a page to decide on."""

import pathlib
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from deeplab_tf import files, runs
from deeplab_tf.config.options import ReviewOptions
from deeplab_tf.data import reading, records
from deeplab_tf.data.conversion import decisions
from deeplab_tf.data.dataset_info import DatasetInfo
from deeplab_tf.errors import UserError
from deeplab_tf.files import Json
from deeplab_tf.inference import tiling
from deeplab_tf.inference.predictor import Predictor
from deeplab_tf.labelling import suspects
from deeplab_tf.labelling.suspects import SelfConfidence, Suspect
from deeplab_tf.report import review_page
from deeplab_tf.runs import Run, saving

PAGE = "index.html"
REGIONS = "regions.json"


def write(run: Run, options: ReviewOptions | None = None) -> Json:
    """Finds labels that may be wrong, and writes them as a page and as a list.

    RUN/review/<split>/index.html shows the most suspect regions and saves what is
    decided on them, for `datasets/convert.py --decisions=FILE`; regions.json beside it
    holds all that were found, with their pixels. Regions on which was decided before
    are in neither (`suspects.undecided`).

    Args:
      run: whose network is asked.
      options: None: the review command's without flags.

    Returns:
      The content of regions.json, the folder as `path`, and as `files` the files of
      earlier decisions.

    Raises:
      UserError: the split has no labels, the shards are gone or of other classes, a
        file of decisions cannot be read, or the folder cannot be written.

    Example:
      >>> review.write(runs.open_run("runs/street"))["regions"][0]["example"]
    """
    options = options or ReviewOptions()
    split = options.split or run.config.data.train_split
    dataset_dir, info = runs.dataset(run, options.dataset_dir)
    if not info.split(split).has_labels:
        raise UserError(f"split {split!r} of {info.name!r} has no labels to review.")
    folder = pathlib.Path(options.output or run.path / "review" / split)
    files.check_writable(folder, "give another one as --output.")
    paths = options.decisions or sorted(map(str, folder.glob("decisions*.json")))
    earlier = [decisions.load(path) for path in paths]
    predict = tiling.open_predictor(run, options)
    suspected = search(predict, dataset_dir, info, split, options.least)
    known = [one for file in earlier if file.split == split for one in file.decisions]
    found = suspects.undecided(suspected, known)
    content = {
        "schema": decisions.SCHEMA,
        "dataset": info.name,
        "split": split,
        "class_names": list(info.class_names),
        "checkpoint": saving.weights_path(run.path, options.checkpoint),
        "decided_before": len(suspected) - len(found),
        "regions": [
            {"region": number, **one.to_dict()}
            for number, one in enumerate(found, start=1)
        ],
    }
    cards = review_page.draw(found[: options.count], predict, dataset_dir, info, split)
    # Of a name that replaces no earlier one: conversion wants all of them.
    name = f"decisions_{len(paths) + 1}.json" if paths else "decisions.json"
    text = review_page.render(content, cards, info, run.path.resolve().name, name)
    files.write_json(folder / REGIONS, content)
    with files.replacing(folder / PAGE) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return {**content, "path": folder, "files": paths}


def search(
    predict: Predictor, dataset_dir: str, info: DatasetInfo, split: str, least: int
) -> Sequence[Suspect]:
    """The suspect regions of a split, the most suspect first; see `suspects.rank`."""
    sure = SelfConfidence(info.num_classes)
    found: list[Suspect] = []
    examples = reading.read_split(dataset_dir, info, split, f"review {split}")
    for index, example in enumerate(examples):
        labels = example["labels"].numpy()
        probabilities = _probabilities(predict, example["image"])
        valid = labels != info.ignore_label
        own = labels[valid]
        sure.update(own, probabilities[valid, own])
        found += suspects.find(
            labels,
            probabilities,
            info.ignore_label,
            example=records.name_of(example),
            index=index,
            least=least,
        )
    return suspects.rank(found, sure.result())


def _probabilities(predict: Predictor, image: tf.Tensor) -> np.ndarray:
    """float32 [H, W, K]."""
    return np.asarray(predict.probabilities(image[None]))[0]
