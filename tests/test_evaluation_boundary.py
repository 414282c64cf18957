import numpy as np
import pytest
from scipy import ndimage

from deeplab_tf.evaluation import boundary, metrics

VOID = 255
CLASSES = 5


def blobs(rng, shape, void_share=0.1, unused=()):
    """A smooth random label map, uint8, with lines and areas of void."""
    used = [c for c in range(CLASSES) if c not in unused]
    noise = rng.normal(size=(len(used), *shape))
    smooth = ndimage.gaussian_filter(noise, (0, 5, 5))
    labels = np.array(used, np.uint8)[smooth.argmax(0)]
    labels[ndimage.gaussian_filter(rng.normal(size=shape), 3) > 0.11] = VOID
    return labels


def pairs(seed, count=3):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        shape = tuple(rng.integers(60, 100, 2))
        labels = blobs(rng, shape, unused=(4,))
        predictions = np.roll(labels, (2, -3), (0, 1))
        wrong = blobs(rng, shape, unused=(3,))
        use = (ndimage.gaussian_filter(rng.normal(size=shape), 6) > 0.02) | (
            predictions == VOID
        )
        predictions = np.where(use, wrong, predictions)
        yield labels, np.where(predictions == VOID, 0, predictions).astype(np.uint8)


def count(examples, **options):
    counter = boundary.BoundaryCounter(CLASSES, VOID, **options)
    for example in examples:
        counter.update(*example)
    return counter.result([str(c) for c in range(CLASSES)])


def neighbours_differ(labels, valid=None):
    """By comparison with shifted copies; valid: both sides must be."""
    valid = np.ones(labels.shape, bool) if valid is None else valid
    found = np.zeros(labels.shape, bool)
    height, width = labels.shape
    for y in range(height):
        for x in range(width):
            for down, right in ((0, 1), (1, 0), (0, -1), (-1, 0)):
                v, u = y + down, x + right
                if 0 <= v < height and 0 <= u < width:
                    both = valid[y, x] and valid[v, u]
                    found[y, x] |= both and labels[y, x] != labels[v, u]
    return found


def test_edges_by_hand():
    labels, _ = next(pairs(0))
    np.testing.assert_array_equal(
        boundary.find_edges(labels), neighbours_differ(labels)
    )
    np.testing.assert_array_equal(
        boundary.find_edges(labels, VOID), neighbours_differ(labels, labels != VOID)
    )


@pytest.mark.parametrize("limit", [1, 7, 40, 126, 127])
@pytest.mark.parametrize("density", [0.0003, 0.02, 0.5])
def test_distance_equals_scipy(limit, density):
    seeds = np.random.default_rng(1).random((90, 141)) < density
    seeds[13, 77] = True
    expected = ndimage.distance_transform_edt(~seeds) ** 2
    distance = boundary.squared_distance(seeds, limit)
    near = expected <= limit**2
    np.testing.assert_array_equal(distance[near], np.round(expected[near]))
    assert (distance[~near] > limit**2).all()


def test_without_seeds_all_is_far():
    far = boundary.squared_distance(np.zeros((9, 300), bool), 40)
    assert (far > 40**2).all()


def test_trimap_equals_scipy():
    widths = (1, 2, 5, 13)
    examples = list(pairs(2))
    matrices = np.zeros((len(widths), CLASSES, CLASSES), np.int64)
    for labels, predictions in examples:
        seeds = (labels == VOID) | neighbours_differ(labels, labels != VOID)
        distance = ndimage.distance_transform_edt(~seeds)
        for matrix, width in zip(matrices, widths, strict=True):
            band = (distance <= width) & (labels != VOID)
            np.add.at(matrix, (labels[band], predictions[band]), 1)
    expected = [metrics.scores(matrix).miou for matrix in matrices]
    trimap = count(examples, widths=widths)["trimap"]
    assert trimap["widths"] == list(widths)
    np.testing.assert_allclose(trimap["miou"], expected)


def test_boundary_iou_equals_scipy():
    """By eroding each class with a disc: its pixels near another class are left."""
    examples = list(pairs(3))
    both, either = np.zeros(CLASSES), np.zeros(CLASSES)
    for labels, predictions in examples:
        filled = np.where(labels == VOID, predictions, labels)
        width = round(0.02 * np.hypot(*labels.shape))
        for c in range(CLASSES):
            bands = []
            for classes in (filled, predictions):
                own_edge = (classes == c) & neighbours_differ(classes)
                near = (
                    ndimage.distance_transform_edt(~own_edge) < width
                    if own_edge.any()
                    else False
                )
                bands.append((classes == c) & near & (labels != VOID))
            both[c] += (bands[0] & bands[1]).sum()
            either[c] += (bands[0] | bands[1]).sum()
    result = count(examples)
    assert list(result["per_class_boundary_iou"].values()) == pytest.approx(
        both / either
    )
    assert result["boundary_iou"] == pytest.approx((both / either).mean())


def test_boundary_f1_equals_scipy():
    examples = list(pairs(4))
    hits, totals = np.zeros((2, CLASSES)), np.zeros((2, CLASSES))
    for labels, predictions in examples:
        filled = np.where(labels == VOID, predictions, labels)
        tolerance = max(1, round(0.0075 * np.hypot(*labels.shape)))
        for c in range(CLASSES):
            edges = [
                (classes == c) & neighbours_differ(classes)
                for classes in (predictions, filled)
            ]
            for side in (0, 1):
                totals[side, c] += edges[side].sum()
                if edges[1 - side].any():
                    distance = ndimage.distance_transform_edt(~edges[1 - side])
                    hits[side, c] += (distance[edges[side]] <= tolerance).sum()
    precision, recall = hits / np.maximum(totals, 1)
    expected = 2 * precision * recall / np.maximum(precision + recall, 1e-9)
    result = count(examples)
    assert list(result["per_class_boundary_f1"].values()) == pytest.approx(expected)
    assert result["boundary_f1"] == pytest.approx(expected.mean())


def test_a_perfect_prediction_scores_one_and_a_flat_one_nothing():
    rng = np.random.default_rng(5)
    labels = blobs(rng, (80, 70))
    right = np.where(labels == VOID, 2, labels).astype(np.uint8)
    perfect = count([(labels, right)])
    assert perfect["boundary_iou"] == perfect["boundary_f1"] == 1
    assert set(perfect["trimap"]["miou"]) == {1.0}
    flat = np.zeros((40, 50), np.uint8)
    nothing = count([(flat, flat)])
    assert nothing["boundary_iou"] is nothing["boundary_f1"] is None
    assert set(nothing["trimap"]["miou"]) == {None}
