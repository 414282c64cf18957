"""What to label next: chooses pictures, and writes them with labels to begin with."""

import csv
import dataclasses
import os
import pathlib
import sys
from collections.abc import Callable, Sequence

import numpy as np

from deeplab_tf import cli, files, runs
from deeplab_tf.config.options import SuggestOptions
from deeplab_tf.data import class_weights, reading
from deeplab_tf.errors import UserError
from deeplab_tf.inference import coloring, drawing, images, tiling
from deeplab_tf.inference.predictor import Predictor
from deeplab_tf.labelling import prelabels, selection, sight
from deeplab_tf.labelling.prelabels import PreLabel
from deeplab_tf.labelling.sight import Sight
from deeplab_tf.report import page
from deeplab_tf.report.gallery import Shown
from deeplab_tf.runs import Run

Look = Callable[[np.ndarray], Sight]
_NAMED = 3  # files that cannot be read, in the line that tells of them


@dataclasses.dataclass(frozen=True, kw_only=True)
class Suggestion:
    """A picture to label.

    Attributes:
      path: its file.
      name: of its files in the output folder, without ending.
      uncertainty: `selection.of_picture`, each pixel by how rare what may be there is:
        at least 0, and 1 where nothing is known of classes that are usual.
      distance: `selection.Choice.distance`.
    """

    path: pathlib.Path
    name: str
    uncertainty: float
    distance: float | None


def write(
    run: Run, output_dir: str | os.PathLike[str], options: SuggestOptions
) -> list[Suggestion]:
    """Chooses pictures and writes a folder: list, page, pictures and pre-labels.

    suggested.csv, suggested.txt  the pictures in the order in which to label them
    index.html                    the same, to look at
    and what `prelabels.write` writes.

    Args:
      run: whose network looks at the pictures.
      output_dir: the folder, which must not hold anything: it may be labels.
      options: pictures, how many, and how they are chosen.

    Raises:
      UserError: no picture can be read, the folder holds something or cannot be
        written, or the run holds no weights.

    Example:
      >>> run = runs.open_run("runs/street")
      >>> chosen = suggestions.write(run, "next", SuggestOptions(images="new/"))
      >>> [one.path.name for one in chosen]
    """
    folder = pathlib.Path(output_dir)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder}: is there already; give another --output_dir.")
    if not options.images:
        raise UserError("--images must name the pictures to choose from.")
    files.check_writable(folder.parent, "give another --output_dir.")
    paths = images.find(options.images)
    predict = tiling.open_predictor(run, options)
    if predict.model is None:
        raise UserError("--run_dir must be a run folder.")
    look = sight.make_look(predict.model)
    chosen = _choose(run, look, paths, options)
    with files.replacing(folder) as temporary:
        temporary.mkdir()
        _write_lists(temporary, chosen)
        drawn = _write_labels(temporary, chosen, run, predict, look, options)
        text = page.render(
            "suggestions.html",
            title=f"What to label next, by {run.path.resolve().name}",
            info=run.info,
            drawn=drawn,
            pool=len(paths),
            options=options,
        )
        (temporary / "index.html").write_text(text, encoding="utf-8")
    return chosen


def _choose(
    run: Run, look: Look, paths: Sequence[pathlib.Path], options: SuggestOptions
) -> list[Suggestion]:
    measure = selection.MEASURES[options.uncertainty]
    weights = _class_weights(run)
    kept, features, uncertainty = [], [], []
    unreadable: list[str] = []
    for path in cli.bar(paths, "look", len(paths)):
        try:
            seen = look(images.read(path, run.info.channels))
        except UserError as error:
            unreadable.append(str(error))
            continue
        kept.append(path)
        features.append(seen.features)
        unsure = measure(seen.probabilities)
        unsure = selection.by_rarity(unsure, seen.probabilities, weights)
        uncertainty.append(selection.of_picture(unsure))
    if not kept:
        raise UserError(f"no picture can be read; the first: {unreadable[0]}")
    if unreadable:
        said = " ".join(unreadable[:_NAMED])
        print(f"passed over {len(unreadable)} pictures: {said}", file=sys.stderr)
    choices = selection.choose(
        options.selection,
        np.array(uncertainty),
        np.array(features),
        _labelled(run, look, options, len(features[0])),
        options.count,
        options.seed,
    )
    taken: set[str] = set()
    return [
        Suggestion(
            path=kept[one.index],
            name=drawing.free_name(kept[one.index].stem, taken),
            uncertainty=uncertainty[one.index],
            distance=one.distance,
        )
        for one in choices
    ]


def _class_weights(run: Run) -> Sequence[float]:
    """By how rare a class is in the run's training split, where that was counted."""
    split = run.config.data.train_split
    known = run.info.splits.get(split)  # an imported network may have none
    scheme = "inverse_root" if known and any(known.class_pixels) else "none"
    weights = class_weights.make_class_weights((), scheme, run.info, split)
    return weights or (1.0,) * run.info.num_classes


def _labelled(run: Run, look: Look, options: SuggestOptions, width: int) -> np.ndarray:
    """Features [M, width] of pictures that the run was trained on, spread evenly."""
    none = np.zeros((0, width), np.float32)
    if not options.labelled:
        return none
    split = run.config.data.train_split
    try:
        folder, info = runs.dataset(run, options.dataset_dir)
        count = info.split(split).num_examples
        step = max(count / options.labelled, 1)
        wanted = {int(i * step) for i in range(min(options.labelled, count))}
        examples = reading.read_split(folder, info, split, f"look at {split}")
        features = [
            look(example["image"].numpy()).features
            for index, example in enumerate(examples)
            if index in wanted
        ]
    except UserError as error:
        if options.dataset_dir:
            raise
        print(
            f"what is labelled already is not known, so it does not count: {error}",
            file=sys.stderr,
        )
        return none
    return np.array(features)


def _write_lists(folder: pathlib.Path, chosen: Sequence[Suggestion]) -> None:
    """The files lie in the folder itself, so the lists stay true where it is moved."""
    names = [f"images/{one.name}{one.path.suffix}" for one in chosen]
    text = "".join(f"{name}\n" for name in names)
    (folder / "suggested.txt").write_text(text, encoding="utf-8")
    with (folder / "suggested.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["rank", "image", "uncertainty", "distance", "source"])
        for rank, (name, one) in enumerate(zip(names, chosen, strict=True), start=1):
            distance = "" if one.distance is None else f"{one.distance:.4f}"
            writer.writerow([rank, name, f"{one.uncertainty:.4f}", distance, one.path])


def _write_labels(
    folder: pathlib.Path,
    chosen: Sequence[Suggestion],
    run: Run,
    predict: Predictor,
    look: Look,
    options: SuggestOptions,
) -> list[Shown]:
    """Writes the pre-labels; returns the drawings of the page."""
    drawn: list[Shown] = []

    def predicted(one: Suggestion) -> PreLabel:
        image = images.read(one.path, run.info.channels)
        labels = predict.labels(image[None])[0]
        unsure = selection.MEASURES[options.uncertainty](look(image).probabilities)
        drawn.append(_drawing(one, image, labels, unsure, run))
        return PreLabel(path=one.path, name=one.name, labels=labels)

    prelabels.write(
        folder,
        (predicted(one) for one in cli.bar(chosen, "label", len(chosen))),
        run.info,
        tolerance=options.tolerance,
    )
    return drawn


def _drawing(
    one: Suggestion,
    image: np.ndarray,
    labels: np.ndarray,
    unsure: np.ndarray,
    run: Run,
) -> Shown:
    """Picture | pre-label | uncertainty, white where it is 1."""
    rgb = coloring.as_rgb(np.clip(np.round(image), 0, 255).astype(np.uint8))
    mixed = coloring.overlay(rgb, coloring.colorize(labels, run.info.colormap))
    grey = coloring.confidence_map(unsure)[..., None].repeat(3, -1)
    small = page.shrink(rgb)
    panels = coloring.row([small, page.shrink(mixed), page.scaled(grey, small.shape)])
    distance = "" if one.distance is None else f", distance {one.distance:.2f}"
    return Shown(
        name=one.path.name,
        why=f"uncertainty {one.uncertainty:.2f}{distance}",
        source=page.jpeg(panels),
        width=panels.shape[1],
        height=panels.shape[0],
    )
