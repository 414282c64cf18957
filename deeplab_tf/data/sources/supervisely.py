"""Supervisely: meta.json, and in each data set a folder ann of JSON beside img.

Bitmaps, polygons (with holes), rectangles, lines and points are drawn in the order of
the file, later ones on top. Class 0 is the background; the classes of meta.json follow
in its order. Data sets called train, val, test are splits.
"""

import dataclasses
import json
import os
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from deeplab_tf.data.conversion.class_tables import Classes
from deeplab_tf.data.conversion.contents import Contents
from deeplab_tf.data.conversion.reading import (
    UNDIVIDED,
    Reading,
    example_name,
    folder_name,
    without_unannotated,
)
from deeplab_tf.data.conversion.regions import Region, draw
from deeplab_tf.data.conversion.samples import FileSample, SampleError
from deeplab_tf.data.conversion.splits import split_named
from deeplab_tf.errors import UserError
from deeplab_tf.files import Json, Values

TITLE = "Supervisely"


def clues(contents: Contents) -> dict[str, bool]:
    """Its meta.json and its annotations."""
    return {
        "meta.json with 'classes'": bool(_meta(contents)),
        "folders ann of JSON files with 'objects' and 'size'": any(
            _is_annotation(content) for content in contents.some_json.values()
        ),
    }


def _meta(contents: Contents) -> Json | None:
    for path in contents.named(r"meta\.json"):
        content = contents.json(path)
        if isinstance(content, dict) and isinstance(content.get("classes"), list):
            return content
    return None


def _is_annotation(content: object) -> bool:
    return (
        isinstance(content, dict)
        and isinstance(content.get("objects"), list)
        and isinstance(content.get("size"), dict)
    )


def read(contents: Contents) -> Reading:
    """Every picture with an annotation file."""
    meta = _meta(contents)
    if meta is None:
        raise UserError(f"{contents.root}: holds no meta.json with the classes.")
    classes = _classes(meta)
    numbers = tuple(classes.numbers.items())
    splits: dict[str, list[SuperviselySample]] = {}
    for path in contents.files:
        if path.lower().endswith(".json") and "ann" in path.split("/")[:-1]:
            sample = _sample(contents, path, numbers)
            splits.setdefault(_split(path), []).append(sample)
    used = [sample.image_path for samples in splits.values() for sample in samples]
    return Reading(
        info=classes.info(folder_name(contents), TITLE),
        splits=splits,
        notes=(
            f"classes by meta.json; what no object covers is {classes.names[0]!r}.",
            *classes.notes(),
            *without_unannotated(contents, used, "an annotation"),
        ),
    )


def _classes(meta: Values) -> Classes:
    colors = {
        str(c["title"]): _color(str(c.get("color", "#000000"))) for c in meta["classes"]
    }
    classes = Classes.with_background(colors)
    shown = tuple(colors.get(name, (0, 0, 0)) for name in classes.names)
    return dataclasses.replace(classes, colormap=shown)


def _color(text: str) -> tuple[int, int, int]:
    try:
        red, green, blue = bytes.fromhex(text.lstrip("#"))
    except ValueError:
        return 0, 0, 0
    return red, green, blue


def _split(path: str) -> str:
    named = (split_named(folder) for folder in path.split("/")[:-1])
    return next(filter(None, named), UNDIVIDED)


def _sample(
    contents: Contents, path: str, numbers: tuple[tuple[str, int], ...]
) -> "SuperviselySample":
    above, name = os.path.split(path)
    folders = ["img" if folder == "ann" else folder for folder in above.split("/")]
    wanted = "/".join((*folders, name[: -len(".json")]))
    found = contents.find_image(wanted, "/".join(folders)) or wanted
    return SuperviselySample(
        name=example_name(found),
        image_path=contents.path(found),
        label_path=contents.path(path),
        numbers=numbers,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class SuperviselySample(FileSample):
    """A picture and its annotation file, read and drawn in a worker.

    Attributes:
      numbers: the class of each title.
    """

    numbers: tuple[tuple[str, int], ...]

    def label(self) -> np.ndarray:
        """Draws the objects."""
        data = super().label()
        try:
            content = json.loads(bytes(data).decode("utf-8-sig"))  # type: ignore[arg-type]
            size = (int(content["size"]["height"]), int(content["size"]["width"]))
            regions = list(_regions(content["objects"], dict(self.numbers)))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            text = f"{self.label_path}: is no annotation ({error!r})."
            raise SampleError("bad_json", text) from None
        return draw(regions, size, self.label_name)


def _regions(objects: Iterable[Values], numbers: Mapping[str, int]) -> Iterator[Region]:
    for one in objects:
        label = numbers[one["classTitle"]]
        bitmap, points = one.get("bitmap"), one.get("points") or {}
        if bitmap:
            yield Region(label, "bitmap", (bitmap["data"], bitmap["origin"]))
        elif points:
            kind = str(one.get("geometryType") or "polygon")
            outer = points["exterior"]
            if kind == "polygon":
                yield Region(label, "with_holes", [outer, *points.get("interior", [])])
            else:
                yield Region(label, kind, outer)
