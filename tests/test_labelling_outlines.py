"""Outlines of label maps: what tools draw from them is the map again."""

import numpy as np
import pytest
from PIL import Image, ImageDraw
from pycocotools import mask as coco_mask
from scipy import ndimage

from deeplab_tf.labelling import outlines

VOID = 255


def label_map(seed, smoothness, classes=4):
    rng = np.random.default_rng(seed)
    size = rng.integers(20, 90, 2)
    fields = rng.normal(size=(classes, *size))
    smooth = np.stack([ndimage.gaussian_filter(f, smoothness) for f in fields])
    return (smooth / smooth.std((1, 2), keepdims=True)).argmax(0).astype(np.uint8)


def drawn_by_labelme(traced, shape):
    """labelme draws polygons by Pillow, with their outline."""
    canvas = Image.new("L", shape[::-1], VOID)
    for one in traced:
        corners = [(x, y) for x, y in one.corners.tolist()]
        ImageDraw.Draw(canvas).polygon(corners, fill=one.label, outline=one.label)
    return np.asarray(canvas)


def drawn_by_coco(traced, shape):
    labels = np.full(shape, VOID, np.uint8)
    for one in traced:
        runs = coco_mask.frPyObjects([one.edge.ravel().tolist()], *shape)
        labels[coco_mask.decode(coco_mask.merge(runs)) > 0] = one.label
    return labels


@pytest.mark.parametrize("smoothness", [0.3, 1, 4])
@pytest.mark.parametrize("draw", [drawn_by_labelme, drawn_by_coco])
def test_exact_outlines_give_the_map_again(draw, smoothness):
    """With holes, single pixels and regions that touch at a corner alone."""
    for seed in range(4):
        labels = label_map(seed, smoothness)
        traced = outlines.trace(labels, tolerance=0, least=0)
        np.testing.assert_array_equal(draw(traced, labels.shape), labels)


def test_the_ground_need_not_be_painted():
    labels = np.zeros((20, 30), np.uint8)
    labels[3:17, 4:20] = 1
    labels[6:12, 8:14] = 0  # a hole, where the ground is painted all the same
    traced = outlines.trace(labels, tolerance=0, least=0, ground=0)
    assert [one.label for one in traced] == [1, 0]
    painted = drawn_by_labelme(traced, labels.shape)
    np.testing.assert_array_equal(np.where(painted == VOID, 0, painted), labels)


@pytest.mark.parametrize("draw", [drawn_by_labelme, drawn_by_coco])
def test_fewer_corners_leave_no_gaps(draw):
    labels = label_map(3, 6, classes=3)
    exact = outlines.trace(labels, tolerance=0, least=0)
    coarse = outlines.trace(labels)
    corners, fewer = (sum(len(one.corners) for one in some) for some in (exact, coarse))
    assert fewer < corners / 2
    painted = draw(coarse, labels.shape)
    # A tolerance of 2 and half a pixel's diagonal.
    near = ndimage.maximum_filter(labels, 7) != ndimage.minimum_filter(labels, 7)
    assert 0.1 < near.mean() < 0.9
    np.testing.assert_array_equal(painted[~near], labels[~near])
    inside = np.s_[2:-2, 2:-2]  # at the border of the picture nothing lies below
    assert (painted[inside] != VOID).all()


def test_small_regions_are_left_out_and_covered():
    labels = np.zeros((30, 30), np.uint8)
    labels[:, 15:] = 1
    labels[5:8, 5:8] = 2
    labels[20:25, 5:10] = 2
    traced = outlines.trace(labels, tolerance=0, least=10)
    assert [one.label for one in traced] == [0, 1, 2]
    painted = drawn_by_labelme(traced, labels.shape)
    assert (painted[5:8, 5:8] == 0).all()
    assert (painted[20:25, 5:10] == 2).all()
