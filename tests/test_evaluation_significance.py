import itertools

import numpy as np
import pytest
from scipy import stats

from deeplab_tf.evaluation import metrics, significance


def pictures(rng, count, accuracy, labels=None, classes=4, side=12):
    """[count, 3, classes] of random maps that are right with that probability."""
    if labels is None:
        labels = rng.integers(0, classes, (count, side, side))
    guesses = rng.integers(0, classes, labels.shape)
    predictions = np.where(rng.random(labels.shape) < accuracy, labels, guesses)
    pixels = [
        metrics.class_pixels(metrics.confusion_matrix(*pair, classes, 255))
        for pair in zip(labels, predictions, strict=True)
    ]
    return np.stack(pixels), labels


def miou(pixels):
    hits, labelled, predicted = pixels.sum(0)
    return np.mean(hits / (labelled + predicted - hits))


def test_interval_equals_scipy_bootstrap():
    pixels, _ = pictures(np.random.default_rng(0), 40, 0.6)
    numbers = np.arange(len(pixels))
    expected = stats.bootstrap(
        (numbers,),
        lambda chosen, axis: np.apply_along_axis(
            lambda n: miou(pixels[n]), axis, chosen
        ),
        method="percentile",
        n_resamples=2000,
        rng=np.random.default_rng(1),
    ).confidence_interval
    low, high = significance.interval(pixels)
    width = expected.high - expected.low
    # Both draw 2000 sets, so their ends are random; a twelfth of the width is four
    # standard errors of a percentile of so many draws.
    assert low == pytest.approx(expected.low, abs=width / 12)
    assert high == pytest.approx(expected.high, abs=width / 12)
    assert low < miou(pixels) < high


def test_p_value_equals_all_swaps():
    rng = np.random.default_rng(2)
    first, labels = pictures(rng, 8, 0.66)
    second, _ = pictures(rng, 8, 0.6, labels)
    observed = miou(first) - miou(second)
    swapped = []
    for swap in itertools.product([False, True], repeat=8):
        mask = np.array(swap)[:, None, None]
        a, b = np.where(mask, second, first), np.where(mask, first, second)
        swapped.append(miou(a) - miou(b))
    exact = np.mean(np.abs(swapped) >= abs(observed) - 1e-12)
    result = significance.compare(first, second, draws=8000)
    assert result.difference == pytest.approx(observed)
    error = np.sqrt(exact * (1 - exact) / 8000)
    assert result.p_value == pytest.approx(exact, abs=4 * error + 1 / 8000)


def test_a_better_run_is_told_from_chance():
    rng = np.random.default_rng(3)
    better, labels = pictures(rng, 60, 0.7)
    worse, _ = pictures(rng, 60, 0.6, labels)
    result = significance.compare(better, worse)
    assert 0 < result.interval[0] < result.difference < result.interval[1]
    assert result.p_value == 1 / (1 + significance.DRAWS)
    same = significance.compare(better, better)
    assert same.difference == 0
    assert same.interval == (0, 0)
    assert same.p_value == 1


def test_blocks_of_draws_change_nothing(monkeypatch):
    pixels, _ = pictures(np.random.default_rng(4), 10, 0.5)
    whole = significance.interval(pixels, draws=50)
    monkeypatch.setattr(significance, "_MAX_NUMBERS", 200)
    assert significance.interval(pixels, draws=50) == pytest.approx(whole)
