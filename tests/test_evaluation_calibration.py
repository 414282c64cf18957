import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from deeplab_tf.evaluation.calibration import CalibrationCounter

VOID = 255
NAMES = ("a", "b", "c", "d")


def example(rng, shape=(41, 57)):
    """Over-confident predictions of three of four classes, some pixels void."""
    probabilities = rng.dirichlet([0.4] * 3, shape).astype(np.float32)
    predictions = probabilities.argmax(-1).astype(np.uint8)
    confidence = probabilities.max(-1)
    labels = np.where(rng.random(shape) < confidence**2, predictions, 3)
    labels = np.where(rng.random(shape) < 0.2, VOID, labels).astype(np.uint8)
    return labels, predictions, confidence


def count(examples, bins=20):
    counter = CalibrationCounter(len(NAMES), VOID, bins)
    for arrays in examples:
        counter.update(*arrays)
    return counter.result(NAMES)


def test_reliability_equals_scikit_learn():
    labels, predictions, confidence = example(np.random.default_rng(0))
    valid = labels != VOID
    accuracy, mean = calibration_curve(
        (labels == predictions)[valid], confidence[valid], n_bins=20
    )
    reliability = count([(labels, predictions, confidence)])["reliability"]
    for name, expected in (("accuracy", accuracy), ("confidence", mean)):
        given = [value for value in reliability[name] if value is not None]
        np.testing.assert_allclose(given, expected, rtol=1e-6)
    assert sum(reliability["pixels"]) == valid.sum()


@pytest.mark.parametrize("bins", [7, 20])
def test_calibration_error_by_hand(bins):
    labels, predictions, confidence = example(np.random.default_rng(1))
    result = count([(labels, predictions, confidence)], bins)

    def error(chosen):
        total = 0.0
        for low in np.arange(bins) / bins:
            inside = chosen & (confidence >= low) & (confidence < low + 1 / bins)
            if inside.any():
                accuracy = (labels == predictions)[inside].mean()
                total += inside.sum() * abs(accuracy - confidence[inside].mean())
        return total / chosen.sum()

    valid = labels != VOID
    assert result["expected_calibration_error"] == pytest.approx(error(valid))
    for c, name in enumerate(NAMES[:3]):
        expected = error(valid & (predictions == c))
        given = result["per_class_calibration_error"][name]
        assert given == pytest.approx(expected), name
    assert result["per_class_calibration_error"]["d"] is None


def test_streamed_equals_all_at_once():
    rng = np.random.default_rng(2)
    parts = [example(rng) for _ in range(3)]
    whole = [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]
    streamed, at_once = count(parts), count([whole])
    assert streamed["reliability"]["pixels"] == at_once["reliability"]["pixels"]
    assert streamed["expected_calibration_error"] == pytest.approx(
        at_once["expected_calibration_error"]
    )


def test_certainty_is_in_the_last_bin():
    flat = np.zeros((3, 4), np.uint8)
    result = count([(flat, flat, np.ones((3, 4), np.float32))])
    assert result["reliability"]["pixels"] == [0] * 19 + [12]
    assert result["expected_calibration_error"] == 0
