"""Regions of confident disagreement: found, measured and ranked as defined."""

import dataclasses

import numpy as np
import pytest
from scipy import ndimage

from deeplab_tf.data.conversion.runs import coco_runs
from deeplab_tf.labelling import suspects

VOID = 255
SIZE = 40, 60


def probabilities_of(predictions, sureness=0.9, classes=3):
    """[H, W, K]: the prediction with this probability, the others alike."""
    rest = (1 - sureness) / (classes - 1)
    return np.where(np.arange(classes) == predictions[..., None], sureness, rest)


@pytest.fixture
def scene():
    """Labels; and predictions that differ in two blocks, a strip and void."""
    labels = np.zeros(SIZE, np.uint8)
    labels[:, 30:] = 1
    labels[:, 58:] = VOID
    predictions = labels.copy()
    predictions[5:15, 8:20] = 1  # a block
    predictions[30:36, 40:47] = 2  # and another
    predictions[:, 30:32] = 0  # an edge that is off by two pixels
    predictions[:, 58:] = 2
    return labels, predictions


def test_blocks_are_found_and_edges_and_void_are_not(scene):
    labels, predictions = scene
    found = suspects.find(
        labels, probabilities_of(predictions), VOID, example="x", index=4
    )
    places = [(np.s_[5:15, 8:20], 0, 1), (np.s_[30:36, 40:47], 1, 2)]
    assert len(found) == 2
    for one, (place, label, prediction) in zip(found, places, strict=True):
        inside = np.zeros(SIZE, bool)
        inside[place] = True
        np.testing.assert_array_equal(one.mask, inside)
        np.testing.assert_array_equal(
            coco_runs(SIZE, {"counts": one.counts, "size": SIZE}), inside
        )
        assert (one.label, one.prediction) == (label, prediction)
        assert one.pixels == inside.sum()
        assert one.confidence == pytest.approx(0.9)
        assert one.margin == pytest.approx(0.9 - 0.05)
        rows, columns = place
        width, height = columns.stop - columns.start, rows.stop - rows.start
        assert one.box == (columns.start, rows.start, width, height)
        assert (one.example, one.index, one.size) == ("x", 4, SIZE)


def test_small_regions_and_neighbours_of_other_classes_are_apart(scene):
    labels, predictions = scene
    predictions[5:15, 14:20] = 2  # half of the first block is something else
    found = suspects.find(labels, probabilities_of(predictions), VOID, least=50)
    assert [(one.prediction, one.pixels) for one in found] == [(1, 60), (2, 60)]


def test_margin_and_confidence_are_of_the_pixels():
    rng = np.random.default_rng(0)
    labels = np.zeros(SIZE, int)
    probabilities = rng.dirichlet([1, 1, 1], SIZE)
    probabilities[3:20, 5:30] = rng.dirichlet([1, 9, 1], (17, 25))
    for one in suspects.find(labels, probabilities, VOID, least=9):
        mask = one.mask
        ours, theirs = (probabilities[mask][:, c] for c in (one.prediction, one.label))
        assert (probabilities[mask].argmax(-1) == one.prediction).all()
        assert one.margin == pytest.approx((ours - theirs).mean())
        assert one.confidence == pytest.approx(np.quantile(ours, 0.9))
        assert ndimage.label(mask)[1] == 1


def test_thresholds_are_the_mean_confidence_in_what_is_labelled():
    rng = np.random.default_rng(1)
    sure = suspects.SelfConfidence(4)
    images = [(rng.integers(0, 3, n), rng.uniform(0, 1, n)) for n in (50, 70)]
    for labels, values in images:
        sure.update(labels, values)
    labels, values = map(np.concatenate, zip(*images, strict=True))
    expected = [values[labels == c].mean() for c in range(3)]
    np.testing.assert_allclose(sure.result(), [*expected, 1])


def suspect(name, label=0, prediction=1, margin=0.8, pixels=100, confidence=0.9):
    return suspects.Suspect(
        example=name,
        index=0,
        label=label,
        prediction=prediction,
        pixels=pixels,
        confidence=confidence,
        margin=margin,
        box=(0, 0, 10, 10),
        size=SIZE,
        counts="",
    )


def names(some, thresholds=(0.5, 0.5, 0.5)):
    return [one.example for one in suspects.rank(some, np.array(thresholds))]


def test_what_is_less_sure_than_usual_for_its_class_is_no_suspect():
    some = [suspect("a", confidence=0.6), suspect("b", prediction=2, confidence=0.6)]
    assert names(some, (0, 0.7, 0.5)) == ["b"]
    assert names(some, (0, 0.6, 0.7)) == ["a"]


def test_surer_and_larger_regions_come_first():
    some = [
        suspect("sure", margin=0.9),
        suspect("large", pixels=900),
        suspect("plain"),
        suspect("unsure", margin=0.3, pixels=900),
    ]
    assert names(some) == ["large", "sure", "plain", "unsure"]
    assert names([]) == []


def test_a_pair_that_is_confused_everywhere_does_not_fill_the_page():
    common = [suspect(f"common{n:03}", margin=0.8, pixels=400 + n) for n in range(200)]
    rare = [suspect("rare", 2, 0, pixels=300)]
    small = [suspect(f"small{n}", 1, 2, margin=0.5, pixels=30) for n in range(300)]
    assert names([*common, *rare, *small])[0] == "rare"
    raw = [one.margin**2 * one.pixels**0.5 for one in (*common, *rare, *small)]
    overall = np.median(raw)
    expected = raw[200] / ((1 * raw[200] + 20 * overall) / 21) ** 0.5
    (found,) = (
        one
        for one in suspects.rank([*common, *rare, *small], np.zeros(3))
        if one.example == "rare"
    )
    company = (0.8 * 300) / (0.5 * 30)  # of which most images have no more
    assert found.score == pytest.approx(expected * company**0.5)


def test_errors_come_in_company():
    alone = [suspect(f"image{n}") for n in range(5)]
    together = [suspect("shifted", pixels=99), suspect("shifted", pixels=98)]
    assert names([*alone, *together])[:2] == ["shifted", "shifted"]


def test_a_region_is_written_as_plain_numbers():
    one = dataclasses.replace(suspect("a"), score=1 / 3)
    assert one.to_dict()["score"] == 0.3333
    assert one.to_dict()["example"] == "a"
