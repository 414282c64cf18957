"""YOLO segmentation: data.yaml, and for every picture a text file of polygons.

A line is "class x1 y1 x2 y2 ...", in fractions of width and height; later lines lie on
top. Class 0 here is the background; those of data.yaml follow in its order. labels/
mirrors images/ (images/train/a.jpg, labels/train/a.txt, or train/images, train/labels);
a picture without a file is background alone, as YOLO has it.
"""

import dataclasses
import os
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np
import yaml

from deeplab_tf.data.conversion.class_tables import Classes
from deeplab_tf.data.conversion.contents import (
    Contents,
    is_image,
    read_lines,
    read_text,
)
from deeplab_tf.data.conversion.reading import (
    UNDIVIDED,
    Reading,
    example_name,
    folder_name,
)
from deeplab_tf.data.conversion.regions import Region, draw, image_size
from deeplab_tf.data.conversion.samples import FileSample, SampleError
from deeplab_tf.data.conversion.splits import split_named
from deeplab_tf.errors import UserError
from deeplab_tf.files import Json, Values

TITLE = "YOLO segmentation text files"
_SPLITS = ("train", "val", "test")


def clues(contents: Contents) -> dict[str, bool]:
    """Its data.yaml, text files of polygons, and pictures."""
    return {
        "data.yaml with 'names'": _settings(contents) is not None,
        "labels/*.txt with lines 'class x y x y ...'": any(
            "labels" in path.split("/") for path in contents.named(r".*\.txt")
        ),
        "pictures": bool(contents.images),
    }


def _settings(contents: Contents) -> Json | None:
    for path in sorted(contents.named(r".*\.ya?ml"), key=lambda p: (p.count("/"), p)):
        try:
            content = yaml.safe_load(read_text(contents.root / path))
        except (yaml.YAMLError, UserError, RecursionError):
            continue
        if isinstance(content, dict) and isinstance(content.get("names"), list | dict):
            return content
    return None


def read(contents: Contents) -> Reading:
    """The pictures of every split."""
    settings = _settings(contents)
    if settings is None:
        raise UserError(f"{contents.root}: holds no data.yaml with the names.")
    names = settings["names"]
    listed = names if isinstance(names, list) else [names[key] for key in sorted(names)]
    keys = range(len(names)) if isinstance(names, list) else sorted(names)
    classes = Classes.with_background([str(name) for name in listed])
    numbers = tuple(
        (int(key), classes.number(str(name)))
        for key, name in zip(keys, listed, strict=True)
    )
    splits: dict[str, list[YoloSample]] = {}
    texts = set(contents.named(r".*\.txt"))
    for split, image in _images(contents, settings):
        sample = _sample(contents, image, texts, numbers)
        splits.setdefault(split, []).append(sample)
    bare = sum(s.label_path is None for found in splits.values() for s in found)
    notes = [f"classes by data.yaml; what no polygon covers is {classes.names[0]!r}."]
    if bare:
        notes.append(f"{bare} pictures without a text file are background alone.")
    return Reading(
        info=classes.info(folder_name(contents), TITLE),
        splits=splits,
        notes=(*notes, *classes.notes()),
    )


def _images(contents: Contents, settings: Values) -> Iterator[tuple[str, str]]:
    """Split and path of each picture: by the lists of data.yaml, else by folders."""
    by_list = _listed(contents, settings)
    for image in contents.images:
        folders = image.split("/")[:-1]
        named = next(filter(None, map(split_named, folders)), UNDIVIDED)
        if by_list:
            if image in by_list:
                yield by_list[image], image
        else:
            yield named, image


def _listed(contents: Contents, settings: Values) -> dict[str, str]:
    """Pictures by split, where data.yaml names text files of them."""
    found: dict[str, str] = {}
    for split in _SPLITS:
        value = settings.get(split)
        for entry in value if isinstance(value, list) else [value]:
            if not str(entry).endswith(".txt"):
                continue
            name = pathlib.PurePath(str(entry)).name
            for path in contents.named(name.replace(".", r"\.")):
                for line in read_lines(contents.root / path):
                    image = contents.find_image(line)
                    if is_image(line) and image:
                        found[image] = split
    return found


def _sample(
    contents: Contents,
    image: str,
    texts: set[str],
    numbers: tuple[tuple[int, int], ...],
) -> "YoloSample":
    stem = os.path.splitext(image)[0]
    folders = stem.split("/")
    places = [n for n, folder in enumerate(folders[:-1]) if folder.lower() == "images"]
    options = [f"{stem}.txt"]
    for place in reversed(places):
        mirrored = [*folders[:place], "labels", *folders[place + 1 :]]
        options.insert(0, "/".join(mirrored) + ".txt")
    label = next((option for option in options if option in texts), None)
    return YoloSample(
        name=example_name(image),
        image_path=contents.path(image),
        label_path=contents.path(label) if label else None,
        numbers=numbers,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class YoloSample(FileSample):
    """A picture and its text file, read and drawn in a worker.

    Attributes:
      numbers: our class of each of the file's.
    """

    numbers: tuple[tuple[int, int], ...]

    @property
    def has_label(self) -> bool:
        """Always: no file is a picture of background."""
        return True

    def label(self) -> np.ndarray:
        """Draws the polygons."""
        path = self.label_path
        try:
            lines = read_lines(pathlib.Path(path)) if path else []
        except UserError as error:
            raise SampleError("unreadable_label", str(error)) from None
        numbers = dict(self.numbers)
        regions = [
            _region(f"{path}, line {i}", line.split(), numbers)
            for i, line in enumerate(lines, start=1)
        ]
        return draw(regions, image_size(self.image_path), self.label_name)


def _region(where: str, words: Sequence[str], numbers: dict[int, int]) -> Region:
    try:
        number, *values = int(float(words[0])), *map(float, words[1:])
    except ValueError:
        raise SampleError("bad_region", f"{where}: holds no numbers.") from None
    if number not in numbers:
        raise SampleError("bad_region", f"{where}: data.yaml names no class {number}.")
    if len(values) < 6 or len(values) % 2:
        what = "a box, not a polygon" if len(values) == 4 else f"{len(values)} numbers"
        raise SampleError(
            "bad_region",
            f"{where}: holds {what}; it must be 'class x1 y1 x2 y2 x3 ...'.",
        )
    points = list(zip(values[::2], values[1::2], strict=True))
    return Region(numbers[number], "fractions", points)
