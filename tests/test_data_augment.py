import collections

import numpy as np
import pytest
import tensorflow as tf

from deeplab_tf.data import augment

VOID = 255
SEED = tf.constant([3, 4])
WHOLE = tf.ones([9, 8, 1])


def seeds(count):
    return [augment.fold(SEED, number) for number in range(count)]


def random_image(height, width, channels=3):
    rng = np.random.default_rng(0)
    return tf.constant(rng.uniform(0, 255, (height, width, channels)), tf.float32)


def test_discrete_scales_are_those_named_and_equally_likely():
    draws = [float(augment.draw_scale(seed, 0.5, 2.0, 0.25)) for seed in seeds(700)]
    factors, counts = np.unique(draws, return_counts=True)
    np.testing.assert_allclose(factors, np.arange(0.5, 2.01, 0.25))
    assert counts.min() > 60  # expected 100, standard deviation 9


def test_continuous_scales_fill_the_range():
    draws = [float(augment.draw_scale(seed, 0.5, 2.0, 0.0)) for seed in seeds(300)]
    assert len(set(draws)) > 290
    assert 0.5 <= min(draws) < 0.55
    assert 1.95 < max(draws) <= 2.0


@pytest.mark.parametrize(
    ("size", "low", "high", "factor", "expected"),
    [
        # The short side becomes low.
        ((400, 600), 200, 0, 0, (200, 300)),
        ((600, 401), 200, 0, 0, (600 * 200 // 401, 200)),
        # The long side would exceed high.
        ((100, 400), 200, 400, 0, (100, 400)),
        ((100, 400), 200, 300, 0, (75, 300)),
        # Sides go up to k * 16 + 1, high down to it: 513 at most, not 520.
        ((400, 600), 200, 0, 16, (209, 305)),
        ((683, 1024), 513, 520, 16, (683 * 513 // 1024 // 16 * 16 + 17, 513)),
        # Already of that form: stays.
        ((513, 513), 513, 513, 16, (513, 513)),
    ],
)
def test_range_size(size, low, high, factor, expected):
    found = augment.range_size(tf.constant(size), low, high, factor)
    np.testing.assert_array_equal(found, expected)


def test_every_place_is_cropped_and_no_other():
    offsets = {
        tuple(augment.draw_offset(seed, tf.constant([6, 5]), (4, 3)).numpy())
        for seed in seeds(200)
    }
    assert offsets == {(y, x) for y in range(3) for x in range(3)}
    small = augment.draw_offset(SEED, tf.constant([2, 9]), (4, 9))
    np.testing.assert_array_equal(small, [0, 0])


@pytest.mark.parametrize("scaled", [(40, 60), (20, 30), (79, 119), (9, 70)])
def test_balanced_crops_hold_a_pixel_of_a_rare_class(scaled):
    labels = np.zeros((40, 60), np.int32)
    labels[33, 7] = 1
    labels[5:8, 50] = VOID
    for seed in seeds(30):
        y, x = augment.draw_balanced_offset(
            seed, tf.constant(labels), tf.constant(scaled), (11, 13), [0.0, 1.0]
        ).numpy()
        assert 0 <= y <= max(scaled[0] - 11, 0)
        assert 0 <= x <= max(scaled[1] - 13, 0)
        row = round(33 * (scaled[0] - 1) / 39)
        column = round(7 * (scaled[1] - 1) / 59)
        assert y <= row < y + 11
        assert x <= column < x + 13


def test_balanced_crops_draw_classes_by_attraction_and_pixels_alike():
    labels = np.repeat(np.int32([0, 1, VOID]), [60, 20, 20])[None]
    found = collections.Counter()
    for seed in seeds(160):
        offset = augment.draw_balanced_offset(
            seed, tf.constant(labels), tf.constant([1, 100]), (1, 1), [1.0, 3.0, 9.0]
        )
        found[int(offset[1])] += 1
    of_class = [sum(found[i] for i in part) for part in (range(60), range(60, 80))]
    assert sum(of_class) == 160
    assert abs(of_class[1] - 120) < 28  # standard deviation 5.5
    assert len([i for i in range(60, 80) if found[i]]) > 16


def test_balanced_crop_of_nothing_but_void_is_anywhere():
    labels = tf.fill([6, 5], VOID)
    offsets = {
        tuple(
            augment.draw_balanced_offset(
                seed, labels, tf.constant([6, 5]), (5, 4), [1.0]
            ).numpy()
        )
        for seed in seeds(60)
    }
    assert offsets == {(y, x) for y in range(2) for x in range(2)}


def test_photometric_is_brightness_then_contrast_then_saturation():
    image = random_image(9, 8).numpy() * 0.5 + 60
    for seed in seeds(10):
        draws = tf.random.stateless_uniform([3], seed, -0.6, 0.6).numpy()
        expected = image + 32 * draws[0]
        mean = expected.mean((0, 1))
        expected = mean + (expected - mean) * (1 + 0.5 * draws[1])
        grey = expected.mean(-1, keepdims=True)
        expected = grey + (expected - grey) * (1 + 0.5 * draws[2])
        found = augment.photometric(tf.constant(image), WHOLE, seed, 0.6)
        np.testing.assert_allclose(found, np.clip(expected, 0, 255), atol=1e-3)
        assert np.abs(found - image).mean() > 0.5


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_photometric_stays_in_range(channels):
    image = random_image(9, 8, channels)
    changed = augment.photometric(image, WHOLE, SEED, 1.0).numpy()
    assert changed.shape == image.shape
    assert changed.min() >= 0
    assert changed.max() <= 255


@pytest.mark.parametrize("size", [(30, 40), (3, 4)])
def test_blur_is_a_gaussian_of_the_drawn_width(size):
    image = random_image(*size).numpy()
    for seed in seeds(3):
        deviation = float(tf.random.stateless_uniform([], seed, 1e-3, 1.5))
        places = np.arange(-5, 6)
        taps = np.exp(-(places**2) / (2 * deviation**2))
        taps /= taps.sum()
        expected = image
        for axis in (0, 1):
            side = size[axis]
            expected = sum(
                tap * np.take(expected, np.clip(np.arange(side) + k, 0, side - 1), axis)
                for k, tap in zip(places, taps, strict=True)
            )
        found = augment.blur(tf.constant(image), tf.ones([*size, 1]), seed, 1.5)
        np.testing.assert_allclose(found, expected, atol=1e-2)


@pytest.mark.parametrize("change", [augment.photometric, augment.blur])
def test_padding_keeps_its_colour_and_does_not_run_into_the_picture(change):
    """What is in the padding makes no difference inside, and stays what it is."""
    image = random_image(12, 10).numpy()
    inside = np.zeros((12, 10, 1), np.float32)
    inside[:9, 3:] = 1
    changes = []
    for seed in seeds(5):
        found = []
        for padding in (127.5, 0.0):
            padded = np.where(inside > 0, image, padding).astype(np.float32)
            found.append(change(tf.constant(padded), tf.constant(inside), seed, 0.9))
            beside = found[-1].numpy()[inside[..., 0] == 0]
            np.testing.assert_array_equal(beside, np.full_like(beside, padding))
        picture = [part.numpy()[:9, 3:] for part in found]
        np.testing.assert_allclose(picture[0], picture[1], atol=1e-3)
        changes.append(np.abs(picture[0] - image[:9, 3:]).max())
    assert max(changes) > 1  # some are drawn to be next to nothing
