import dataclasses

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from deeplab_tf.errors import UserError
from deeplab_tf.evaluation import metrics

VOID = 255


def reference_matrix(labels, predictions, classes):
    matrix = np.zeros((classes, classes), np.int64)
    for label, prediction in zip(labels.ravel(), predictions.ravel(), strict=True):
        if label != VOID:
            matrix[label, prediction] += 1
    return matrix


def noisy_maps(rng, classes, shape=(37, 53)):
    """Every pixel drawn for itself; class 2 only labelled, class 3 only predicted."""
    labels = rng.choice([c for c in range(classes) if c != 3] + [VOID], shape)
    predictions = rng.choice([c for c in range(classes) if c != 2], shape)
    same = (rng.random(shape) < 0.6) & (labels != VOID) & (labels != 2)
    return labels, np.where(same, labels, predictions)


def blocky_maps(rng, classes, shape=(90, 120)):
    """Constant over blocks of 30 x 30, with runs across the ends of rows."""
    coarse = noisy_maps(rng, classes, (shape[0] // 30, shape[1] // 30))
    return tuple(np.kron(part, np.ones((30, 30), np.int64)) for part in coarse)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
@pytest.mark.parametrize("maps", [noisy_maps, blocky_maps])
def test_confusion_matrix_equals_counting_by_hand(maps, dtype):
    labels, predictions = maps(np.random.default_rng(0), 6)
    matrix = metrics.confusion_matrix(
        labels.astype(dtype), predictions.astype(dtype), 6, VOID
    )
    np.testing.assert_array_equal(matrix, reference_matrix(labels, predictions, 6))


def test_confusion_matrix_equals_scikit_learn():
    labels, predictions = noisy_maps(np.random.default_rng(1), 9)
    valid = labels != VOID
    np.testing.assert_array_equal(
        metrics.confusion_matrix(labels, predictions, 9, VOID),
        sklearn_metrics.confusion_matrix(
            labels[valid], predictions[valid], labels=range(9)
        ),
    )


def test_streamed_equals_all_at_once():
    labels, predictions = noisy_maps(np.random.default_rng(2), 5, (8, 31, 17))
    parts = zip(labels, predictions, strict=True)
    np.testing.assert_array_equal(
        sum(metrics.confusion_matrix(*part, 5, VOID) for part in parts),
        metrics.confusion_matrix(labels, predictions, 5, VOID),
    )


def test_void_may_be_a_small_number():
    matrix = metrics.confusion_matrix(
        np.array([2, 0, 1, 2]), np.array([0, 0, 0, 1]), 2, 2
    )
    np.testing.assert_array_equal(matrix, [[1, 0], [1, 0]])


def test_void_may_be_a_class():
    matrix = metrics.confusion_matrix(np.array([0, 1, 2]), np.array([0, 0, 2]), 3, 0)
    np.testing.assert_array_equal(matrix, [[0, 0, 0], [1, 0, 0], [0, 0, 1]])


def test_an_empty_map_counts_nothing():
    empty = np.zeros((0, 4), np.uint8)
    assert not metrics.confusion_matrix(empty, empty, 3, VOID).any()


def test_a_label_that_is_no_class_is_named():
    with pytest.raises(UserError, match=r"0\.\.2 or 255; received 7"):
        metrics.confusion_matrix(np.array([0, 7]), np.array([0, 1]), 3, VOID)


@pytest.mark.parametrize("highest", [299, 120])
@pytest.mark.parametrize("void", [VOID, 301, 3])
def test_more_classes_than_a_byte_holds(highest, void):
    rng = np.random.default_rng(4)
    labels, predictions = rng.integers(0, highest + 1, (2, 50, 60))
    labels[0, :2] = highest, void
    matrix = metrics.confusion_matrix(labels, predictions, 300, void)
    expected = np.zeros((300, 300), np.int64)
    valid = labels != void
    np.add.at(expected, (labels[valid], predictions[valid]), 1)
    np.testing.assert_array_equal(matrix, expected)


def test_a_prediction_that_is_no_class_is_named():
    with pytest.raises(UserError, match=r"prediction must be in 0\.\.2; received 3"):
        metrics.confusion_matrix(np.array([0, 1]), np.array([0, 3]), 3, VOID)


def test_scores_by_hand():
    # Class 0: TP 3, FP 1, FN 1. Class 1: TP 2, FP 1, FN 2. Class 2: only predicted.
    # Class 3 occurs nowhere.
    matrix = np.array([[3, 1, 0, 0], [1, 2, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    result = metrics.scores(matrix)
    expected = (3 / (3 + 1 + 1), 2 / (2 + 1 + 2), 0.0, None)
    assert result.per_class_iou == expected
    assert result.miou == pytest.approx(np.mean(expected[:3]))
    assert result.pixel_accuracy == (3 + 2) / 8
    assert result.mean_accuracy == pytest.approx((3 / 4 + 2 / 4) / 2)
    assert result.frequency_weighted_iou == pytest.approx(3 / 5 * 4 / 8 + 2 / 5 * 4 / 8)
    assert result.per_class_precision == (3 / 4, 2 / 3, 0.0, None)
    assert result.per_class_recall == (3 / 4, 2 / 4, None, None)
    named = result.to_dict(("a", "b", "c", "d"))
    assert named["per_class_iou"] == dict(zip("abcd", expected, strict=True))


def test_scores_equal_scikit_learn():
    labels, predictions = noisy_maps(np.random.default_rng(3), 7)
    valid = labels != VOID
    result = metrics.scores(metrics.confusion_matrix(labels, predictions, 7, VOID))
    truth, given = labels[valid], predictions[valid]
    precision, recall, f1, support = sklearn_metrics.precision_recall_fscore_support(
        truth, given, labels=range(7), zero_division=np.nan
    )
    jaccard = sklearn_metrics.jaccard_score(truth, given, labels=range(7), average=None)
    numbers = {
        "per_class_precision": precision,
        "per_class_recall": recall,
        "per_class_f1": f1,
        "per_class_iou": jaccard,
    }
    for name, expected in numbers.items():
        given_values = np.array(getattr(result, name), float)
        np.testing.assert_allclose(given_values, expected, err_msg=name)
    assert result.miou == pytest.approx(jaccard.mean())
    assert result.mean_f1 == pytest.approx(np.nanmean(f1))
    assert result.pixel_accuracy == sklearn_metrics.accuracy_score(truth, given)
    labelled = [c for c in range(7) if c != 3]
    assert result.mean_accuracy == pytest.approx(
        sklearn_metrics.recall_score(truth, given, labels=labelled, average="macro")
    )
    assert result.frequency_weighted_iou == pytest.approx(
        (jaccard * support).sum() / support.sum()
    )


def test_every_score_of_nothing_is_null():
    result = dataclasses.asdict(metrics.scores(np.zeros((3, 3), np.int64)))
    for name, value in result.items():
        expected = (None,) * 3 if name.startswith("per_class") else None
        assert value == expected, name
    assert metrics.text(None) == "absent"
