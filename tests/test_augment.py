import numpy as np
import pytest
import tensorflow as tf

from deeplab_tf.data import augment

VOID = 255
FILL = (10.0, 20.0, 30.0)
SEED = tf.constant([3, 4])


def random_example(height, width, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "image": tf.constant(rng.integers(0, 256, (height, width, 3)), tf.uint8),
        "labels": tf.constant(rng.integers(0, 9, (height, width)), tf.int32),
    }


def resize_align_corners(image, height, width):
    """Bilinear, pixel i of the result at i * (H - 1) / (h - 1) of the source."""
    rows = np.arange(height) * (image.shape[0] - 1) / max(height - 1, 1)
    columns = np.arange(width) * (image.shape[1] - 1) / max(width - 1, 1)
    top = np.clip(np.floor(rows).astype(int), 0, max(image.shape[0] - 2, 0))
    left = np.clip(np.floor(columns).astype(int), 0, max(image.shape[1] - 2, 0))
    down, right = (rows - top)[:, None, None], (columns - left)[None, :, None]
    image = image.astype(np.float64)
    upper = image[top][:, left] * (1 - right) + image[top][:, left + 1] * right
    lower = image[top + 1][:, left] * (1 - right) + image[top + 1][:, left + 1] * right
    return upper * (1 - down) + lower * down


@pytest.mark.parametrize("size", [(40, 31), (57, 90), (33, 33)])
@pytest.mark.parametrize("scale", [0.5, 0.75, 1.0, 1.3, 2.0])
def test_scaled_crop_is_resize_then_pad_then_crop(size, scale):
    example = random_example(*size)
    crop = (45, 37)
    result = augment.scaled_crop(example, SEED, tf.constant(scale), crop, FILL, VOID)
    height, width = (int(np.float32(side) * np.float32(scale)) for side in size)
    resized = resize_align_corners(example["image"].numpy(), height, width)
    padded = np.tile(np.array(FILL), (max(height, 45), max(width, 37), 1))
    padded[:height, :width] = resized
    # The offset is random; it is found by trying all.
    errors = {
        (y, x): np.abs(padded[y : y + 45, x : x + 37] - result["image"]).max()
        for y in range(padded.shape[0] - 45 + 1)
        for x in range(padded.shape[1] - 37 + 1)
    }
    (y, x), error = min(errors.items(), key=lambda item: item[1])
    assert error < 0.02
    labels = result["labels"].numpy()
    outside = np.ones(padded.shape[:2], bool)
    outside[:height, :width] = False
    np.testing.assert_array_equal(labels == VOID, outside[y : y + 45, x : x + 37])
    if scale == 1.0:
        source = np.full(padded.shape[:2], VOID)
        source[:height, :width] = example["labels"]
        np.testing.assert_array_equal(labels, source[y : y + 45, x : x + 37])


def test_labels_stay_on_their_pixels():
    """A picture whose value is its label keeps that under every scale."""
    labels = np.random.default_rng(1).integers(0, 3, (8, 9)).repeat(8, 0).repeat(8, 1)
    example = {
        "image": tf.constant(np.repeat(labels[..., None] * 100, 3, -1), tf.uint8),
        "labels": tf.constant(labels, tf.int32),
    }
    for number in range(20):
        seed = augment.fold(SEED, number)
        scale = augment.draw_scale(seed, 0.5, 2.0, 0.0)
        result = augment.scaled_crop(example, seed, scale, (49, 49), FILL, VOID)
        result = augment.flip(result, seed, 0.5)
        valid = result["labels"].numpy() != VOID
        difference = result["image"].numpy()[..., 0] / 100 - result["labels"].numpy()
        # Only pixels between labels are mixtures; the nearest of four weighs a
        # quarter at least, and labels differ by 2 at most.
        assert np.abs(difference[valid]).max() <= 2 * 3 / 4 + 1e-3
        assert np.median(np.abs(difference[valid])) < 1e-4


def test_discrete_scales_are_those_named_and_equally_likely():
    draws = [
        float(augment.draw_scale(augment.fold(SEED, n), 0.5, 2.0, 0.25))
        for n in range(700)
    ]
    factors, counts = np.unique(draws, return_counts=True)
    np.testing.assert_allclose(factors, np.arange(0.5, 2.01, 0.25))
    assert counts.min() > 60  # expected 100, standard deviation 9


def test_every_corner_of_the_picture_is_cropped():
    example = random_example(6, 5)
    corners = set()
    for number in range(200):
        seed = augment.fold(SEED, number)
        crop = augment.scaled_crop(example, seed, tf.constant(1.0), (4, 3), FILL, VOID)
        source = example["labels"].numpy()
        corners |= {
            (y, x)
            for y in range(3)
            for x in range(3)
            if (source[y : y + 4, x : x + 3] == crop["labels"].numpy()).all()
        }
    assert corners == {(y, x) for y in range(3) for x in range(3)}


def test_flip_mirrors_both_or_neither():
    example = random_example(5, 6)
    mirrored = augment.flip(example, SEED, 1.0)
    np.testing.assert_array_equal(mirrored["image"], example["image"][:, ::-1])
    np.testing.assert_array_equal(mirrored["labels"], example["labels"][:, ::-1])
    same = augment.flip(example, SEED, 0.0)
    np.testing.assert_array_equal(same["labels"], example["labels"])


def test_photometric_stays_in_range_and_leaves_the_labels():
    example = random_example(9, 8)
    example["image"] = tf.cast(example["image"], tf.float32)
    changed = augment.photometric(example, SEED, 1.0)
    assert float(tf.reduce_min(changed["image"])) >= 0
    assert float(tf.reduce_max(changed["image"])) <= 255
    assert float(tf.reduce_mean(tf.abs(changed["image"] - example["image"]))) > 1
    np.testing.assert_array_equal(changed["labels"], example["labels"])
    same = augment.photometric(example, SEED, 0.0)
    np.testing.assert_allclose(same["image"], example["image"], atol=1e-3)
