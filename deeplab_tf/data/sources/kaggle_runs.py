"""Run lengths in a table, as Kaggle's competitions have them, beside the pictures.

  ImageId,EncodedPixels             "start length start length ..."; several rows of a
  ImageId,ClassId,EncodedPixels     picture add up; an empty cell or -1 is no region
  Image_Label,EncodedPixels         NAME.jpg_CLASS in one cell

Pixels are counted column by column from 1, as most of the competitions do;
--run_order=rows and --run_base=0 say otherwise. Class 0 is the background. Pictures
that the table does not list are left out.
"""

import pathlib
import re
from collections.abc import Mapping, Sequence

from deeplab_tf.data.conversion.class_tables import Classes
from deeplab_tf.data.conversion.contents import Contents, read_table
from deeplab_tf.data.conversion.reading import (
    UNDIVIDED,
    Reading,
    example_name,
    folder_name,
    without_unannotated,
)
from deeplab_tf.data.conversion.regions import DrawnSample, Region, packed
from deeplab_tf.data.conversion.splits import split_in
from deeplab_tf.errors import UserError, unknown

TITLE = "run lengths in a table (Kaggle)"
OPTIONS = {
    "run_order": "How pixels are counted: columns (down, then right) or rows.",
    "run_base": "The number of the first pixel, 1 or 0.",
}
_ORDERS = ("columns", "rows")
# fmt: off
_RUNS = (
    "encodedpixels", "rle_mask", "rle", "encoding", "segmentation",
    "encoded_pixels", "mask_rle",
)
_IMAGE = (
    "imageid", "image_id", "img_id", "image", "id", "img", "filename", "file_name",
    "imageid_classid", "image_label", "image_name",
)
_CLASS = (
    "classid", "class_id", "class", "label", "category", "categoryid",
    "category_id",
)
# fmt: on
_NUMBERS = re.compile(r"(\d+ \d+( \d+ \d+)*)?|-1")


def clues(contents: Contents) -> dict[str, bool]:
    """A table with such a column, and pictures."""
    return {
        "a .csv with columns as ImageId and EncodedPixels": bool(_tables(contents)),
        "pictures": bool(contents.images),
    }


def _tables(contents: Contents) -> list[str]:
    """Tables of run lengths; what is to be handed in is none."""
    found = [path for path in contents.named(r".*\.csv") if _fits(contents, path)]
    return [path for path in found if "submission" not in path.lower()]


def _fits(contents: Contents, path: str) -> bool:
    try:
        columns, rows = read_table(contents.root / path)
    except UserError:
        return False
    runs, image, _ = _columns(columns)
    return bool(runs and image) and all(
        _NUMBERS.fullmatch(" ".join(row[runs].split())) for row in rows[:50]
    )


def _columns(columns: list[str]) -> tuple[str, str, str]:
    def first(names: Sequence[str]) -> str:
        return next((name for name in names if name in columns), "")

    return first(_RUNS), first(_IMAGE), first(_CLASS)


def read(
    contents: Contents, *, run_order: str = "columns", run_base: int = 1
) -> Reading:
    """The pictures of all tables."""
    if run_order not in _ORDERS:
        raise unknown("--run_order", run_order, _ORDERS)
    found: dict[str, dict[str, list[tuple[str, str]]]] = {}
    for path in _tables(contents):
        split = split_in(pathlib.PurePath(path).stem)
        split = UNDIVIDED if split in (None, "train") else split
        rows = _rows(contents, path)
        for image, regions in rows.items():
            found.setdefault(split or UNDIVIDED, {}).setdefault(image, []).extend(
                regions
            )
    names = {n for images in found.values() for rs in images.values() for n, _ in rs}
    classes = Classes.with_background(sorted(names, key=_by_number))
    coding = (run_order, run_base)
    splits = {
        split: [
            _sample(contents, image, regions, classes, coding)
            for image, regions in sorted(images.items())
        ]
        for split, images in found.items()
    }
    used = [sample.image_path for samples in splits.values() for sample in samples]
    return Reading(
        info=classes.info(folder_name(contents), TITLE),
        splits=splits,
        notes=(
            f"run lengths from {', '.join(_tables(contents))}, counted by {run_order} "
            f"from {run_base} (--run_order, --run_base); the rest is "
            f"{classes.names[0]!r}.",
            *without_unannotated(contents, used, "a row"),
        ),
    )


def _by_number(name: str) -> tuple[int, str]:
    digits = re.search(r"\d+$", name)
    return (int(digits[0]) if digits else 0, name)


def _rows(contents: Contents, path: str) -> Mapping[str, list[tuple[str, str]]]:
    """Class and run lengths of every region, by picture."""
    columns, rows = read_table(contents.root / path)
    runs, image, label = _columns(columns)
    is_joined = not label and _is_joined(contents, image, [row[image] for row in rows])
    found: dict[str, list[tuple[str, str]]] = {}
    for number, row in enumerate(rows, start=2):
        name, kind = row[image], row[label] if label else ""
        if not name:
            raise UserError(
                f"{contents.path(path)}, row {number}: its cell {image!r} is empty."
            )
        if is_joined:
            name, _, kind = name.rpartition("_")
        text = " ".join(row[runs].split())
        if not _NUMBERS.fullmatch(text):
            raise UserError(
                f"{contents.path(path)}, row {number}: {runs} must be 'start length "
                f"...'; received {text[:40]!r}."
            )
        regions = found.setdefault(name, [])
        name_of_class = f"class_{kind}" if kind.isdigit() else kind or "foreground"
        if text not in ("", "-1"):
            regions.append((name_of_class, text))
    return found


def _is_joined(contents: Contents, column: str, names: list[str]) -> bool:
    """Whether picture and class stand in one cell, as 0011165.jpg_Fish."""
    return bool(names) and all(
        contents.find_image(name) is None
        and contents.find_image(name.rpartition("_")[0]) is not None
        for name in names[:20]
    )


def _sample(
    contents: Contents,
    image: str,
    regions: list[tuple[str, str]],
    classes: Classes,
    coding: tuple[str, int],
) -> DrawnSample:
    found = contents.find_image(image, "train") or image
    drawn = (
        Region(classes.number(name), "runs", (text, *coding)) for name, text in regions
    )
    return DrawnSample(
        name=example_name(found),
        image_path=contents.path(found),
        label_path=None,
        regions=packed(drawn),
    )
