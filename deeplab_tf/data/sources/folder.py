"""Your own pictures: paired folders, list files or a table, and a classes.json.

`source_dir` holds classes.json and one of these layouts (images may also be called
image or imgs; labels also label, masks or annotations):

  images/train/a.jpg labels/train/a.png ...   a folder for each split
  train/images/a.jpg train/labels/a.png ...   the same, the other way round
  images/a.jpg labels/a.png                   no splits: --val_fraction makes them
  train.txt, val.txt                          lines "picture label", or "picture"
  dataset.csv                                 columns image, label and perhaps split

conversion/classes_file.py tells what classes.json may hold.
"""

import csv
import pathlib
from collections.abc import Iterable, Iterator

from deeplab_tf.data.conversion.classes_file import FILE_NAME, read_classes
from deeplab_tf.data.conversion.listing import pair_files
from deeplab_tf.data.conversion.samples import Coding, FileSample
from deeplab_tf.data.conversion.stratify import choose_stratified
from deeplab_tf.data.dataset_info import DatasetInfo
from deeplab_tf.errors import UserError, unknown

OPTIONS = {
    "val_fraction": "Share of the examples that go to val where there are no splits.",
    "label_suffix": "What a label's name has more than its picture's, as _mask.",
}
_IMAGE_FOLDERS = ("images", "image", "imgs")
_LABEL_FOLDERS = ("labels", "label", "masks", "annotations")
_TABLE = "dataset.csv"


def INFO(source_dir: str) -> DatasetInfo:  # noqa: N802
    """What classes.json says."""
    return _classes(source_dir)[0]


def SPLITS(source_dir: str) -> tuple[str, ...]:  # noqa: N802
    """The splits that the layout shows."""
    return tuple(_layout(pathlib.Path(source_dir)))


def samples(
    source_dir: str, split: str, *, val_fraction: float = 0.1, label_suffix: str = ""
) -> Iterable[FileSample]:
    """The examples of a split; a split whose labels are nowhere has none."""
    root = pathlib.Path(source_dir)
    info, coding = _classes(source_dir)
    layout = _layout(root)
    if split not in layout:
        raise unknown(f"split of {root}", split, layout)
    place = layout[split]
    if place is None:
        everything = _undivided(root, coding, label_suffix)
        return _part(everything, split, info, val_fraction)
    if place.suffix == ".txt":
        return _from_list(place, coding)
    if place.suffix == ".csv":
        return _from_table(place, split, coding)
    images, labels = _folders_of(root, split)
    return pair_files(images, labels, coding, label_suffix)


def _layout(root: pathlib.Path) -> dict[str, pathlib.Path | None]:
    """The splits and where each is described; None: a part of one pair of folders."""
    if (root / _TABLE).is_file():
        named = {row.get("split") for row in _rows(root / _TABLE)}
        splits = sorted(name for name in named if name) or ["train"]
        return dict.fromkeys(_usual_order(splits), root / _TABLE)
    lists = {path.stem: path for path in root.glob("*.txt")}
    if "train" in lists:
        return {split: lists[split] for split in _usual_order(lists)}
    images = _first_folder(root, _IMAGE_FOLDERS)
    if images and any(path.is_file() for path in images.iterdir()):
        return {"train": None, "val": None}
    inside = images or root
    splits = [
        path.name
        for path in inside.iterdir()
        if path.is_dir() and (images or _first_folder(path, _IMAGE_FOLDERS))
    ]
    if not splits:
        raise UserError(
            f"--source_dir={root}: holds neither images/ and labels/, nor train.txt, "
            f"nor {_TABLE}; datasets/README.md shows the layouts."
        )
    return dict.fromkeys(_usual_order(splits), inside)


def _usual_order(splits: Iterable[str]) -> list[str]:
    usual = ["train", "val", "test"]
    return sorted(
        splits, key=lambda s: (usual.index(s) if s in usual else len(usual), s)
    )


def _first_folder(root: pathlib.Path, names: Iterable[str]) -> pathlib.Path | None:
    return next((root / name for name in names if (root / name).is_dir()), None)


def _folders_of(
    root: pathlib.Path, split: str
) -> tuple[pathlib.Path, pathlib.Path | None]:
    images = _first_folder(root, _IMAGE_FOLDERS)
    if images:
        labels = _first_folder(root, _LABEL_FOLDERS)
        in_split = labels / split if labels else None
        return images / split, in_split if in_split and in_split.is_dir() else None
    folder = root / split
    inside = _first_folder(folder, _IMAGE_FOLDERS)
    return inside or folder, _first_folder(folder, _LABEL_FOLDERS)


def _undivided(root: pathlib.Path, coding: Coding, suffix: str) -> list[FileSample]:
    images = _first_folder(root, _IMAGE_FOLDERS)
    labels = _first_folder(root, _LABEL_FOLDERS)
    if images is None or labels is None:
        raise UserError(f"--source_dir={root}: holds no labels/ beside images/.")
    return list(pair_files(images, labels, coding, suffix))


def _part(
    everything: list[FileSample], split: str, info: DatasetInfo, fraction: float
) -> list[FileSample]:
    """Train or val out of one pair of folders, the same at every call."""
    if not 0 < fraction < 1:
        raise UserError(f"--val_fraction must be in (0, 1); received {fraction}.")
    for_val = choose_stratified(everything, info, fraction)
    return [s for s in everything if (s.name in for_val) == (split == "val")]


def _from_list(path: pathlib.Path, coding: Coding) -> Iterator[FileSample]:
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        names = line.split()
        if len(names) > 2:
            raise UserError(
                f"{path}, line {number}: must be 'picture label'; received {line!r}."
            )
        if names:
            label = names[1] if len(names) == 2 else None
            yield _listed(path.parent, names[0], label, coding)


def _from_table(path: pathlib.Path, split: str, coding: Coding) -> Iterator[FileSample]:
    for row in _rows(path):
        if (row.get("split") or "train") == split:
            yield _listed(path.parent, row["image"], row.get("label") or None, coding)


def _rows(path: pathlib.Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    if not rows or "image" not in rows[0]:
        raise UserError(f"{path}: must have a head line with image, label and split.")
    return rows


def _listed(
    root: pathlib.Path, image: str, label: str | None, coding: Coding
) -> FileSample:
    return FileSample(
        name=pathlib.PurePath(image).with_suffix("").as_posix(),
        image_path=str(root / image),
        label_path=str(root / label) if label else None,
        coding=coding,
    )


def _classes(source_dir: str) -> tuple[DatasetInfo, Coding]:
    if not source_dir:
        raise UserError("--source_dir must name the folder of the data set.")
    root = pathlib.Path(source_dir)
    return read_classes(root / FILE_NAME, root.resolve().name)
