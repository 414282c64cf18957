"""ADE20K scene parsing: 150 classes of things and stuff (Zhou et al. 2017).

`source_dir` is ADEChallengeData2016, or a folder that holds it: images/training,
annotations/training, images/validation, annotations/validation.
"""

import dataclasses
from collections.abc import Iterator

from deeplab_tf.data.conversion.contents import Contents
from deeplab_tf.data.conversion.listing import find_root, pair_files
from deeplab_tf.data.conversion.samples import INDICES, Coding, FileSample
from deeplab_tf.data.dataset_info import IGNORE_LABEL, DatasetInfo
from deeplab_tf.errors import unknown

TITLE = "ADE20K"
# fmt: off
_CLASSES = (
    "wall", "building", "sky", "floor", "tree", "ceiling", "road", "bed",
    "windowpane", "grass", "cabinet", "sidewalk", "person", "earth", "door",
    "table", "mountain", "plant", "curtain", "chair", "car", "water", "painting",
    "sofa", "shelf", "house", "sea", "mirror", "rug", "field", "armchair", "seat",
    "fence", "desk", "rock", "wardrobe", "lamp", "bathtub", "railing", "cushion",
    "base", "box", "column", "signboard", "chest of drawers", "counter", "sand",
    "sink", "skyscraper", "fireplace", "refrigerator", "grandstand", "path",
    "stairs", "runway", "case", "pool table", "pillow", "screen door", "stairway",
    "river", "bridge", "bookcase", "blind", "coffee table", "toilet", "flower",
    "book", "hill", "bench", "countertop", "stove", "palm", "kitchen island",
    "computer", "swivel chair", "boat", "bar", "arcade machine", "hovel", "bus",
    "towel", "light", "truck", "tower", "chandelier", "awning", "streetlight",
    "booth", "television receiver", "airplane", "dirt track", "apparel", "pole",
    "land", "bannister", "escalator", "ottoman", "bottle", "buffet", "poster",
    "stage", "van", "ship", "fountain", "conveyer belt", "canopy", "washer",
    "plaything", "swimming pool", "stool", "barrel", "basket", "waterfall", "tent",
    "bag", "minibike", "cradle", "oven", "ball", "food", "step", "tank",
    "trade name", "microwave", "pot", "animal", "bicycle", "lake", "dishwasher",
    "screen", "blanket", "sculpture", "hood", "sconce", "vase", "traffic light",
    "tray", "ashcan", "fan", "pier", "crt screen", "plate", "monitor",
    "bulletin board", "shower", "radiator", "glass", "clock", "flag",
)
# fmt: on
_INFO = DatasetInfo(
    name="ade20k",
    class_names=_CLASSES,
    source="ADE20K, MIT Scene Parsing Benchmark, http://sceneparsing.csail.mit.edu/",
)
SPLITS = ("train", "val")
OPTIONS = {
    "released_classes": "Number the classes as the released weights do: 151 with "
    "'other' as class 0, which is ignored; else 150.",
}
_FOLDERS = {"train": "training", "val": "validation", "test": "testing"}
_OTHER = 0
_BELOW = "ADEChallengeData2016"


def clues(contents: Contents) -> dict[str, bool]:
    """Its folders and its names."""
    return {
        "images/training or images/validation, and annotations": any(
            contents.has_folders(f"{root}images/{part}", f"{root}annotations/{part}")
            for root in ("", f"{_BELOW}/")
            for part in ("training", "validation")
        ),
        "pictures called ADE_train_00000001.jpg": bool(
            contents.named(r"ADE_(train|val)_\d+\.jpg")
        ),
    }


def INFO(  # noqa: N802
    source_dir: str, *, released_classes: bool = False
) -> DatasetInfo:
    """150 classes from 0, or the 151 of the released code."""
    del source_dir
    if not released_classes:
        return _INFO
    return dataclasses.replace(
        _INFO, class_names=("other", *_CLASSES), colormap=(), ignore_label=_OTHER
    )


def samples(
    source_dir: str, split: str, *, released_classes: bool = False
) -> Iterator[FileSample]:
    """The pictures of a split, by name; the split test has no labels."""
    root = find_root(source_dir, "images", _BELOW)
    if split not in _FOLDERS:
        raise unknown("split of ADE20K", split, _FOLDERS)
    labels = None if split == "test" else root / "annotations" / _FOLDERS[split]
    coding = INDICES if released_classes else _from_zero()
    return pair_files(root / "images" / _FOLDERS[split], labels, coding)


def _from_zero() -> Coding:
    """Files hold 0 for what is none of the classes, and the classes from 1."""
    values = {raw: raw - 1 for raw in range(1, len(_CLASSES) + 1)}
    return Coding.of(values={_OTHER: IGNORE_LABEL} | values)
