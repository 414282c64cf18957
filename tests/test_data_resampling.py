import numpy as np
import pytest
import tensorflow as tf

from deeplab_tf.data import augment, resampling

VOID = 255
FILL = (10.0, 20.0, 30.0)
SIZE = (45, 37)


def random_example(height, width, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "image": tf.constant(rng.integers(0, 256, (height, width, 3)), tf.uint8),
        "labels": tf.constant(rng.integers(0, 9, (height, width)), tf.int32),
        "filename": tf.constant("a"),
    }


def smooth_example(height, width):
    """A picture that a quarter of a pixel does not change much."""
    y, x = np.mgrid[:height, :width]
    image = np.stack([2.0 * y, 2.0 * x, 200 - y - x], -1)
    labels = 3 * (y >= height // 2) + (x >= width // 2) + 1
    return {"image": tf.constant(image, tf.uint8), "labels": tf.constant(labels)}


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


def make_crop(scaled, offset, mirrored=False, size=SIZE):
    return resampling.Crop(
        size=size,
        scaled=tf.constant(scaled),
        offset=tf.constant(offset),
        mirrored=tf.constant(mirrored),
    )


def resize_pad_crop_flip(image, labels, scaled, offset, mirrored, fill):
    height, width = scaled
    padded = np.tile(np.array(fill), (max(height, SIZE[0]), max(width, SIZE[1]), 1))
    padded[:height, :width] = resize_align_corners(image, height, width)
    known = np.full(padded.shape[:2], VOID)
    rows = np.arange(height) * (labels.shape[0] - 1) / max(height - 1, 1)
    columns = np.arange(width) * (labels.shape[1] - 1) / max(width - 1, 1)
    nearest = np.round(rows).astype(int), np.round(columns).astype(int)
    known[:height, :width] = labels[nearest[0]][:, nearest[1]]
    y, x = offset
    window = np.s_[y : y + SIZE[0], x : x + SIZE[1]]
    image, labels = padded[window], known[window]
    return (image[:, ::-1], labels[:, ::-1]) if mirrored else (image, labels)


@pytest.mark.parametrize("fill", [FILL, (127.5,) * 3])
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize(
    ("source", "scaled"),
    [
        ((40, 31), (20, 15)),
        ((40, 31), (80, 63)),
        ((57, 90), (57, 90)),
        ((57, 90), (42, 70)),
        ((33, 33), (101, 37)),
    ],
)
def test_straight_is_resize_then_pad_then_crop_then_flip(
    source, scaled, mirrored, fill
):
    example = random_example(*source)
    last = [max(side - crop, 0) for side, crop in zip(scaled, SIZE, strict=True)]
    for offset in ([0, 0], last, [last[0] // 2, last[1] // 3]):
        result = resampling.straight(
            example, make_crop(scaled, offset, mirrored), fill, VOID
        )
        image, labels = resize_pad_crop_flip(
            example["image"].numpy(), example["labels"].numpy(),
            scaled, offset, mirrored, fill,
        )  # fmt: skip
        np.testing.assert_allclose(result["image"], image, atol=0.02)
        wrong = result["labels"].numpy() != labels
        # Half-way between two pixels either is the nearest.
        assert wrong.mean() < (0.1 if scaled != source else 1e-9)
        np.testing.assert_array_equal(result["labels"] == VOID, labels == VOID)
        assert result["filename"] == b"a"


@pytest.mark.parametrize(
    ("side", "width"),
    # The first of these sizes is one where rounding matters.
    [(375, 274), (375, 375), (500, 631), (1025, 512), (2049, 1229), (2049, 4098)],
)
def test_no_pixel_of_a_large_picture_falls_beside_it(side, width):
    """A rounding error at the far edge would bring in zeros."""
    example = {
        "image": tf.fill([2, side, 3], tf.constant(200, tf.uint8)),
        "labels": tf.fill([2, side], 7),
    }
    scaled = (2, width)
    for mirrored in (False, True):
        for offset in ([0, 0], [0, scaled[1] - 150]):
            crop = make_crop(scaled, offset, mirrored, size=(2, 150))
            result = resampling.straight(example, crop, FILL, VOID)
            np.testing.assert_allclose(result["image"], 200)
            assert (result["labels"].numpy() == 7).all()


def test_pictures_of_one_pixel_are_spread():
    example = random_example(1, 1)
    result = resampling.straight(example, make_crop([1, 1], [0, 0]), FILL, VOID)
    np.testing.assert_allclose(result["image"][0, 0], example["image"][0, 0])
    np.testing.assert_allclose(result["image"][1, 1], FILL)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize(("scaled", "offset"), [((80, 61), (7, 9)), ((30, 50), (0, 4))])
def test_rotation_by_0_is_straight(scaled, offset, mirrored):
    example = smooth_example(40, 31)
    crop = make_crop(scaled, offset, mirrored)
    one = resampling.straight(example, crop, FILL, VOID)
    two = resampling.rotated(example, crop, tf.constant(0.0), FILL, VOID)
    np.testing.assert_allclose(one["image"], two["image"], atol=0.05)
    assert (one["labels"].numpy() != two["labels"].numpy()).mean() < 0.01


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("quarters", [1, 2, -1])
def test_rotation_by_quarters_turns_the_crop(quarters, mirrored):
    example = smooth_example(61, 61)
    crop = make_crop((61, 61), (0, 0), size=(61, 61))
    turned = resampling.rotated(
        example,
        make_crop((61, 61), (0, 0), mirrored, size=(61, 61)),
        tf.constant(90.0 * quarters),
        FILL,
        VOID,
    )
    plain = resampling.straight(example, crop, FILL, VOID)
    for key, tolerance in (("image", 0.05), ("labels", 0)):
        expected = np.rot90(plain[key].numpy(), quarters)
        if mirrored:
            expected = expected[:, ::-1]
        found = turned[key].numpy()[1:-1, 1:-1]
        np.testing.assert_allclose(found, expected[1:-1, 1:-1], atol=tolerance)


def test_rotation_fills_the_corners():
    example = smooth_example(45, 37)
    crop = make_crop(SIZE, (0, 0))
    result = resampling.rotated(example, crop, tf.constant(45.0), FILL, VOID)
    np.testing.assert_allclose(result["image"][0, 0], FILL)
    assert result["labels"][0, 0] == VOID
    assert result["labels"][22, 18] != VOID


def test_labels_stay_on_their_pixels():
    """A picture whose value is its label keeps that under every change of place."""
    labels = np.random.default_rng(1).integers(0, 3, (8, 9)).repeat(8, 0).repeat(8, 1)
    example = {
        "image": tf.constant(np.repeat(labels[..., None] * 100, 3, -1), tf.uint8),
        "labels": tf.constant(labels, tf.int32),
    }
    for number in range(20):
        seed = augment.fold(tf.constant([3, 4]), number)
        scale = augment.draw_scale(seed, 0.5, 2.0, 0.0)
        scaled = augment.scaled_size(tf.constant(labels.shape), scale)
        offset = augment.draw_offset(seed, scaled, (49, 49))
        crop = make_crop(scaled, offset, number % 2 == 0, size=(49, 49))
        for result in (
            resampling.straight(example, crop, FILL, VOID),
            resampling.rotated(example, crop, tf.constant(7.0 * number), FILL, VOID),
        ):
            valid = result["labels"].numpy() != VOID
            valid[1:-1, 1:-1] &= valid[:-2, 1:-1] & valid[2:, 1:-1]
            valid[1:-1, 1:-1] &= valid[1:-1, :-2] & valid[1:-1, 2:]
            image = result["image"].numpy()[..., 0] / 100
            difference = np.abs(image - result["labels"].numpy())[valid]
            # Only pixels between labels are mixtures; the nearest of four weighs a
            # quarter at least, and labels differ by 2 at most.
            assert difference.max() <= 2 * 3 / 4 + 1e-3
            assert np.median(difference) < 1e-4
