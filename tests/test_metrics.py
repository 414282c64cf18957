import numpy as np
import tensorflow as tf

from deeplab_tf import metrics

VOID = 255


def reference_matrix(labels, predictions, classes):
    matrix = np.zeros((classes, classes), np.int64)
    for label, prediction in zip(labels.ravel(), predictions.ravel(), strict=True):
        if label != VOID:
            matrix[label, prediction] += 1
    return matrix


def test_confusion_matrix_equals_counting_by_hand():
    rng = np.random.default_rng(0)
    labels = rng.choice([0, 1, 2, 3, 4, VOID], size=(2, 17, 23)).astype(np.int32)
    predictions = rng.integers(0, 5, labels.shape).astype(np.int32)
    matrix = metrics.confusion_matrix(
        tf.constant(labels), tf.constant(predictions), 5, VOID
    )
    np.testing.assert_array_equal(matrix, reference_matrix(labels, predictions, 5))


def test_void_may_be_a_small_number():
    labels = tf.constant([2, 0, 1, 2])
    matrix = metrics.confusion_matrix(labels, tf.constant([0, 0, 0, 1]), 2, 2)
    np.testing.assert_array_equal(matrix, [[1, 0], [1, 0]])


def test_scores_by_hand():
    # Class 0: TP 3, FP 1, FN 1. Class 1: TP 2, FP 1, FN 2. Class 2: only predicted.
    # Class 3 occurs nowhere.
    matrix = np.array([[3, 1, 0, 0], [1, 2, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    result = metrics.scores(matrix)
    expected = (3 / (3 + 1 + 1), 2 / (2 + 1 + 2), 0.0, None)
    assert result.per_class_iou == expected
    assert result.miou == np.mean(expected[:3])
    assert result.pixel_accuracy == (3 + 2) / 8
    named = result.to_dict(("a", "b", "c", "d"))
    assert named["per_class_iou"] == dict(zip("abcd", expected, strict=True))


def test_nothing_to_score_is_nan():
    assert np.isnan(metrics.scores(np.zeros((3, 3))).miou)
