"""Your own pictures: masks in folders of their own or beside, list files, or a table.

  images/train/a.jpg  labels/train/a.png ...   a folder for each split
  train/images/a.jpg  train/labels/a.png ...   the same, the other way round
  train/a.jpg         train_labels/a.png ...   or trainannot, train_masks
  images/a.jpg        masks/a.png              no splits: --val_fraction makes them
  a.jpg               a_mask.png               side by side; or _label, _gt, _seg
  train.txt, val.txt                           lines "picture label": see lists.py
  dataset.csv                                  columns image, label, split: tables.py

Folders of pictures may be called images, image, imgs, JPEGImages, input ...; those of
masks labels, masks, annotations, gt, segmentation, truth ... (conversion/pairing.py).
Of two folders with other names, whose files are called alike, that of masks is found
by what lies in it.
Classes: classes.json (conversion/classes_file.py), else a list that a tool has left
(conversion/class_tables.py), else the values or colours found, with invented names.
"""

import pathlib
from collections.abc import Mapping

import numpy as np
from PIL import Image

from deeplab_tf.data.conversion.contents import Contents
from deeplab_tf.data.conversion.mask_classes import read_masks
from deeplab_tf.data.conversion.pairing import Names, find_pairs, make_samples
from deeplab_tf.data.conversion.reading import UNDIVIDED, Reading
from deeplab_tf.data.conversion.samples import INDICES
from deeplab_tf.data.conversion.splits import split_named
from deeplab_tf.data.sources import lists, tables
from deeplab_tf.errors import UserError

TITLE = "folders of pictures and masks"
_LOOKS = 3  # files of a folder whose name does not tell what it holds
_FEW_VALUES = 64
GENERAL = 3  # recognised only where nothing more special is
OPTIONS = {
    "label_suffix": "What a label's name has more than its picture's, as _mask.",
    "image_folder": "Name of the folders of pictures, where it cannot be told.",
    "label_folder": "Name of the folders of masks, where it cannot be told.",
}


def clues(contents: Contents) -> dict[str, bool]:
    """Pictures and masks that belong together by their names."""
    return {
        "pictures": bool(contents.images),
        "masks that are called like their pictures (images/a.jpg and masks/a.png, or "
        "a.jpg and a_mask.png; --image_folder, --label_folder and --label_suffix say "
        "what cannot be seen)": _has_pairs(contents),
    }


def _has_pairs(contents: Contents, names: Names | None = None) -> bool:
    try:
        pairs = find_pairs(contents, _names(contents) if names is None else names)
    except UserError:  # two masks for one picture: they are masks
        return True
    return any(pair.image and pair.label for pair in pairs)


def _names(contents: Contents) -> Names:
    """Which folder holds what, by what lies in it where the names do not tell.

    Two folders whose files are called alike, one of them of masks alone.
    """
    if _has_pairs(contents, Names()):
        return Names()
    files: dict[str, dict[str, str]] = {}
    for path in contents.images:
        parts = pathlib.PurePath(path)
        files.setdefault(parts.parent.name, {})[parts.stem] = path
    if len(files) != 2 or len(set.intersection(*map(set, files.values()))) < 2:
        return Names()
    masks = [name for name in files if _is_of_masks(contents, files[name])]
    if len(masks) != 1:
        return Names()
    (images,) = files.keys() - masks
    return Names(image_folder=images, label_folder=masks[0])


def _is_of_masks(contents: Contents, files: Mapping[str, str]) -> bool:
    """Whether some of them have a palette, or few values, as no photograph has."""
    return all(_is_mask(contents.path(path)) for path in list(files.values())[:_LOOKS])


def _is_mask(path: str) -> bool:
    if path.lower().endswith((".jpg", ".jpeg")):
        return False
    try:
        with Image.open(path) as image:
            grey = image.mode in ("P", "1", "L", "I;16", "I")
            return grey and len(np.unique(np.asarray(image))) <= _FEW_VALUES
    except Exception:  # Pillow's plugins raise nearly anything
        return False


def read(
    contents: Contents,
    *,
    label_suffix: str = "",
    image_folder: str = "",
    label_folder: str = "",
) -> Reading:
    """The pairs, or what a table or lists of this folder say."""
    for layout in (tables, lists):
        if all(layout.clues(contents).values()):
            return layout.read(contents)
    told = Names(label_suffix, image_folder, label_folder)
    pairs = find_pairs(contents, told or _names(contents))
    if not any(pair.label for pair in pairs):
        raise UserError(
            f"--source_dir={contents.root}: holds neither images/ and labels/, nor "
            "train.txt, nor dataset.csv; docs/labels.md shows the layouts."
        )
    splits = make_samples(contents, pairs, INDICES)
    if UNDIVIDED not in splits:
        named = (split_named(path.rsplit("/", 1)[-1]) for path in contents.empty)
        splits |= {split: [] for split in named if split and split not in splits}
    return read_masks(contents, splits, "pictures and masks in folders")
