"""The order in which pictures are labelled, against independent computation."""

import numpy as np
import pytest
from scipy import stats
from scipy.spatial import distance
from scipy.special import softmax

from deeplab_tf.config.options import SELECTIONS, UNCERTAINTIES
from deeplab_tf.labelling import selection

NONE = np.zeros((0, 5))


@pytest.fixture
def pool():
    rng = np.random.default_rng(7)
    return rng.uniform(0.1, 1, 12), rng.normal(3, 2, (12, 5)), rng.normal(3, 2, (4, 5))


def indices(*arguments, **options):
    return [one.index for one in selection.choose(*arguments, **options)]


def test_k_center_takes_the_farthest_by_uncertainty(pool):
    uncertainty, features, labelled = pool
    both = stats.zscore(np.concatenate([features, labelled])) / np.sqrt(5)
    between = distance.cdist(both, both)
    known, expected, distances = [*range(12, 16)], [], []
    for _ in range(6):
        nearest = between[:12][:, known].min(1)
        score = uncertainty * nearest
        score[expected] = -1
        expected.append(int(score.argmax()))
        distances.append(nearest[expected[-1]])
        known.append(expected[-1])
    chosen = selection.choose("k_center", uncertainty, features, labelled, 6)
    assert [one.index for one in chosen] == expected
    np.testing.assert_allclose([one.distance for one in chosen], distances)


def test_without_labelled_pictures_the_most_uncertain_is_first(pool):
    uncertainty, features, _ = pool
    first, second, *_ = selection.choose("k_center", uncertainty, features, NONE, 3)
    assert first.index == uncertainty.argmax()
    assert first.distance is None
    assert second.distance > 0


def test_a_twin_of_what_is_chosen_comes_last(pool):
    uncertainty, features, labelled = pool
    features[5] = features[2]
    uncertainty[5] = uncertainty[2] = 2.0
    order = indices("k_center", uncertainty, features, labelled, 99)
    assert sorted(order) == [*range(12)]
    assert {order[0], order[-1]} == {2, 5}
    assert {*indices("uncertainty", uncertainty, features, labelled, 2)} == {2, 5}


def test_uncertainty_alone(pool):
    uncertainty, features, labelled = pool
    order = indices("uncertainty", uncertainty, features, labelled, 12)
    assert order == np.argsort(-uncertainty).tolist()


def test_k_means_draws_by_uncertainty_and_squared_distance(pool):
    uncertainty, features, labelled = pool
    both = stats.zscore(np.concatenate([features, labelled]))
    squared = distance.cdist(both[:12], both[12:]).min(1) ** 2
    expected = uncertainty * squared / (uncertainty * squared).sum()
    firsts = [
        indices("k_means", uncertainty, features, labelled, 1, seed)[0]
        for seed in range(1500)
    ]
    counts = np.bincount(firsts, minlength=12)
    assert stats.chisquare(counts, 1500 * expected).pvalue > 0.001
    again = indices("k_means", uncertainty, features, labelled, 12, 3)
    assert again == indices("k_means", uncertainty, features, labelled, 12, 3)
    assert sorted(again) == [*range(12)]


def test_features_that_tell_nothing_do_no_harm(pool):
    uncertainty, _, _ = pool
    same = np.ones((12, 5), np.float32)
    order = np.argsort(-uncertainty).tolist()
    for method in ("k_center", "k_means"):
        assert indices(method, uncertainty, same, NONE, 12)[1:] == [
            one
            for one in order
            if one != indices(method, uncertainty, same, NONE, 1)[0]
        ]


@pytest.mark.parametrize("name", selection.MEASURES)
def test_measures_go_from_sure_to_unsure(name):
    measure = selection.MEASURES[name]
    sure, unsure = np.array([0.0, 1.0, 0.0]), np.full(3, 1 / 3)
    assert measure(sure) == pytest.approx(0, abs=1e-6)
    assert measure(unsure) == pytest.approx(1)
    assert measure(np.array([1.0])) == pytest.approx(0, abs=1e-6)


def test_measures():
    probabilities = softmax(np.random.default_rng(0).normal(0, 2, (4, 6, 5)), -1)
    np.testing.assert_allclose(
        selection.entropy(probabilities),
        stats.entropy(probabilities, axis=-1) / np.log(5),
        rtol=1e-5,
    )
    ordered = np.sort(probabilities, -1)
    np.testing.assert_allclose(
        selection.margin(probabilities), 1 - (ordered[..., -1] - ordered[..., -2])
    )
    np.testing.assert_allclose(
        selection.least_confidence(probabilities), (1 - ordered[..., -1]) / (4 / 5)
    )


def test_a_picture_is_as_uncertain_as_its_worst_regions():
    """A whole unknown region counts; as many pixels in thin lines count less."""
    block, lines = np.zeros((64, 64)), np.zeros((64, 64))
    block[:32, :32] = 1
    lines[::4] = 1
    assert block.mean() == lines.mean() == 1 / 4
    assert selection.of_picture(block) == 1
    assert selection.of_picture(lines) == 1 / 4
    assert selection.of_picture(np.full((1, 3), 0.5)) == 0.5


def test_what_may_be_rare_counts_more():
    unsure, sure = np.full((2, 2), 0.5), np.zeros((2, 2))
    common, rare = np.zeros((2, 2, 2)), np.zeros((2, 2, 2))
    common[..., 0] = rare[..., 1] = 1
    weights = (0.5, 3.0)
    np.testing.assert_allclose(selection.by_rarity(unsure, common, weights), 0.25)
    np.testing.assert_allclose(selection.by_rarity(unsure, rare, weights), 1.5)
    both = (common + rare) / 2
    np.testing.assert_allclose(selection.by_rarity(unsure, both, weights), 0.875)
    assert not selection.by_rarity(sure, rare, weights).any()


def test_each_choice_of_the_options_is_there():
    assert {*selection.METHODS} == {*SELECTIONS}
    assert {*selection.MEASURES} == {*UNCERTAINTIES}
