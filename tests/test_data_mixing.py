import numpy as np
import pytest
import tensorflow as tf

from deeplab_tf.data import mixing

VOID = 255
SIZE = (24, 31)
CLASSES = 4


def random_batch(count=6, seed=0):
    """Blocks of labels; a picture's value is 1000 * its place + its label."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(
        [*range(CLASSES), VOID], (count, 6, 8), p=[0.5, 0.2, 0.1, 0.1, 0.1]
    )
    labels = labels.repeat(4, 1).repeat(4, 2)[:, :, : SIZE[1]].astype(np.int32)
    image = 1000.0 * np.arange(count)[:, None, None] + labels
    image = np.repeat(image[..., None], 3, -1).astype(np.float32)
    return {"image": tf.constant(image), "labels": tf.constant(labels)}


def mixed(batch, method, probability=1.0, first=0, attraction=(1.0,) * CLASSES, seed=5):
    count = batch["labels"].shape[0]
    result = mixing.mix(
        batch,
        tf.range(first, first + count, dtype=tf.int64),
        method,
        probability=probability,
        seed=seed,
        attraction=list(attraction),
    )
    image, labels = result["image"].numpy(), result["labels"].numpy()
    # Whose pixel it is, by the picture's value; the picture and the label must agree.
    np.testing.assert_array_equal(image[..., 0] % 1000, labels)
    return labels, (image[..., 0] // 1000).astype(int)


METHODS = pytest.mark.parametrize("method", mixing.METHODS)


@METHODS
def test_partners_are_neighbours_and_void_is_not_lost(method):
    _, giver = mixed(random_batch(5), method)
    partner = [1, 0, 3, 2, 3]
    for place in range(5):
        assert set(np.unique(giver[place])) <= {place, partner[place]}
        assert (giver[place] == partner[place]).any()


@METHODS
def test_mixing_of_a_batch_in_parts_is_that_of_the_whole(method):
    """And another number, as in another step, gives other draws."""
    batch = random_batch()
    whole = mixed(batch, method, first=12)
    for start in (0, 2, 4):
        part = {key: value[start : start + 2] for key, value in batch.items()}
        labels, giver = mixed(part, method, first=12 + start)
        np.testing.assert_array_equal(labels, whole[0][start : start + 2])
        np.testing.assert_array_equal(giver, whole[1][start : start + 2])
    assert (mixed(batch, method, first=18)[1] != whole[1]).any()
    assert (mixed(batch, method, first=12, seed=6)[1] != whole[1]).any()


@METHODS
def test_probability_is_the_share_of_pictures_that_receive(method):
    batch = random_batch(100)
    received = [
        (giver != place).any()
        for place, giver in enumerate(mixed(batch, method, probability=0.4)[1])
    ]
    assert abs(sum(received) - 40) < 20  # standard deviation 5
    unchanged = mixed(batch, method, probability=0.0)
    np.testing.assert_array_equal(unchanged[0], batch["labels"])


def test_cutmix_gives_a_box_of_a_quarter_to_a_half():
    _, givers = mixed(random_batch(40), "cutmix")
    for place, giver in enumerate(givers):
        rows, columns = np.nonzero(giver != place)
        box = giver[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        assert (box != place).all()
        assert 0.2 < box.size / giver.size < 0.55


def test_classmix_gives_all_pixels_of_half_the_classes():
    batch = random_batch(20)
    sources = batch["labels"].numpy()
    for place, giver in enumerate(mixed(batch, "classmix")[1]):
        source = sources[place ^ 1]
        given = giver != place
        classes = set(np.unique(source[given]))
        present = set(np.unique(source)) - {VOID}
        assert len(classes) == (len(present) + 1) // 2
        assert VOID not in classes
        np.testing.assert_array_equal(given, np.isin(source, list(classes)))


def test_copy_paste_moves_one_class_by_attraction():
    batch = random_batch(20)
    sources = batch["labels"].numpy()
    labels, givers = mixed(batch, "copy_paste", attraction=(0.0, 0.0, 1.0, 0.0))
    moved = 0
    for place in range(20):
        given = givers[place] != place
        assert set(np.unique(labels[place][given])) <= {2}
        shifts = [
            (dy, dx)
            for dy in range(-6, 7)
            for dx in range(-8, 9)
            if (shifted(sources[place ^ 1] == 2, dy, dx) == given).all()
        ]
        assert shifts or not given.any()
        moved += bool(shifts) and (0, 0) not in shifts
    assert moved > 10


def shifted(mask, dy, dx):
    result = np.zeros_like(mask)
    height, width = mask.shape
    result[max(dy, 0) : height + min(dy, 0), max(dx, 0) : width + min(dx, 0)] = mask[
        max(-dy, 0) : height + min(-dy, 0), max(-dx, 0) : width + min(-dx, 0)
    ]
    return result


def test_copy_paste_of_nothing_but_void_gives_nothing():
    batch = random_batch(2)
    batch["labels"] = tf.fill(batch["labels"].shape, VOID)
    batch["image"] = tf.cast(batch["labels"], tf.float32)[..., None] + tf.zeros([3])
    labels, _ = mixed(batch, "copy_paste")
    assert (labels == VOID).all()
