"""Roboflow "Semantic Segmentation Masks": NAME.jpg and NAME_mask.png side by side.

train, valid and test each hold the pairs and _classes.csv ("Pixel Value, Class").
"""

from deeplab_tf.data.conversion.contents import Contents
from deeplab_tf.data.conversion.mask_classes import read_masks
from deeplab_tf.data.conversion.pairing import Names, find_pairs, make_samples
from deeplab_tf.data.conversion.reading import Reading
from deeplab_tf.data.conversion.samples import INDICES

TITLE = "Roboflow semantic segmentation masks"


def clues(contents: Contents) -> dict[str, bool]:
    """Its table and its masks."""
    return {
        "_classes.csv": bool(contents.named(r"_classes\.csv")),
        "masks called NAME_mask.png": bool(contents.named(r".+_mask\.png")),
    }


def read(contents: Contents) -> Reading:
    """The pairs of each folder; what is no pair is left out, and said."""
    pairs = find_pairs(contents, Names())
    whole = [pair for pair in pairs if pair.image and pair.label]
    lonely = [pair for pair in pairs if pair not in whole]
    notes = [f"{len(lonely)} files without a partner are left out."] if lonely else []
    splits = make_samples(contents, whole, INDICES)
    return read_masks(contents, splits, TITLE, notes)
