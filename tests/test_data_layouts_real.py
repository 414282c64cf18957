"""Twelve pictures as labelling tools export them: each label against the true mask."""

import re

import numpy as np
from PIL import Image
from scipy import ndimage

from deeplab_tf.data import sources
from deeplab_tf.data.conversion.labels import read_label

NAMES = ("background", "building", "road", "car")
LEAST_PIXELS = 60  # smaller components have no polygon in the exports
POLYGONS = ("labelme", "cvat_coco")


def labels_of(folder):
    """Each picture's label in the numbers of the true masks, by name."""
    source = sources.open_source("auto", str(folder))
    info = source.info()
    numbers = np.full(256, 255)
    for number, name in enumerate(info.class_names):
        numbers[number] = NAMES.index(name.strip("_"))
    found = {}
    for split in source.splits():
        for sample in source.samples(split):
            name = re.search(r"0001TP_\d+|0006R0_f\d+", sample.name)[0]
            label = read_label(sample.label(), sample.label_name, info, sample.coding)
            found[name] = numbers[decoded(label.encoded)]
    return source, found


def decoded(png):
    import io

    return np.asarray(Image.open(io.BytesIO(png)))


def outlined(truth):
    """What row-wise outlines can hold of a mask: each component from its first to its
    last pixel of every row."""
    labels = np.zeros_like(truth)
    for number in range(1, len(NAMES)):
        components, count = ndimage.label(truth == number)
        for component in range(1, count + 1):
            inside = components == component
            if inside.sum() <= LEAST_PIXELS:
                continue
            for row in np.flatnonzero(inside.any(axis=1)):
                columns = np.flatnonzero(inside[row])
                labels[row, columns[0] : columns[-1] + 1] = number
    return labels


EXPORTS = (
    ("labelme", "labelme", ("train", "val")),
    ("labelme2voc", "voc_folders", ("train", "val")),
    ("cvat_mask", "voc_folders", ("train", "val")),
    ("cvat_coco", "coco_json", ("train", "val")),
    ("roboflow", "roboflow_masks", ("train", "val", "test")),
    ("labelstudio", "label_studio", ("train", "val")),
)


def test_exports_give_the_true_masks(shared_dir):
    for folder, layout, splits in EXPORTS:
        check(shared_dir / "data" / "label_exports", folder, layout, splits)


def check(exports, folder, layout, splits):
    source, found = labels_of(exports / folder)
    assert (source.name, source.splits()) == (layout, splits)
    assert len(found) == 12
    for name, labels in found.items():
        truth = np.asarray(Image.open(exports / "truth" / f"{name}.png"))
        if folder in POLYGONS:
            assert (labels == outlined(truth)).mean() > 0.99
        else:
            np.testing.assert_array_equal(labels, truth)


def test_public_sets_recognise_themselves(shared_dir):
    for folder, name in (
        ("VOCdevkit", "voc2012"),
        ("camvid", "camvid"),
        ("cityscapes_sample", "cityscapes"),
    ):
        assert sources.recognise(str(shared_dir / "data" / folder))[0] == name
