"""Cityscapes: 19 classes of street scenes, 2048x1024 (Cordts et al. 2016).

`source_dir` holds leftImg8bit and gtFine, and gtCoarse for the coarse labels.
"""

import pathlib
from collections.abc import Iterator

from deeplab_tf.data.conversion.contents import Contents
from deeplab_tf.data.conversion.listing import find_root
from deeplab_tf.data.conversion.samples import Coding, FileSample
from deeplab_tf.data.dataset_info import IGNORE_LABEL, DatasetInfo
from deeplab_tf.errors import UserError

TITLE = "Cityscapes"
# labelId of the files, name and colour of each class that is evaluated, in the order
# of the official trainIds.
_CLASSES = (
    (7, "road", (128, 64, 128)),
    (8, "sidewalk", (244, 35, 232)),
    (11, "building", (70, 70, 70)),
    (12, "wall", (102, 102, 156)),
    (13, "fence", (190, 153, 153)),
    (17, "pole", (153, 153, 153)),
    (19, "traffic light", (250, 170, 30)),
    (20, "traffic sign", (220, 220, 0)),
    (21, "vegetation", (107, 142, 35)),
    (22, "terrain", (152, 251, 152)),
    (23, "sky", (70, 130, 180)),
    (24, "person", (220, 20, 60)),
    (25, "rider", (255, 0, 0)),
    (26, "car", (0, 0, 142)),
    (27, "truck", (0, 0, 70)),
    (28, "bus", (0, 60, 100)),
    (31, "train", (0, 80, 100)),
    (32, "motorcycle", (0, 0, 230)),
    (33, "bicycle", (119, 11, 32)),
)
LABEL_IDS = {name: label_id for label_id, name, _ in _CLASSES}
_COUNT = 34  # of label ids
INFO = DatasetInfo(
    name="cityscapes",
    class_names=tuple(name for _, name, _ in _CLASSES),
    colormap=tuple(color for _, _, color in _CLASSES),
    source="Cityscapes, https://www.cityscapes-dataset.com/, registration needed",
)
SPLITS = ("train", "val")
_BELOW = ("cityscapes", "Cityscapes")
OPTIONS = {
    "coarse": "Read gtCoarse instead of gtFine; its splits are train, train_extra, val."
}
_CODING = Coding.of(
    values=dict.fromkeys(range(_COUNT), IGNORE_LABEL)
    | {label_id: train_id for train_id, (label_id, _, _) in enumerate(_CLASSES)}
)


def clues(contents: Contents) -> dict[str, bool]:
    """Its folders and its names."""
    roots = ["", *(f"{folder}/" for folder in _BELOW)]
    return {
        "leftImg8bit and gtFine (or gtCoarse)": any(
            contents.has_folders(f"{root}leftImg8bit", f"{root}{kind}")
            for root in roots
            for kind in ("gtFine", "gtCoarse")
        ),
        "masks called NAME_labelIds.png": bool(contents.named(r".*_labelIds\.png")),
        "no label_colors.txt": not contents.named(r"label_colors\.txt"),
    }


def samples(
    source_dir: str, split: str, *, coarse: bool = False
) -> Iterator[FileSample]:
    """The pictures of a split, by city and name; the split test has no labels.

    labelIds become trainIds by table, so the files that the official scripts make
    (labelTrainIds) are not needed.
    """
    root = find_root(source_dir, "leftImg8bit", *_BELOW)
    images = root / "leftImg8bit" / split
    if not images.is_dir():
        raise UserError(f"{images}: there is no such folder.")
    kind = "gtCoarse" if coarse else "gtFine"
    for image in sorted(images.glob("*/*_leftImg8bit.png")):
        stem = image.name.removesuffix("_leftImg8bit.png")
        label = _label_path(root / kind / split, image, f"{stem}_{kind}_labelIds.png")
        yield FileSample(
            name=stem,
            image_path=str(image),
            label_path=None if split == "test" else str(label),
            coding=_CODING,
        )


def _label_path(folder: pathlib.Path, image: pathlib.Path, name: str) -> pathlib.Path:
    return folder / image.parent.name / name
