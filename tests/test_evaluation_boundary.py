"""Boundary scores against their definitions, written with SciPy or by brute force."""

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial import distance

from deeplab_tf.evaluation import boundary, image_scores

VOID = 255
CLASSES = 5  # 3 is never predicted, 4 never labelled
SQUARE = np.ones((3, 3), bool)


def blobs(rng, shape, unused=()):
    """A smooth random label map, uint8, with lines and areas of void."""
    used = [c for c in range(CLASSES) if c not in unused]
    noise = rng.normal(size=(len(used), *shape))
    smooth = ndimage.gaussian_filter(noise, (0, 5, 5))
    labels = np.array(used, np.uint8)[smooth.argmax(0)]
    labels[ndimage.gaussian_filter(rng.normal(size=shape), 3) > 0.11] = VOID
    return labels


def pairs(seed, count=3):
    """Labels with void and predictions, of odd and even sizes."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        shape = tuple(2 * rng.integers(30, 50, 2) + (number % 2, number // 2))
        labels = blobs(rng, shape, unused=(4,))
        predictions = np.roll(labels, (2, -3), (0, 1))
        wrong = blobs(rng, shape, unused=(3,))
        use = (ndimage.gaussian_filter(rng.normal(size=shape), 6) > 0.02) | (
            predictions == VOID
        )
        predictions = np.where(use, wrong, predictions)
        yield labels, np.where(predictions == VOID, 0, predictions).astype(np.uint8)


def six_pairs():
    """A disc and a box that shift and grow, half of them cut by the image's border."""
    y, x = np.mgrid[:96, :128]
    for number in range(6):
        maps = []
        for shift in (0, 2 + number):
            top = 8 * number - 12 + shift
            labels = ((y - 30) ** 2 + (x - 40 - shift) ** 2 < (18 + number) ** 2) * 1
            labels[max(top, 0) : top + 30, 90 + shift :] = 2
            maps.append(labels.astype(np.uint8))
        yield tuple(maps)


def count(examples, **options):
    counter = boundary.BoundaryCounter(CLASSES, VOID, **options)
    for example in examples:
        counter.update(*example)
    return counter.result([str(c) for c in range(CLASSES)])


def filled(labels, predictions):
    return np.where(labels == VOID, predictions, labels)


def neighbours_differ(labels):
    """Pixels of which one of the four neighbours differs, one by one."""
    found = np.zeros(labels.shape, bool)
    height, width = labels.shape
    for y in range(height):
        for x in range(width):
            for down, right in ((0, 1), (1, 0), (0, -1), (-1, 0)):
                v, u = y + down, x + right
                if 0 <= v < height and 0 <= u < width:
                    found[y, x] |= labels[y, x] != labels[v, u]
    return found


def band_of_cheng(mask, border=True):
    """The mask less what is left of it after erosion, by Cheng et al. 2021."""
    width = max(1, round(0.02 * np.sqrt(np.sum(np.square(mask.shape)))))
    padded = np.pad(mask, 1, constant_values=False) if border else mask
    eroded = ndimage.binary_erosion(padded, SQUARE, width, border_value=1)
    return mask & ~(eroded[1:-1, 1:-1] if border else eroded)


def edges_of(mask):
    """The mask's pixels of which one of the four neighbours is outside of it."""
    return mask & ~ndimage.binary_erosion(mask, border_value=1)


def band_before(mask):
    """What was called boundary IoU at first: by a disc, without the image's border."""
    width = round(0.02 * np.hypot(*mask.shape))
    edges = edges_of(mask)
    if not edges.any():
        return edges
    return mask & (ndimage.distance_transform_edt(~edges) < width)


def band_ious(examples, band):
    both, either = np.zeros([2, CLASSES])
    for labels, predictions in examples:
        for c in range(CLASSES):
            bands = [
                band(classes == c) & (labels != VOID)
                for classes in (filled(labels, predictions), predictions)
            ]
            both[c] += (bands[0] & bands[1]).sum()
            either[c] += (bands[0] | bands[1]).sum()
    return [b / e if e else None for b, e in zip(both, either, strict=True)]


def test_edges_by_hand():
    labels, _ = next(pairs(0))
    np.testing.assert_array_equal(
        boundary.find_edges(labels), neighbours_differ(labels)
    )


@pytest.mark.parametrize("reach", [1, 2, 3, 7, 12])
@pytest.mark.parametrize("border_differs", [False, True])
def test_interior_is_what_erosion_leaves(reach, border_differs):
    for labels, _ in pairs(1):
        expected = np.zeros(labels.shape, bool)
        for c in np.unique(labels):
            expected |= ndimage.binary_erosion(
                labels == c, SQUARE, reach, border_value=not border_differs
            )
        given = boundary.interior(labels, reach, border_differs=border_differs)
        np.testing.assert_array_equal(given, expected)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (3, 2), (40, 37)])
def test_distance_equals_scipy(shape):
    labels = np.random.default_rng(1).integers(0, 2, shape).astype(np.int32)
    labels[: shape[0] // 2] = 300
    expected = np.full(shape, 8.0)
    for c in np.unique(labels):
        own = labels == c
        if not own.all():
            own_distance = ndimage.distance_transform_cdt(own, "chessboard")
            expected[own] = np.minimum(own_distance, 8)[own]
    np.testing.assert_array_equal(boundary.distance_to_other(labels, 7), expected)


def test_trimap_is_the_dilation_of_void_and_of_other_classes():
    widths = (1, 2, 5, 13)
    examples = list(pairs(2))
    matrices = np.zeros((len(widths), CLASSES, CLASSES), np.int64)
    for labels, predictions in examples:
        for matrix, width in zip(matrices, widths, strict=True):
            band = ndimage.binary_dilation(labels == VOID, SQUARE, width)
            for c in range(CLASSES):
                other = ndimage.binary_dilation(labels != c, SQUARE, width)
                band |= other & (labels == c)
            band &= labels != VOID
            np.add.at(matrix, (labels[band], predictions[band]), 1)
    expected = []
    for matrix in matrices:
        hits, union = np.diag(matrix), matrix.sum(0) + matrix.sum(1) - np.diag(matrix)
        expected.append(np.mean([h / u for h, u in zip(hits, union, strict=True) if u]))
    trimap = count(examples, widths=widths)["trimap"]
    assert trimap["widths"] == list(widths)
    np.testing.assert_allclose(trimap["miou"], expected)


def test_boundary_iou_is_that_of_cheng():
    examples = list(pairs(3))
    expected = band_ious(examples, band_of_cheng)
    result = count(examples)
    assert list(result["per_class_boundary_iou"].values()) == pytest.approx(expected)
    assert result["boundary_iou"] == pytest.approx(np.mean(expected))


def test_six_pairs_tell_the_definitions_of_boundary_iou_apart():
    examples = list(six_pairs())
    definitions = {
        "before": band_before,
        "without border": lambda mask: band_of_cheng(mask, border=False),
        "Cheng et al.": band_of_cheng,
    }
    figures = {
        name: np.mean([x for x in band_ious(examples, band) if x is not None])
        for name, band in definitions.items()
    }
    print({name: round(float(figure), 3) for name, figure in figures.items()})
    assert count(examples)["boundary_iou"] == pytest.approx(figures["Cheng et al."])
    assert len({round(figure, 2) for figure in figures.values()}) == 3


def f1_of_csurka(labels, predictions):
    """F1 of each class of an image, by the distances of all pairs of edge pixels."""
    theta = 0.0075 * np.hypot(*labels.shape)
    f1 = np.full(CLASSES, np.nan)
    for c in range(CLASSES):
        truth, given = (
            np.argwhere(edges_of(classes == c))
            for classes in (filled(labels, predictions), predictions)
        )
        if len(truth) and len(given):
            near = distance.cdist(given, truth) < theta
            precision, recall = near.any(1).mean(), near.any(0).mean()
            both = precision + recall
            f1[c] = 2 * precision * recall / both if both else 0
        elif len(truth) or len(given):
            f1[c] = 0
    return f1


def test_boundary_f1_is_that_of_csurka():
    # A small image has a tolerance below a pixel, a large one above two.
    examples = [tuple(a.repeat(3, 0).repeat(3, 1) for a in next(pairs(5, 1)))]
    # In the small ones classes 3 and 4 occur nowhere.
    examples += [(np.where(a > 2, np.uint8(VOID), a), b % 3) for a, b in pairs(4)]
    f1 = np.stack([f1_of_csurka(*example) for example in examples])
    assert np.isnan(f1).any()
    result = count(examples)
    given = list(result["per_class_boundary_f1"].values())
    assert given == pytest.approx(np.nanmean(f1, 0))
    assert result["boundary_f1"] == pytest.approx(np.nanmean(f1, 1).mean())


def test_objects_at_the_border_have_a_boundary_there_for_boundary_iou_alone():
    """A class that fills the image: its band is the frame; it has no edge."""
    flat = np.zeros((50, 60), np.uint8)
    wrong = flat.copy()
    wrong[0] = 1  # a strip along the border, in the band
    assert count([(flat, flat)])["boundary_f1"] is None
    assert count([(flat, flat)])["boundary_iou"] == 1
    width = round(0.02 * np.hypot(*flat.shape))
    frame = flat.size - (50 - 2 * width) * (60 - 2 * width)
    # The prediction's band of class 0 begins below the strip.
    moved = flat.size - 60 - (49 - 2 * width) * (60 - 2 * width)
    both = frame - 60
    expected = both / (frame + moved - both)
    result = count([(flat, wrong)])
    assert result["per_class_boundary_iou"]["0"] == pytest.approx(expected)
    assert result["per_class_boundary_iou"]["1"] == 0


def test_a_perfect_prediction_scores_one_and_void_alone_nothing():
    rng = np.random.default_rng(5)
    labels = blobs(rng, (80, 70))
    right = np.where(labels == VOID, 2, labels).astype(np.uint8)
    perfect = count([(labels, right)])
    assert perfect["boundary_iou"] == perfect["boundary_f1"] == 1
    assert set(perfect["trimap"]["miou"]) == {1.0}
    nothing = count([(np.full_like(labels, VOID), right)])
    assert nothing["boundary_iou"] is nothing["boundary_f1"] is None
    assert set(nothing["trimap"]["miou"]) == {None}


def test_suspects_are_sure_wrong_and_far_from_other_labels():
    rng = np.random.default_rng(6)
    for labels, predictions in pairs(6):
        confidence = rng.random(labels.shape).astype(np.float32) * 0.3 + 0.7
        near = np.zeros(labels.shape, bool)
        for c in range(CLASSES):
            near |= (labels == c) & ndimage.binary_dilation(labels != c, SQUARE, 4)
        expected = (labels != predictions) & (labels != VOID) & (confidence > 0.9)
        expected &= ~near
        given = image_scores.suspects(labels, predictions, confidence, VOID)
        assert expected.any()
        np.testing.assert_array_equal(given, expected)
