"""JPEGImages and SegmentationClass with a list of classes, as two tools write them.

CVAT "Segmentation mask 1.1": labelmap.txt gives each class a colour, masks are RGB,
ImageSets/Segmentation/<subset>.txt lists the pictures ("default" is no split).
labelme2voc: class_names.txt, masks are palette PNG (SegmentationClass, in older
versions SegmentationClassPNG) or .npy; there are no lists; __ignore__ is void.
"""

import pathlib
from collections.abc import Mapping

from deeplab_tf.data.conversion.class_tables import find_table
from deeplab_tf.data.conversion.contents import Contents, read_lines
from deeplab_tf.data.conversion.mask_classes import read_masks
from deeplab_tf.data.conversion.reading import (
    UNDIVIDED,
    Reading,
    example_name,
    without_unannotated,
)
from deeplab_tf.data.conversion.samples import FileSample
from deeplab_tf.data.conversion.splits import split_in, split_named
from deeplab_tf.data.sources import voc2012
from deeplab_tf.errors import UserError

TITLE = "JPEGImages and SegmentationClass (CVAT segmentation mask, labelme2voc)"
_MASKS = ("SegmentationClassPNG", "SegmentationClass", "SegmentationClassNpy")
_IMAGES = "JPEGImages"
_LISTS = "ImageSets/Segmentation"


def clues(contents: Contents) -> dict[str, bool]:
    """The two folders, and that it is not the public data set."""
    return {
        "a folder JPEGImages": bool(_folders(contents, _IMAGES)),
        "a folder SegmentationClass": any(_folders(contents, n) for n in _MASKS),
        "classes of its own (labelmap.txt, class_names.txt)": find_table(contents)
        is not None
        or not all(voc2012.clues(contents).values()),
    }


def _folders(contents: Contents, name: str) -> dict[str, str]:
    """Files below a folder of that name, by path without ending."""
    found = {}
    for path in contents.images:
        head, here, tail = f"/{path}".partition(f"/{name}/")
        if here:
            found[f"{head}/{example_name(tail)}".lstrip("/")] = path
    return found


def read(contents: Contents) -> Reading:
    """The listed pictures that have a mask; without lists all that have one."""
    images = _folders(contents, _IMAGES)
    masks = next(filter(None, (_folders(contents, name) for name in _MASKS)))
    lists = _lists(contents) or _by_folder(masks)
    splits = {
        split: [
            _sample(contents, name, images, masks) for name in names if name in masks
        ]
        for split, names in lists.items()
    }
    used = [s.image_path for samples in splits.values() for s in samples]
    used += [contents.path(p) for p in contents.images if p not in images.values()]
    notes = without_unannotated(contents, used, "masks")
    return read_masks(contents, splits, TITLE, notes)


def _by_folder(masks: Mapping[str, str]) -> dict[str, list[str]]:
    """Names by the split that a folder around everything tells."""
    splits: dict[str, list[str]] = {}
    for name in sorted(masks):
        split = split_in(name.partition("/")[0]) if "/" in name else None
        splits.setdefault(split or UNDIVIDED, []).append(name)
    return splits


def _sample(
    contents: Contents, name: str, images: Mapping[str, str], masks: Mapping[str, str]
) -> FileSample:
    return FileSample(
        name=name,
        image_path=contents.path(images.get(name, f"{_IMAGES}/{name}.jpg")),
        label_path=contents.path(masks.get(name, f"{_MASKS[1]}/{name}.png")),
    )


def _lists(contents: Contents) -> dict[str, list[str]]:
    """Names by split; lists whose names are no split's together under UNDIVIDED."""
    splits: dict[str, list[str]] = {}
    for path in contents.files:
        if not (f"/{path}".endswith(".txt") and f"/{_LISTS}/" in f"/{path}"):
            continue
        stem, above = pathlib.PurePath(path).stem, path.partition(f"{_LISTS}/")[0]
        names = splits.setdefault(split_named(stem) or UNDIVIDED, [])
        lines = read_lines(contents.root / path)
        names += [f"{above}{_name(line, path)}" for line in lines]
    known = {name for split, names in splits.items() if split for name in names}
    loose = [n for n in dict.fromkeys(splits.get(UNDIVIDED, ())) if n not in known]
    splits = {split: names for split, names in splits.items() if split}
    return {**splits, UNDIVIDED: loose} if loose else splits


def _name(line: str, path: str) -> str:
    """A line's picture: CVAT puts names with blanks in quotes."""
    if line.startswith('"'):
        name, quote, _ = line[1:].partition('"')
        if not quote:
            raise UserError(f"{path}: a quote is missing in {line!r}.")
        return name
    return line
