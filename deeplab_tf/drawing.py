"""Pictures in, masks and overlays out: the work of the vis command."""

import glob
import itertools
import pathlib
from collections.abc import Iterable, Iterator

import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps
from tqdm import tqdm

from deeplab_tf import evaluation, files, visualization
from deeplab_tf.data.info import DatasetInfo
from deeplab_tf.errors import UserError
from deeplab_tf.inference import Predictor

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
    path = pathlib.Path(pattern)
    matches = path.iterdir() if path.is_dir() else map(pathlib.Path, glob.glob(pattern))
    paths = sorted(match for match in matches if match.is_file())
    if not paths:
        raise UserError(f"--images={pattern}: no such file, or an empty folder.")
    return (_read_picture(path) for path in tqdm(paths, "draw", unit="img"))


def _read_picture(path: pathlib.Path) -> Example:
    try:
        with Image.open(path) as picture:
            upright = ImageOps.exif_transpose(picture).convert("RGB")
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{path}: cannot be read as a picture ({error}).") from None
    return path.stem, np.asarray(upright), None


def read_examples(dataset_dir: str, info: DatasetInfo, split: str) -> Iterator[Example]:
    """Yields the examples of a split.

    Raises:
      UserError: the split is unknown or empty, or a shard is damaged.
    """
    has_labels = info.split(split).has_labels
    for example in evaluation.read_split(dataset_dir, info, split, f"draw {split}"):
        name = pathlib.PurePath(example["filename"].numpy().decode()).stem
        image = np.round(example["image"].numpy()).astype(np.uint8)
        yield name, image, example["labels"].numpy() if has_labels else None


def draw(
    examples: Iterable[Example],
    predict: Predictor,
    colormap: visualization.Colormap,
    output_dir: str,
    limit: int | None = None,
) -> int:
    """Predicts and writes masks/NAME.png and overlays/NAME.png.

    Returns:
      How many pictures were drawn; of pictures with one name, the later ones are
      numbered.
    """
    taken: set[str] = set()
    for name, image, labels in itertools.islice(examples, limit):
        name = _free_name(name, taken)
        probabilities = predict(tf.constant(image[None]))[0].numpy()
        predictions = probabilities.argmax(-1)
        mask = visualization.palette_image(predictions, colormap)
        panels = visualization.side_by_side(image, predictions, colormap, labels)
        for folder, picture in (("masks", mask), ("overlays", Image.fromarray(panels))):
            path = pathlib.Path(output_dir) / folder / f"{name}.png"
            with files.replacing(path) as temporary:
                picture.save(temporary)
    return len(taken)


def _free_name(name: str, taken: set[str]) -> str:
    candidates = itertools.chain([name], (f"{name}_{n}" for n in itertools.count(2)))
    free = next(candidate for candidate in candidates if candidate not in taken)
    taken.add(free)
    return free
