"""Four times the images are four times the work, whatever folder they lie in."""

import sys

import numpy as np
import pytest
from label_layouts import mask, picture, write

from deeplab_tf.data.conversion import convert

SIZE = (8, 8)
TRIANGLE = [[1, 1], [6, 1], [6, 6]]
MASK = np.eye(8, dtype=np.uint8)


def pair(image, label):
    picture(image, SIZE)
    mask(label, MASK)


def plain(root, names):
    for name in names:
        pair(root / f"images/train/{name}.jpg", root / f"labels/train/{name}.png")


def side_by_side(root, names):
    for name in names:
        pair(root / f"{name}.jpg", root / f"{name}_mask.png")


def other_words(root, names):
    for name in names:
        pair(root / f"images/img_{name}.jpg", root / f"masks/mask_{name}.png")


def table(root, names):
    plain(root, names)
    lines = [f"images/train/{n}.jpg,labels/train/{n}.png" for n in names]
    write(root / "data.csv", "\n".join(["image,label", *lines]))


def labelme(root, names):
    shape = {"label": "thing", "shape_type": "polygon", "points": TRIANGLE}
    size = {"imageHeight": SIZE[0], "imageWidth": SIZE[1]}
    for name in names:
        picture(root / f"{name}.jpg", SIZE)
        content = {"imagePath": f"{name}.jpg", "shapes": [shape], **size}
        write(root / f"{name}.json", content)


def coco(root, names):
    outline = {"category_id": 1, "iscrowd": 0, "segmentation": [[1, 1, 6, 1, 6, 6]]}
    content = {
        "images": [
            {"id": i, "file_name": f"{name}.jpg", "height": SIZE[0], "width": SIZE[1]}
            for i, name in enumerate(names)
        ],
        "annotations": [{"id": i, "image_id": i, **outline} for i in range(len(names))],
        "categories": [{"id": 1, "name": "thing"}],
    }
    write(root / "annotations/instances_default.json", content)
    for name in names:
        picture(root / f"images/{name}.jpg", SIZE)


def yolo(root, names):
    write(root / "data.yaml", "train: images/train\nnames:\n  0: thing\n")
    for name in names:
        picture(root / f"images/train/{name}.jpg", SIZE)
        write(root / f"labels/train/{name}.txt", "0 0.1 0.1 0.8 0.1 0.8 0.8")


def calls(folder):
    """Calls of functions, in this thread, that a conversion makes."""
    count = 0

    def counted(frame, event, argument):
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(counted)
    try:
        convert(str(folder), audit_only=True, workers=1)
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize(
    "layout", [plain, side_by_side, other_words, table, labelme, coco, yolo]
)
def test_work_grows_with_the_images(layout, tmp_path):
    counts = {}
    for number in (5, 5, 25, 100):  # twice the first: it also imports
        folder = tmp_path / str(number)
        layout(folder, [f"n{i:04}" for i in range(number)])
        counts[number] = calls(folder)
    each = (counts[25] - counts[5]) / 20
    assert (counts[100] - counts[25]) / 75 < 1.2 * each
