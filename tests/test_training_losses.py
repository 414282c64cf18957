import numpy as np
import pytest
import tensorflow as tf
import tiny_dataset

from deeplab_tf.config import Config, iterate_leaves
from deeplab_tf.data.dataset_info import DatasetInfo, Split
from deeplab_tf.training import recipe
from deeplab_tf.training.losses.pixels import LOSSES, make_loss, total_loss

VOID = 255
CLASSES = 4
WEIGHTS = (0.5, 2.0, 1.0, 3.0)
# Every term in each of its variants, for the properties that all of them have.
VARIANTS = [
    *((name, {}) for name in LOSSES),
    ("cross_entropy", {"top_k": 0.3}),
    ("cross_entropy", {"top_k": 0.3, "top_k_ramp": 0.9}),
    ("cross_entropy", {"label_smoothing": 0.1}),
    ("boundary", {"label_smoothing": 0.1}),
    ("focal", {"focal_gamma": 0.5}),
]


def random_case(seed=0, void=0.3, size=(5, 7)):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (2, *size, CLASSES)).astype(np.float32)
    labels = rng.integers(0, CLASSES, (2, *size)).astype(np.int32)
    labels[rng.random(labels.shape) < void] = VOID
    return logits, labels


def make(name, settings, weights=None):
    """The function of one term."""
    settings = {f"loss.{key}": value for key, value in settings.items()}
    return make_loss(
        Config().replace({"loss.terms": name, **settings}).loss,
        num_classes=CLASSES,
        ignore_label=VOID,
        class_weights=weights,
    )


def term(name, logits, labels, *, weights=None, progress=0.5, **settings):
    function = make(name, settings, weights)
    return function(
        tf.convert_to_tensor(logits), tf.constant(labels), tf.constant(progress)
    )[name]


def softmax(logits):
    powers = np.exp(logits.astype(np.float64))
    return powers / powers.sum(-1, keepdims=True)


def cross_entropies(logits, labels):
    """-log p of each pixel's label, 0 where void."""
    p = softmax(logits)
    result = np.zeros(labels.shape)
    for place in np.ndindex(labels.shape):
        if labels[place] != VOID:
            result[place] = -np.log(p[place][labels[place]])
    return result


def weight_map(labels, weights=WEIGHTS):
    return np.where(labels == VOID, 0, np.array([*weights, *[0] * 252])[labels])


def assert_sum_and_count(result, total, count):
    np.testing.assert_allclose(result[0], total, rtol=2e-6)
    assert float(result[1]) == count
    assert result[0].dtype == result[1].dtype == tf.float32


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_cross_entropy_counts_pixels_and_not_their_weights(weights):
    logits, labels = random_case()
    losses = cross_entropies(logits, labels) * weight_map(labels, weights or [1] * 4)
    result = term("cross_entropy", logits, labels, weights=weights)
    assert_sum_and_count(result, losses.sum(), (labels != VOID).sum())


@pytest.mark.parametrize(("progress", "power"), [(0.0, 1.0), (0.5, 0.6), (1.0, 0.2)])
def test_class_weights_fade(progress, power):
    logits, labels = random_case()
    weights = (1.0, 0.5, 3.0, 2.0)
    total, _ = term(
        "cross_entropy",
        logits,
        labels,
        weights=weights,
        progress=progress,
        class_weights_end=0.2,
    )
    wanted, _ = term(
        "cross_entropy", logits, labels, weights=[w**power for w in weights]
    )
    np.testing.assert_allclose(total, wanted, rtol=1e-5)


def test_label_smoothing_moves_a_share_of_the_target_to_all_classes():
    logits, labels = random_case(1)
    target = 0.9 * np.eye(256)[labels][..., :CLASSES] + 0.1 / CLASSES
    losses = -(target * np.log(softmax(logits))).sum(-1) * weight_map(labels)
    result = term("cross_entropy", logits, labels, weights=WEIGHTS, label_smoothing=0.1)
    assert_sum_and_count(result, losses.sum(), (labels != VOID).sum())


@pytest.mark.parametrize("void", [0.1, 0.8])
@pytest.mark.parametrize("share", [0.2, 0.5])
@pytest.mark.parametrize(("ramp", "done"), [(0.0, 1.0), (0.8, 0.5 / 0.8), (0.25, 1.0)])
def test_top_k_keeps_the_hardest_pixels_of_each_picture(void, share, ramp, done):
    logits, labels = random_case(2, void)
    losses = cross_entropies(logits, labels) * weight_map(labels)
    kept = int(losses[0].size * (1 - done * (1 - share)) + 1e-9)
    hardest = [np.sort(picture.ravel())[::-1][:kept] for picture in losses]
    result = term(
        "cross_entropy", logits, labels, weights=WEIGHTS, top_k=share, top_k_ramp=ramp
    )
    assert_sum_and_count(
        result, np.sum(hardest), sum((picture > 0).sum() for picture in hardest)
    )


def test_top_k_shares_a_tie_out():
    """Six equal losses of which four are kept: each has 4 / 6 of its gradient."""
    logits = tf.Variable(np.tile(np.float32([1, 0, 0, 0]), (1, 2, 3, 1)))
    labels = np.zeros((1, 2, 3), np.int32)
    with tf.GradientTape() as tape:
        total, count = term("cross_entropy", logits, labels, top_k=4 / 6)
    loss = float(cross_entropies(logits.numpy(), labels)[0, 0, 0])
    assert_sum_and_count((total, count), 4 * loss, 4)
    p = softmax(logits.numpy())
    np.testing.assert_allclose(
        tape.gradient(total, logits), 4 / 6 * (p - [1, 0, 0, 0]), rtol=1e-5
    )


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal(gamma):
    logits, labels = random_case(3)
    losses = cross_entropies(logits, labels)
    losses = (1 - np.exp(-losses)) ** gamma * losses * weight_map(labels)
    result = term("focal", logits, labels, weights=WEIGHTS, focal_gamma=gamma)
    assert_sum_and_count(result, losses.sum(), (labels != VOID).sum())


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_of_a_certain_pixel_has_a_finite_gradient(gamma):
    logits = tf.Variable(np.tile(np.float32([200, 0, 0, 0]), (1, 2, 3, 1)))
    with tf.GradientTape() as tape:
        total, _ = term(
            "focal", logits, np.zeros((1, 2, 3), np.int32), focal_gamma=gamma
        )
    assert np.isfinite(tape.gradient(total, logits)).all()


@pytest.mark.parametrize("width", [1, 2])
def test_boundary_weighs_pixels_near_another_label(width):
    logits, labels = random_case(4, void=0, size=(12, 11))
    labels = np.full_like(labels, 2)
    labels[0, 4:7, 5:] = 1
    labels[1] = 0  # which void must not be taken for
    labels[1, 9, 9] = VOID
    near = np.zeros(labels.shape, bool)
    for b, y, x in np.ndindex(labels.shape):
        window = labels[
            b, max(y - width, 0) : y + width + 1, max(x - width, 0) : x + width + 1
        ]
        near[b, y, x] = (window != labels[b, y, x]).any()
    assert 0 < near.mean() < 0.5
    losses = cross_entropies(logits, labels) * weight_map(labels) * (1 + 3 * near)
    result = term(
        "boundary",
        logits,
        labels,
        weights=WEIGHTS,
        boundary_width=width,
        boundary_weight=3.0,
    )
    assert_sum_and_count(result, losses.sum(), (labels != VOID).sum())


def test_dice():
    logits, labels = random_case(5)
    labels[labels == 3] = 0  # a class that is not there
    total = 0
    for p, picture in zip(softmax(logits), labels, strict=True):
        valid = picture != VOID
        scores = [
            2
            * p[picture == c][:, c].sum()
            / (p[valid][:, c].sum() + (picture == c).sum())
            for c in range(3)
        ]
        total += 1 - np.mean(scores)
    assert_sum_and_count(term("dice", logits, labels), total, 2)


def jaccard_loss(truth, wrong):
    """1 - intersection / union of a map whose pixels `wrong` are flipped."""
    predicted = truth ^ wrong
    return 1 - (truth & predicted).sum() / max((truth | predicted).sum(), 1)


def test_lovasz():
    """By the definition: the errors in falling order times the Jaccard loss gained."""
    logits, labels = random_case(6)
    labels[labels == 3] = 0
    total = 0
    for p, picture in zip(softmax(logits), labels, strict=True):
        valid = picture != VOID
        of_class = []
        for c in range(3):
            truth = picture[valid] == c
            errors = np.abs(truth - p[valid][:, c])
            wrong = np.zeros_like(truth)
            loss = before = 0.0
            for pixel in np.argsort(-errors):
                wrong[pixel] = True
                after = jaccard_loss(truth, wrong)
                loss += errors[pixel] * (after - before)
                before = after
            of_class.append(loss)
        total += np.mean(of_class)
    assert_sum_and_count(term("lovasz", logits, labels), total, 2)


def lovasz_weights(p, picture):
    """What each pixel's error counts for in each class, by sorting; [H, W, K]."""
    weights = np.zeros(p.shape)
    valid = picture != VOID
    for c in range(CLASSES):
        truth = picture[valid] == c
        order = np.argsort(-np.abs(truth - p[valid][:, c]))
        hits, misses = np.cumsum(truth[order]), np.cumsum(~truth[order])
        jaccard = 1 - (truth.sum() - hits) / (truth.sum() + misses)
        of_class = np.zeros(truth.size)
        of_class[order] = np.diff(jaccard, prepend=0)
        weights[valid, c] = of_class / CLASSES
    return weights


def test_lovasz_counts_in_narrow_bins():
    """10,000 pixels, many to a bin: loss and gradient are those by sorting."""
    logits, labels = random_case(16, size=(100, 100))
    logits[..., 0] += 4  # three classes are rare in the answers
    pairs = zip(softmax(logits), labels, strict=True)
    weights = np.stack([lovasz_weights(*pair) for pair in pairs])
    truth = np.eye(256)[labels][..., :CLASSES]
    variable = tf.Variable(logits)
    with tf.GradientTape(persistent=True) as tape:
        errors = tf.abs(tf.nn.softmax(variable) - truth)
        expected = tf.reduce_sum(errors * weights)
        result, count = term("lovasz", variable, labels)
    assert count == 2
    assert abs(float(result) - float(expected)) / 2 < 2**-14
    one, other = (tape.gradient(x, variable).numpy() for x in (result, expected))
    assert np.abs(one - other).max() < 2e-3 * np.abs(other).max()


def test_lovasz_of_sure_answers_is_their_jaccard_loss():
    """At probabilities of 0 and 1 the extension equals what it extends."""
    rng = np.random.default_rng(7)
    labels = rng.integers(0, CLASSES, (1, 6, 6)).astype(np.int32)
    answers = rng.integers(0, CLASSES, (1, 6, 6))
    losses = [
        jaccard_loss(labels == c, (labels == c) ^ (answers == c)) for c in range(4)
    ]
    result = term("lovasz", 200 * np.eye(CLASSES, dtype=np.float32)[answers], labels)
    assert_sum_and_count(result, np.mean(losses), 1)


@pytest.mark.parametrize(("name", "settings"), VARIANTS)
def test_void_pixels_have_no_gradient(name, settings):
    logits, labels = random_case(8)
    variable = tf.Variable(logits)
    with tf.GradientTape() as tape:
        total, _ = term(name, variable, labels, weights=WEIGHTS, **settings)
    gradient = tape.gradient(total, variable).numpy()
    assert np.isfinite(gradient).all()
    assert (gradient[labels == VOID] == 0).all()
    learns = np.abs(gradient[labels != VOID]).sum(-1) > 0
    assert learns.all() if "top_k" not in settings else learns.any()


@pytest.mark.parametrize(("name", "settings"), VARIANTS)
def test_void_logits_change_nothing(name, settings):
    logits, labels = random_case(9)
    other = np.where((labels == VOID)[..., None], 7 * logits[::-1], logits)
    one = term(name, logits, labels, **settings)
    two = term(name, other, labels, **settings)
    np.testing.assert_allclose(one[0], two[0], rtol=1e-6)
    assert one[1] == two[1]


@pytest.mark.parametrize(("name", "settings"), VARIANTS)
def test_nothing_but_void_gives_zero(name, settings):
    logits, labels = random_case(10, void=1.1)
    variable = tf.Variable(logits)
    with tf.GradientTape() as tape:
        total, count = term(name, variable, labels, weights=WEIGHTS, **settings)
    assert total == 0
    assert count == 0
    assert (tape.gradient(total, variable).numpy() == 0).all()


@pytest.mark.parametrize(("name", "settings"), VARIANTS)
def test_a_batch_in_parts_has_the_sums_of_the_whole(name, settings):
    logits, labels = random_case(11)
    labels[1, 2:] = VOID
    whole = term(name, logits, labels, **settings)
    parts = [
        term(name, logits[i : i + 1], labels[i : i + 1], **settings) for i in (0, 1)
    ]
    np.testing.assert_allclose(whole, np.sum(parts, 0), rtol=1e-6)


@pytest.mark.parametrize(("name", "settings"), VARIANTS)
def test_gradient_equals_the_slope(name, settings):
    """Along a random direction, in the middle of a smooth stretch."""
    logits, labels = random_case(12)
    direction = np.random.default_rng(0).normal(size=logits.shape).astype(np.float32)
    variable = tf.Variable(logits)
    with tf.GradientTape() as tape:
        total, _ = term(name, variable, labels, **settings)
    slope = (tape.gradient(total, variable).numpy() * direction).sum()
    step = 1e-2
    ends = [
        float(term(name, logits + sign * step * direction, labels, **settings)[0])
        for sign in (1, -1)
    ]
    np.testing.assert_allclose(slope, (ends[0] - ends[1]) / (2 * step), rtol=0.02)


@pytest.mark.parametrize(("name", "settings"), VARIANTS)
@pytest.mark.parametrize("dtype", [tf.bfloat16, tf.float16])
def test_half_precision_logits_are_computed_in_float32(name, settings, dtype):
    logits, labels = random_case(13)
    halved = tf.cast(logits, dtype)
    np.testing.assert_allclose(
        term(name, halved, labels, **settings),
        term(name, tf.cast(halved, tf.float32), labels, **settings),
    )


@pytest.mark.parametrize(("name", "settings"), VARIANTS)
def test_each_term_compiles_with_static_shapes(name, settings):
    """XLA refuses what a TPU would: unknown shapes, host calls, strings."""
    logits, labels = random_case(14)
    function = make(name, settings)
    compiled = tf.function(function, jit_compile=True)
    found = compiled(tf.constant(logits), tf.constant(labels), tf.constant(0.5))[name]
    np.testing.assert_allclose(found, term(name, logits, labels, **settings), rtol=1e-5)


# Values that are not the default, for each leaf of the section.
OTHERS = {
    "terms": [f"0.5*{name}" for name in LOSSES],
    "class_weights": [(1.0, 0.5, 3.0)],
    "class_weighting": [
        "inverse",
        "inverse_root",
        "median_frequency",
        "effective_number",
    ],
    "class_weights_end": [0.25],
    "top_k": [0.25],
    "top_k_ramp": [0.5],
    "label_smoothing": [0.1],
    "focal_gamma": [1.0],
    "boundary_width": [2],
    "boundary_weight": [1.0],
}
# A setting that another one must wake up.
NEEDS = {
    "class_weights_end": {"loss.class_weights": (1.0, 0.5, 3.0)},
    "top_k_ramp": {"loss.top_k": 0.25},
    "focal_gamma": {"loss.terms": "focal"},
    "boundary_width": {"loss.terms": "boundary"},
    "boundary_weight": {"loss.terms": "boundary"},
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (field.name, value)
        for section, field in iterate_leaves()
        if section == "loss"
        for value in OTHERS[field.name]
    ],
)
def test_every_setting_changes_the_loss(name, value):
    split = Split(num_examples=1, shards=("a",), class_pixels=(80, 15, 5))
    info = DatasetInfo(name="d", class_names=("a", "b", "c"), splits={"train": split})
    rng = np.random.default_rng(15)
    logits = tf.constant(rng.normal(size=(2, 9, 8, 3)), tf.float32)
    labels = tf.constant(
        rng.choice([0, 0, 1, 2, tiny_dataset.VOID], (2, 9, 8)), tf.int32
    )
    labels = tf.repeat(tf.repeat(labels, 3, 1), 3, 2)
    logits = tf.repeat(tf.repeat(logits, 3, 1), 3, 2)
    base = Config().replace(NEEDS.get(name, {}))

    def value_of(config):
        found = recipe.make_objective(config, info)(logits, labels, tf.constant(0.2))
        counts = [count for _, count in found.values()]
        return float(total_loss(found, config.loss, counts))

    changed = value_of(base.replace({f"loss.{name}": value}))
    assert np.isfinite(changed)
    assert changed != value_of(base)
