"""PASCAL VOC 2012: 20 classes of objects and background (Everingham et al. 2015).

`source_dir` is VOCdevkit/VOC2012, or a folder that holds it.
"""

import re
from collections.abc import Iterator

from deeplab_tf.data.conversion.contents import Contents
from deeplab_tf.data.conversion.listing import find_root, read_names
from deeplab_tf.data.conversion.samples import FileSample
from deeplab_tf.data.dataset_info import DatasetInfo

TITLE = "PASCAL VOC 2012"
# fmt: off
_CLASSES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car",
    "cat", "chair", "cow", "diningtable", "dog", "horse", "motorbike", "person",
    "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)
# fmt: on

INFO = DatasetInfo(
    name="voc2012",
    class_names=_CLASSES,
    source="PASCAL VOC 2012, http://host.robots.ox.ac.uk/pascal/VOC/voc2012/",
)
SPLITS = ("train", "val")
_BELOW = ("VOC2012", "VOCdevkit/VOC2012")
_IMAGE = re.compile(r".*JPEGImages/\d{4}_\d{6}\.jpg")


def clues(contents: Contents) -> dict[str, bool]:
    """Its three folders, and names as 2007_000032."""
    roots = ["", *(f"{folder}/" for folder in _BELOW)]
    return {
        "JPEGImages, SegmentationClass and ImageSets/Segmentation": any(
            contents.has_folders(
                f"{root}JPEGImages",
                f"{root}SegmentationClass",
                f"{root}ImageSets/Segmentation",
            )
            for root in roots
        ),
        "pictures called 2007_000032.jpg": any(map(_IMAGE.fullmatch, contents.images)),
    }


def samples(source_dir: str, split: str) -> Iterator[FileSample]:
    """The pictures of ImageSets/Segmentation/<split>.txt.

    A split "test" has no labels. "trainaug" is the list of 10,582 pictures with the
    labels of Hariharan et al. (2011) in SegmentationClassAug.
    """
    root = find_root(source_dir, "JPEGImages", *_BELOW)
    labels = "SegmentationClassAug" if split.endswith("aug") else "SegmentationClass"
    for name in read_names(root / "ImageSets" / "Segmentation", split):
        label = root / labels / f"{name}.png"
        yield FileSample(
            name=name,
            image_path=str(root / "JPEGImages" / f"{name}.jpg"),
            label_path=None if split == "test" else str(label),
        )
