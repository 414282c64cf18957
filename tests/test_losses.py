import numpy as np
import pytest
import tensorflow as tf

from deeplab_tf.losses import LOSSES

VOID = 255


def reference_cross_entropy(logits, labels):
    """Sum over the valid pixels of log sum exp minus the label's logit."""
    total = 0.0
    pixels = logits.reshape(-1, logits.shape[-1])
    for pixel, label in zip(pixels, labels.ravel(), strict=True):
        if label != VOID:
            total += (
                np.log(np.exp(pixel - pixel.max()).sum()) + pixel.max() - pixel[label]
            )
    return total


def random_case(seed=0, void=0.3):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, (2, 5, 7, 4)).astype(np.float32)
    labels = rng.integers(0, 4, (2, 5, 7)).astype(np.int32)
    labels[rng.random(labels.shape) < void] = VOID
    return logits, labels


def test_cross_entropy_equals_the_reference():
    logits, labels = random_case()
    total, count = LOSSES["cross_entropy"](
        tf.constant(logits), tf.constant(labels), VOID
    )
    np.testing.assert_allclose(
        total, reference_cross_entropy(logits, labels), rtol=1e-6
    )
    assert count == (labels != VOID).sum()


@pytest.mark.parametrize("name", LOSSES)
def test_void_pixels_have_no_gradient(name):
    logits, labels = random_case(1)
    variable = tf.Variable(logits)
    with tf.GradientTape() as tape:
        total, _ = LOSSES[name](variable, tf.constant(labels), VOID)
    gradient = tape.gradient(total, variable).numpy()
    assert np.isfinite(total)
    assert (gradient[labels == VOID] == 0).all()
    assert (np.abs(gradient[labels != VOID]).sum(-1) > 0).all()


@pytest.mark.parametrize("name", LOSSES)
def test_nothing_but_void_gives_zero(name):
    logits, labels = random_case(2, void=1.1)
    total, count = LOSSES[name](tf.constant(logits), tf.constant(labels), VOID)
    assert total == 0
    assert count == 0
