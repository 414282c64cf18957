"""What each draw of a mixing method decides, on draws that the test chooses."""

import numpy as np
import pytest
import tensorflow as tf

from deeplab_tf.data import mixing

SIDES = (40, 60)
LAST = 0.9999  # draws are below 1


def given_by(method, labels, draws, classes=4, attraction=None):
    labels = tf.constant(labels, tf.int32)
    image = tf.cast(labels, tf.float32)[..., None]
    draws = tf.constant(np.atleast_2d(draws), tf.float32)
    attraction = attraction or (1.0,) * classes
    mask, image, labels = mixing.METHODS[method](image, labels, draws, attraction)
    np.testing.assert_array_equal(image[..., 0], labels)
    return mask.numpy()[0], labels.numpy()[0]


def box(draws):
    mask, _ = given_by("cutmix", np.zeros((1, *SIDES)), [*draws, 0, 0, 0, 0])
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    assert mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
    return rows[0], rows[-1] + 1, columns[0], columns[-1] + 1


@pytest.mark.parametrize("place", [(0.0, 0.0), (LAST, 0.0), (0.0, LAST), (0.5, 0.5)])
@pytest.mark.parametrize(("draw", "share"), [(0.0, 0.25), (0.5, 0.375), (LAST, 0.5)])
@pytest.mark.parametrize(("form", "ratio"), [(0.0, 0.5), (0.5, 1.0), (LAST, 2.0)])
def test_cutmix_is_a_box_of_the_drawn_area_form_and_place(
    draw, share, form, ratio, place
):
    """The ratio is that of the shares of the sides, so 1 is the form of the picture."""
    top, bottom, left, right = box([draw, form, *place])
    sides = [
        min(1.0, (share * factor) ** 0.5) * side
        for factor, side in zip((ratio, 1 / ratio), SIDES, strict=True)
    ]
    assert abs(bottom - top - sides[0]) <= 0.51
    assert abs(right - left - sides[1]) <= 0.51
    for begin, end, side, at in zip(
        (top, left), (bottom, right), SIDES, place, strict=True
    ):
        room = side - (end - begin)
        assert abs(begin - at * room) <= 1


@pytest.mark.parametrize("classes", [1, 2, 3, 4, 5])
def test_classmix_gives_half_of_the_classes_rounded_up(classes):
    labels = np.arange(12).reshape(1, 3, 4) % classes
    order = np.random.default_rng(classes).permutation(classes)
    mask, found = given_by("classmix", labels, [*[0.0] * 3, *order / 10], classes)
    kept = np.argsort(order)[: -(-classes // 2)]
    np.testing.assert_array_equal(mask, np.isin(found, kept))


@pytest.mark.parametrize("down", [0.0, 0.5, LAST])
@pytest.mark.parametrize("across", [0.0, 0.5, LAST])
def test_copy_paste_moves_by_up_to_a_quarter_of_each_side(down, across):
    labels = np.zeros((1, *SIDES))
    labels[0, 15, 25] = 2
    draws = [0.5, down, across, *[0.0] * 4]
    mask, found = given_by("copy_paste", labels, draws, attraction=(0.0, 0.0, 1.0, 0.0))
    ((row, column),) = np.argwhere(mask)
    assert found[row, column] == 2
    assert row - 15 == round((down - 0.5) * SIDES[0] / 2)
    assert column - 25 == round((across - 0.5) * SIDES[1] / 2)


def test_copy_paste_leaves_out_what_moves_over_the_edge():
    labels = np.zeros((1, *SIDES))
    labels[0, 0] = labels[0, :, 0] = 1
    draws = [0.5, 0.0, 0.0, *[0.0] * 4]
    mask, _ = given_by("copy_paste", labels, draws, attraction=(0.0, 1.0, 0.0, 0.0))
    assert not mask.any()


def test_copy_paste_draws_the_class_by_attraction():
    labels = np.arange(3).repeat(20).reshape(1, 6, 10)
    attraction = (1.0, 0.5, 2.5)
    for draw in np.linspace(0, LAST, 40):
        draws = [draw, 0.5, 0.5, *[0.0] * 3]
        mask, found = given_by("copy_paste", labels, draws, 3, attraction)
        limit = np.searchsorted(np.cumsum(attraction), draw * 4, "right")
        assert set(found[mask]) == {limit}


def test_who_receives_says_nothing_of_what():
    """Boxes of every area come where one picture in five receives."""
    count = 200
    labels = tf.zeros([count, *SIDES], tf.int32)
    image = tf.range(count, dtype=tf.float32)[:, None, None, None]
    result = mixing.mix(
        {"image": image + tf.zeros([count, *SIDES, 1]), "labels": labels},
        tf.range(count, dtype=tf.int64),
        "cutmix",
        probability=0.2,
        seed=3,
        attraction=[1.0],
    )
    own = result["image"].numpy()[..., 0] == np.arange(count)[:, None, None]
    shares = 1 - own.mean((1, 2))
    shares = shares[shares > 0]
    assert 20 < len(shares) < 60
    assert shares.min() < 0.3
    assert shares.max() > 0.45
