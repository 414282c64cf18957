"""Pictures in, masks and overlays out: the work of the vis command."""

import dataclasses
import glob
import itertools
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
from PIL import Image, ImageOps

from deeplab_tf import cli, files
from deeplab_tf.data import reading
from deeplab_tf.data.dataset_info import DatasetInfo
from deeplab_tf.errors import UserError
from deeplab_tf.inference import coloring
from deeplab_tf.inference.predictor import Labeller
from deeplab_tf.inference.submission import Submission

# name without ending, image uint8 [H, W, C], labels [H, W] where known
Example = tuple[str, np.ndarray, np.ndarray | None]


def read_pictures(pattern: str, channels: int = 3) -> Iterator[Example]:
    """Yields the pictures of a folder, a glob or a single file, turned upright.

    Raises:
      UserError: nothing matches, a file is no picture, or the model does not take
        RGB pictures.
    """
    if channels != 3:
        raise UserError(f"the run takes {channels} channels; draw a --split instead.")
    path = pathlib.Path(pattern).expanduser()
    matches = (
        path.iterdir() if path.is_dir() else map(pathlib.Path, glob.glob(str(path)))
    )
    paths = sorted(match for match in matches if match.is_file())
    if not paths:
        raise UserError(f"--images={pattern}: no such file, or an empty folder.")
    return ((path.stem, read_picture(path), None) for path in cli.bar(paths, "draw"))


def read_picture(path: pathlib.Path) -> np.ndarray:
    """Reads a picture file upright, uint8 RGB [H, W, 3].

    Raises:
      UserError: the file is no picture.
    """
    try:
        with Image.open(path) as picture:
            upright = ImageOps.exif_transpose(picture).convert("RGB")
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{path}: cannot be read as a picture ({error}).") from None
    return np.asarray(upright)


def read_examples(dataset_dir: str, info: DatasetInfo, split: str) -> Iterator[Example]:
    """Yields the examples of a split.

    Raises:
      UserError: the split is unknown or empty, or a shard is damaged.
    """
    has_labels = info.split(split).has_labels
    for example in reading.read_split(dataset_dir, info, split, f"draw {split}"):
        name = pathlib.PurePath(example["filename"].numpy().decode()).stem
        image = np.round(example["image"].numpy()).astype(np.uint8)
        yield name, image, example["labels"].numpy() if has_labels else None


def draw(
    examples: Iterable[Example],
    predict: Labeller,
    info: DatasetInfo,
    output_dir: str,
    *,
    limit: int | None = None,
    kinds: Sequence[str] = ("masks", "overlays"),
    submission: Submission | None = None,
) -> int:
    """Predicts and writes KIND/NAME.png for each kind.

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
    for name, image, labels in itertools.islice(examples, limit):
        name = _free_name(name, taken)
        predictions, confidence = predict.labels_and_confidence(image[None])
        drawn = Drawn(
            image=image,
            labels=labels,
            predictions=predictions[0],
            confidence=None if confidence is None else confidence[0],
            info=info,
        )
        for kind in kinds:
            picture = KINDS[kind](drawn)
            if picture is not None:
                _write(picture, pathlib.Path(output_dir, kind, f"{name}.png"))
        if submission is not None:
            path = pathlib.Path(
                output_dir, "submission", f"{name}{submission.suffix}.png"
            )
            _write(_submitted(drawn, submission), path)
    return len(taken)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Drawn:
    """A picture and what was predicted for it."""

    image: np.ndarray
    labels: np.ndarray | None
    predictions: np.ndarray
    confidence: np.ndarray | None
    info: DatasetInfo


def _mask(drawn: Drawn) -> Image.Image:
    return coloring.palette_image(drawn.predictions, drawn.info.colormap)


def _raw(drawn: Drawn) -> Image.Image:
    return Image.fromarray(drawn.predictions)


def _overlay(drawn: Drawn) -> Image.Image:
    return Image.fromarray(
        coloring.side_by_side(
            drawn.image, drawn.predictions, drawn.info.colormap, drawn.labels
        )
    )


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


def _write(picture: Image.Image, path: pathlib.Path) -> None:
    with files.replacing(path) as temporary:
        picture.save(temporary)


def _free_name(name: str, taken: set[str]) -> str:
    candidates = itertools.chain([name], (f"{name}_{n}" for n in itertools.count(2)))
    free = next(candidate for candidate in candidates if candidate not in taken)
    taken.add(free)
    return free
