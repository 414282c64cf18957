"""labelme: a JSON file of shapes beside each picture.

Polygons, rectangles, circles, lines, line strips, points and masks are drawn as
labelme draws them, in the order of the file, later ones on top; a group is several
shapes of one thing, which makes no difference to its class. `__ignore__` is void,
`_background_` is class 0. Classes: classes.json or labels.txt if it is there, else the
labels found, by the alphabet.
A picture that is embedded in its JSON file need not lie beside it.
"""

import base64
import dataclasses
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from deeplab_tf.data.conversion import classes_file
from deeplab_tf.data.conversion.class_tables import Classes, find_table
from deeplab_tf.data.conversion.contents import Contents
from deeplab_tf.data.conversion.reading import (
    UNDIVIDED,
    Reading,
    example_name,
    folder_name,
    without_unannotated,
)
from deeplab_tf.data.conversion.regions import Region, draw, image_size
from deeplab_tf.data.conversion.samples import Content, FileSample, SampleError
from deeplab_tf.data.conversion.splits import split_named
from deeplab_tf.errors import UserError
from deeplab_tf.files import Json, Values

TITLE = "labelme JSON files"
_IGNORE = "__ignore__"


def clues(contents: Contents) -> dict[str, bool]:
    """JSON files with shapes of an image."""
    return {
        "JSON files with 'shapes' and 'imagePath'": any(
            is_labelme(content) for content in contents.some_json.values()
        )
    }


def is_labelme(content: object) -> bool:
    """Whether a JSON file is one of labelme's."""
    return (
        isinstance(content, dict)
        and isinstance(content.get("shapes"), list)
        and ("imagePath" in content or "imageData" in content)
    )


def read(contents: Contents) -> Reading:
    """Every picture with a JSON file, also one without shapes."""
    files = dict(_facts(contents))
    labels = {label for facts in files.values() for label in facts.labels}
    classes, by = _classes(contents, labels)
    splits: dict[str, list[LabelmeSample]] = {}
    for path, facts in files.items():
        sample = _sample(contents, path, facts, classes)
        splits.setdefault(_split(path), []).append(sample)
    used = [sample.image_path for samples in splits.values() for sample in samples]
    notes = [by, *classes.notes(), *without_unannotated(contents, used, "a JSON file")]
    return Reading(
        info=classes.info(folder_name(contents), TITLE),
        splits=splits,
        notes=tuple(notes),
    )


@dataclasses.dataclass(frozen=True)
class _Facts:
    """What is kept of a file that may hold a whole picture."""

    labels: frozenset[str]
    image_path: str
    is_embedded: bool


def _facts(contents: Contents) -> Iterator[tuple[str, _Facts]]:
    for path in contents.files:
        if not path.lower().endswith(".json"):
            continue
        content = contents.json(path)
        if content is None:
            raise UserError(f"{contents.path(path)}: cannot be read as JSON.")
        if is_labelme(content):
            yield (
                path,
                _Facts(
                    frozenset(str(shape.get("label")) for shape in content["shapes"]),
                    str(content.get("imagePath") or example_name(path)),
                    bool(content.get("imageData")),
                ),
            )


def _split(path: str) -> str:
    named = (split_named(folder) for folder in path.split("/")[:-1])
    return next(filter(None, named), UNDIVIDED)


def _classes(contents: Contents, found: set[str]) -> tuple[Classes, str]:
    """The classes, and by what they are known."""
    if classes_file.FILE_NAME in contents.files:
        by = f"classes by {classes_file.FILE_NAME}."
        return Classes.for_regions(contents, sorted(found)), by
    table = find_table(contents)
    if table is None or table.colors:
        return Classes.with_background(sorted(found)), "classes by the labels found."
    listed = [name for name in table.values.values() if name != _IGNORE]
    unknown = sorted(found - {*listed, _IGNORE})
    more = f"; the labels {', '.join(unknown)} are not in it" if unknown else ""
    names = [*listed, *unknown, *({_IGNORE} & found)]
    return Classes.with_background(names), f"classes by {table.file}{more}."


def _sample(
    contents: Contents, path: str, facts: _Facts, classes: Classes
) -> "LabelmeSample":
    named, folder = facts.image_path, os.path.dirname(path)
    beside = os.path.normpath(os.path.join(folder, named.replace("\\", "/")))
    image = contents.find_image(beside, folder)
    image = image or contents.find_image(example_name(path), folder)
    return LabelmeSample(
        name=example_name(path),
        image_path=contents.path(image or beside),
        label_path=contents.path(path),
        numbers=tuple(classes.numbers.items()),
        ground=classes.ground,
        is_embedded=image is None and facts.is_embedded,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class LabelmeSample(FileSample):
    """A picture and its JSON file, read and drawn in a worker.

    Attributes:
      numbers: the class of each label.
      ground: label of what no shape covers.
      is_embedded: whether the picture is in the JSON file alone.
    """

    numbers: tuple[tuple[str, int], ...]
    ground: int = 0
    is_embedded: bool = False

    def image(self) -> Content:
        """The picture's file."""
        if self.is_embedded:
            return base64.b64decode(self._content()["imageData"])
        return super().image()

    def label(self) -> np.ndarray:
        """Draws the shapes."""
        content = self._content()
        size: Any = content.get("imageHeight"), content.get("imageWidth")
        if not all(size):
            size = image_size(self.image_path)
        regions = [_region(shape, dict(self.numbers)) for shape in content["shapes"]]
        size = int(size[0]), int(size[1])
        return draw(regions, size, self.label_name, self.ground)

    def _content(self) -> Json:
        data = FileSample.label(self)
        try:
            return json.loads(bytes(data).decode("utf-8-sig"))  # type: ignore[arg-type]
        except (ValueError, RecursionError) as error:
            raise SampleError("bad_json", f"{self.label_path}: {error}.") from None


def _region(shape: Values, numbers: Mapping[str, int]) -> Region:
    kind, points = shape.get("shape_type") or "polygon", shape.get("points")
    label = numbers[str(shape.get("label"))]
    if kind == "mask":
        (left, top), *_ = points  # type: ignore[misc]
        return Region(label, "bitmap", (shape["mask"], (left, top)))
    if kind == "rectangle" and len(points or ()) > 2:
        kind = "polygon"
    return Region(label, kind, points)
