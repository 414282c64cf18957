"""Any COCO JSON file of regions, whatever it is called: CVAT, Roboflow, VIA, own tools.

Polygons and both codings of run lengths are drawn by pycocotools; iscrowd makes no
difference to a region's class. Regions are drawn in the order of the file, later ones
on top; --overlap=area draws the largest first, so that small ones are on top. What no
region covers is class 0, background; the categories follow in order of their ids, or
all are as classes.json numbers them.
Splits: from the names of the files (instances_val.json) or their folders (valid/).
"""

import os
import pathlib
from collections.abc import Iterable, Mapping

from deeplab_tf.data.conversion.class_tables import Classes
from deeplab_tf.data.conversion.contents import Contents
from deeplab_tf.data.conversion.reading import (
    UNDIVIDED,
    Reading,
    example_name,
    folder_name,
    without_unannotated,
)
from deeplab_tf.data.conversion.regions import DrawnSample, Region, packed
from deeplab_tf.data.conversion.splits import split_in, split_named
from deeplab_tf.data.dataset_info import IGNORE_LABEL
from deeplab_tf.data.sources import coco
from deeplab_tf.errors import UserError, unknown
from deeplab_tf.files import Values

TITLE = "COCO JSON"
OPTIONS = {"overlap": "Which region is on top: file, the later one; area, the smaller."}
_OVERLAPS = ("file", "area")


def clues(contents: Contents) -> dict[str, bool]:
    """A file with images, annotations and categories."""
    public = all(coco.clues(contents).values())
    return {
        "a JSON file with 'images', 'annotations' and 'categories'": not public
        and any(map(_is_coco, contents.some_json.values())),
        "pictures": bool(contents.images),
    }


def _is_coco(content: object) -> bool:
    return isinstance(content, dict) and all(
        isinstance(content.get(key), list)
        for key in ("images", "annotations", "categories")
    )


def read(contents: Contents, *, overlap: str = "file") -> Reading:
    """The pictures that the files list."""
    if overlap not in _OVERLAPS:
        raise unknown("--overlap", overlap, _OVERLAPS)
    files = {p: c for p in _json(contents) if _is_coco(c := contents.json(p))}
    if not files:
        raise UserError(f"{contents.root}: holds no COCO JSON file.")
    classes = Classes.for_regions(contents, _names(files.values()))
    splits: dict[str, list[DrawnSample]] = {}
    for path, content in files.items():
        splits.setdefault(_split(path), []).extend(
            _samples(contents, path, content, classes, overlap)
        )
    used = [sample.image_path for samples in splits.values() for sample in samples]
    is_void = classes.ground == IGNORE_LABEL
    ground = "void" if is_void else repr(classes.names[classes.ground])
    order = "in the order of the file" if overlap == "file" else "the largest first"
    notes = [
        f"regions from {', '.join(files)}, drawn {order}; what none covers is "
        f"{ground}.",
        *classes.notes(),
        *without_unannotated(contents, used, "an entry"),
    ]
    return Reading(
        info=classes.info(folder_name(contents), TITLE),
        splits=splits,
        notes=tuple(notes),
    )


def _json(contents: Contents) -> list[str]:
    return [path for path in contents.files if path.lower().endswith(".json")]


def _names(files: Iterable[Values]) -> list[str]:
    """Names of the categories, each once, in order of file and id.

    Roboflow puts a heading first: a category that nothing belongs to, but that is the
    supercategory of the others.
    """
    names: list[str] = []
    for content in files:
        used = {a.get("category_id") for a in content["annotations"]}
        above = {c.get("supercategory") for c in content["categories"]}
        for category in sorted(content["categories"], key=lambda c: c["id"]):
            name = str(category["name"])
            is_heading = category["id"] not in used and (
                name in above or category.get("supercategory") == "none"
            )
            if not is_heading and name not in names:
                names.append(name)
    return names


def _split(path: str) -> str:
    stem = split_in(pathlib.PurePath(path).stem)
    folders = (split_named(folder) for folder in path.split("/")[:-1])
    return stem or next(filter(None, folders), UNDIVIDED)


def _samples(
    contents: Contents,
    path: str,
    content: Values,
    classes: Classes,
    overlap: str,
) -> Iterable[DrawnSample]:
    names = {c["id"]: str(c["name"]) for c in content["categories"]}
    regions = _regions(contents.path(path), content, classes, names, overlap)
    folder = os.path.dirname(path)
    for image in content["images"]:
        name = str(image["file_name"])
        found = contents.find_image(name, folder)
        size = (
            (int(image["height"]), int(image["width"])) if "height" in image else None
        )
        yield DrawnSample(
            name=example_name(found or name),
            image_path=contents.path(found or os.path.join(folder, name)),
            label_path=contents.path(path),
            regions=packed(regions.get(image["id"], ())),
            size=size,
            ground=classes.ground,
        )


def _regions(
    path: str,
    content: Values,
    classes: Classes,
    names: Mapping[int, str],
    overlap: str,
) -> dict[int, list[Region]]:
    """Regions by image, the lowest first."""
    annotations = content["annotations"]
    if overlap == "area":
        annotations = sorted(annotations, key=lambda a: -float(a.get("area", 0)))
    found: dict[int, list[Region]] = {}
    for annotation in annotations:
        segmentation = annotation.get("segmentation")
        if not segmentation:
            continue  # a box or a key point: no region
        category = annotation.get("category_id")
        if category not in names:
            raise UserError(f"{path}: a region has the unknown category {category!r}.")
        region = Region(classes.number(names[category]), "coco", segmentation)
        found.setdefault(annotation["image_id"], []).append(region)
    return found
