"""Pictures in, masks and overlays out: the work of the vis command."""

import dataclasses
import itertools
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
from PIL import Image

from deeplab_tf import cli, files
from deeplab_tf.data import reading, records
from deeplab_tf.data.conversion.png import encode_png
from deeplab_tf.data.dataset_info import DatasetInfo
from deeplab_tf.inference import coloring, contact_sheet, images, threads
from deeplab_tf.inference.predictor import Predictor
from deeplab_tf.inference.submission import Submission

# name without ending, image uint8 [H, W, C], labels [H, W] where known
Example = tuple[str, np.ndarray, np.ndarray | None]
SHEET = "contact_sheet.jpg"
_DRAWING_THREADS = 2
_SHEET_CELLS = 48  # of the contact sheet; more would be too large to be looked at


def read_pictures(pattern: str, channels: int = 3) -> Iterator[Example]:
    """Yields the pictures that `images.find` finds, turned upright.

    Raises:
      UserError: nothing matches, a file is no picture, or none has the channels that
        the model takes.
    """
    paths = images.find(pattern)

    def read(path: pathlib.Path) -> Example:
        return path.stem, images.read(path, channels), None

    return iter(cli.bar(threads.in_order(read, paths), "draw", len(paths)))


def read_examples(dataset_dir: str, info: DatasetInfo, split: str) -> Iterator[Example]:
    """Yields the examples of a split.

    Raises:
      UserError: the split is unknown or empty, or a shard is damaged.
    """
    has_labels = info.split(split).has_labels
    for example in reading.read_split(dataset_dir, info, split, f"draw {split}"):
        name = pathlib.PurePath(records.name_of(example)).stem
        image = np.round(example["image"].numpy()).astype(np.uint8)
        yield name, image, example["labels"].numpy() if has_labels else None


def draw(
    examples: Iterable[Example],
    predict: Predictor,
    info: DatasetInfo,
    output_dir: str,
    *,
    limit: int | None = None,
    kinds: Sequence[str] = ("masks", "overlays"),
    submission: Submission | None = None,
) -> int:
    """Predicts and writes KIND/NAME.png for each kind, and a sheet of the first ones.

    Args:
      examples: pictures.
      predict: labels them.
      info: colours and the ignored label.
      output_dir: folder of the kinds' folders.
      limit: at most so many pictures; None: all.
      kinds: of `KINDS`; one that a picture cannot have (errors without labels) is
        left out for it.
      submission: also writes submission/NAME.png in this format.

    Returns:
      How many pictures were drawn; of pictures with one name, the later ones are
      numbered.
    """
    taken: set[str] = set()
    folder = pathlib.Path(output_dir)
    chosen = itertools.islice(examples, limit)
    predicted = _predict(chosen, predict, info, taken, "confidence" in kinds)

    def write(numbered: tuple[int, tuple[str, Drawn]]) -> contact_sheet.Cell | None:
        number, (name, drawn) = numbered
        for kind in kinds:
            picture = KINDS[kind](drawn)
            if picture is not None:
                _write(picture, folder / kind / f"{name}.png")
        if submission is not None:
            path = folder / "submission" / f"{name}{submission.suffix}.png"
            _write(_submitted(drawn, submission), path)
        return _cell(name, drawn) if number < _SHEET_CELLS else None

    written = threads.in_order(write, enumerate(predicted), _DRAWING_THREADS)
    cells = [cell for cell in written if cell is not None]
    if len(cells) > 1:
        _write(contact_sheet.draw(cells, info), folder / SHEET)
    return len(taken)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Drawn:
    """A picture and what was predicted for it.

    Attributes:
      image: uint8 [H, W, C].
      labels: [H, W], where known.
      predictions: [H, W].
      confidence: float [H, W], where the model gives it.
      info: names and colours.
      legend: the classes that an overlay lists; None: those that occur in it.
    """

    image: np.ndarray
    labels: np.ndarray | None
    predictions: np.ndarray
    confidence: np.ndarray | None
    info: DatasetInfo
    legend: Sequence[int] | None = None


def _predict(
    examples: Iterable[Example],
    predict: Predictor,
    info: DatasetInfo,
    taken: set[str],
    with_confidence: bool,
) -> Iterator[tuple[str, Drawn]]:
    """Yields each picture's free name and what is predicted for it."""
    for name, image, labels in examples:
        batch, confidence = image[None], None
        if with_confidence:
            predictions, confidence = predict.labels_and_confidence(batch)
        else:
            predictions = predict.labels(batch)
        yield (
            free_name(name, taken),
            Drawn(
                image=image,
                labels=labels,
                predictions=predictions[0],
                confidence=None if confidence is None else confidence[0],
                info=info,
            ),
        )


def _mask(drawn: Drawn) -> Image.Image:
    return coloring.palette_image(drawn.predictions, drawn.info.colormap)


def _raw(drawn: Drawn) -> Image.Image:
    return Image.fromarray(drawn.predictions)


def _overlay(drawn: Drawn) -> Image.Image:
    panels = coloring.side_by_side(
        drawn.image, drawn.predictions, drawn.info.colormap, drawn.labels
    )
    values = drawn.legend
    if values is None:
        shown = [drawn.predictions, *([] if drawn.labels is None else [drawn.labels])]
        values = sorted({int(v) for part in shown for v in _values(part)})
    names, width = drawn.info.class_names, panels.shape[1]
    legend = coloring.legend(values, names, drawn.info.colormap, width)
    return Image.fromarray(coloring.below(panels, legend))


def _values(labels: np.ndarray) -> np.ndarray:
    """The labels that occur: counting is faster than sorting all pixels."""
    return np.flatnonzero(np.bincount(labels.ravel()))


def _confidence(drawn: Drawn) -> Image.Image | None:
    if drawn.confidence is None:
        return None
    return Image.fromarray(coloring.confidence_map(drawn.confidence))


def _errors(drawn: Drawn) -> Image.Image | None:
    if drawn.labels is None:
        return None
    return Image.fromarray(
        coloring.error_map(
            drawn.image, drawn.predictions, drawn.labels, drawn.info.ignore_label
        )
    )


KINDS: Mapping[str, Callable[[Drawn], Image.Image | None]] = {
    "masks": _mask,
    "overlays": _overlay,
    "raw": _raw,
    "confidence": _confidence,
    "errors": _errors,
}


def _submitted(drawn: Drawn, submission: Submission) -> Image.Image:
    values = submission.values[drawn.predictions]
    if submission.is_palette:
        return coloring.palette_image(values, drawn.info.colormap)
    return Image.fromarray(values)


def _cell(name: str, drawn: Drawn) -> contact_sheet.Cell:
    colormap = drawn.info.colormap
    return contact_sheet.Cell(
        name, contact_sheet.tiles(drawn.image, drawn.predictions, colormap)
    )


def _write(picture: Image.Image, path: pathlib.Path) -> None:
    with files.replacing(path) as temporary:
        if picture.mode == "RGB" and path.suffix == ".png":
            temporary.write_bytes(encode_png(np.asarray(picture), photograph=True))
        else:
            picture.save(temporary)


def free_name(name: str, taken: set[str]) -> str:
    """The name, numbered where it is taken; takes it."""
    candidates = itertools.chain([name], (f"{name}_{n}" for n in itertools.count(2)))
    free = next(candidate for candidate in candidates if candidate not in taken)
    taken.add(free)
    return free
