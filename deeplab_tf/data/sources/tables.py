"""A table, dataset.csv: columns image, label and perhaps split, one row an example.

The head line may be spelled otherwise (picture, file, mask, annotation, set ...), in
any case and with blanks; cells are separated by commas, semicolons or tabs. Paths are
relative to the folder of the table.
"""

import pathlib
from collections.abc import Iterable

from deeplab_tf.data.conversion.contents import Contents, is_image, read_table
from deeplab_tf.data.conversion.mask_classes import read_masks
from deeplab_tf.data.conversion.reading import UNDIVIDED, Reading
from deeplab_tf.data.conversion.samples import FileSample
from deeplab_tf.data.conversion.splits import split_in, usual_name
from deeplab_tf.data.sources.lists import listed
from deeplab_tf.errors import UserError

TITLE = "a table with columns image, label, split"
GENERAL = 1
_FILE = "dataset.csv"
# fmt: off
_IMAGE = (
    "image", "images", "image_path", "img", "img_path", "picture", "file",
    "file_name", "filename", "path", "input", "image_file",
)
_LABEL = (
    "label", "labels", "label_path", "mask", "masks", "mask_path", "annotation",
    "annotation_path", "segmentation", "segmentation_path", "gt", "target",
    "label_file", "mask_file",
)
# fmt: on
_SPLIT = ("split", "set", "subset", "partition", "fold", "usage")


def clues(contents: Contents) -> dict[str, bool]:
    """A table that names pictures and masks."""
    tables = _tables(contents)
    return {"a .csv with columns image and label that names files": bool(tables)}


def _tables(contents: Contents) -> list[str]:
    """dataset.csv, or else all tables whose columns and first row fit."""
    if _FILE in contents.files:
        return [_FILE]
    return [
        p for p in contents.files if p.lower().endswith(".csv") and _fits(contents, p)
    ]


def _fits(contents: Contents, path: str) -> bool:
    try:
        columns, rows = read_table(contents.root / path)
    except UserError:
        return False
    image, label = _first(columns, _IMAGE), _first(columns, _LABEL)
    named = [r for r in rows if image and label and is_image(r[image])]
    return any(is_image(row[label]) for row in named if label)


def _first(columns: Iterable[str], names: Iterable[str]) -> str | None:
    words = {column.replace(" ", "_"): column for column in columns}
    return next((words[name] for name in names if name in words), None)


def read(contents: Contents) -> Reading:
    """The examples of all rows, by their split."""
    splits: dict[str, list[FileSample]] = {}
    notes: list[str] = []
    for name in _tables(contents):
        path = contents.root / name
        columns, rows = read_table(path)
        image, label, split = (
            _first(columns, names) for names in (_IMAGE, _LABEL, _SPLIT)
        )
        notes += _about_columns(path, columns, image, label, split)
        by_file = split_in(pathlib.PurePath(name).stem)
        otherwise = by_file or ("train" if split else UNDIVIDED)
        for number, row in enumerate(rows, start=2):
            sample = _sample(path, number, row, image or "", label)
            where = (row[split] if split else "") or otherwise
            splits.setdefault(usual_name(where), []).append(sample)
        if not rows:
            raise UserError(f"{path}: holds a head line and no row.")
    return read_masks(contents, splits, "pictures and masks in a table", notes)


def _about_columns(
    path: pathlib.Path,
    columns: list[str],
    image: str | None,
    label: str | None,
    split: str | None,
) -> list[str]:
    """Which columns were taken for what.

    Raises:
      UserError: there is none of pictures, or none of labels among unknown ones.
    """
    unknown = [column for column in columns if column not in (image, label, split)]
    if image is None or (label is None and unknown):
        lacking = "pictures (image)" if image is None else "labels (label, or mask)"
        raise UserError(
            f"{path}: no column of {lacking}; it has {', '.join(columns)}. The head "
            "line must be as image,label,split."
        )
    if not unknown:
        return []
    return [f"{path.name}: columns that are not used: {', '.join(unknown)}."]


def _sample(
    path: pathlib.Path, number: int, row: dict[str, str], image: str, label: str | None
) -> FileSample:
    if not row[image]:
        raise UserError(f"{path}, row {number}: its cell {image!r} is empty.")
    return listed(path.parent, row[image], (row[label] or None) if label else None)
