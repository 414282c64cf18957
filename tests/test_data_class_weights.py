import numpy as np
import pytest

from deeplab_tf.config import Config
from deeplab_tf.data.class_weights import SCHEMES, absent_classes, make_class_weights
from deeplab_tf.data.dataset_info import DatasetInfo, Split
from deeplab_tf.errors import UserError

COUNTS = (700, 40, 0, 200, 60)


def made_up(counts=COUNTS):
    split = Split(num_examples=3, shards=("a",), class_pixels=counts)
    return DatasetInfo(name="five", class_names=tuple("abcde"), splits={"train": split})


def weights(scheme, counts=COUNTS):
    return np.array(make_class_weights((), scheme, made_up(counts), "train"))


def test_inverse_gives_every_class_the_same_total_weight():
    found = weights("inverse") * COUNTS
    np.testing.assert_allclose(found, [250, 250, 0, 250, 250])


def test_inverse_root_gives_a_class_a_total_that_grows_as_the_root_of_its_pixels():
    found = weights("inverse_root") * COUNTS
    roots = np.sqrt(COUNTS)
    np.testing.assert_allclose(found, 1000 * roots / sum(roots))


def test_median_frequency_gives_the_middle_class_weight_1():
    np.testing.assert_allclose(
        weights("median_frequency"), [130 / 700, 130 / 40, 1, 130 / 200, 130 / 60]
    )


def test_median_frequency_of_an_odd_number_of_classes():
    found = weights("median_frequency", (700, 40, 0, 200, 0))
    np.testing.assert_allclose(found, [200 / 700, 200 / 40, 1, 1, 1])


def test_effective_number_is_that_of_cui():
    beta = 249 / 250  # N = 250 is the mean count of the four classes that occur
    numbers = np.array([(1 - beta**n) / (1 - beta) for n in (700, 40, 200, 60)])
    expected = 1 / numbers
    expected *= 1000 / (expected @ (700, 40, 200, 60))
    np.testing.assert_allclose(weights("effective_number")[[0, 1, 3, 4]], expected)


@pytest.mark.parametrize("scheme", ["inverse", "inverse_root", "effective_number"])
@pytest.mark.parametrize("counts", [COUNTS, (1, 1, 1, 1, 1), (9**12, 1, 0, 0, 7)])
def test_the_mean_weight_of_a_pixel_is_1(scheme, counts):
    found = weights(scheme, counts)
    np.testing.assert_allclose(found @ counts / sum(counts), 1)
    assert all(found > 0)


def test_schemes_are_the_choices_of_the_setting():
    assert all(Config().replace({"loss.class_weighting": name}) for name in SCHEMES)
    with pytest.raises(UserError, match="inverse"):
        Config().replace({"loss.class_weighting": "inverted"})


def test_given_weights_go_through_and_must_fit():
    given = (1.0, 2.0, 3.0, 4.0, 5.0)
    assert make_class_weights(given, "none", made_up(), "train") == given
    assert make_class_weights((), "none", made_up(), "train") is None
    with pytest.raises(UserError, match="each of the 5 classes of 'five'; received 2"):
        make_class_weights((1.0, 2.0), "none", made_up(), "train")
    with pytest.raises(UserError, match=r"loss.class_weighting must be none"):
        Config().replace(
            {"loss.class_weights": (1.0,), "loss.class_weighting": "inverse"}
        )


def test_a_data_set_without_counts_is_told():
    with pytest.raises(UserError, match="class_pixels of split 'train'"):
        make_class_weights((), "inverse", made_up(()), "train")


def test_classes_without_a_pixel_are_named():
    (message,) = absent_classes(made_up(), "train")
    assert "1 of its 5 classes" in message
    assert message.endswith(": c.")
    assert absent_classes(made_up((1, 2, 3, 4, 5)), "train") == []
    assert absent_classes(made_up(()), "train") == []  # not counted


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ("", "must be at least one loss"),
        ("cross_entropie", "Did you mean 'cross_entropy'"),
        ("dice,0.5*dice", "must be different losses"),
        ("-1*dice", "loss.terms.dice must be greater than 0"),
        ("x*dice", "loss.terms.dice must be a valid number; received 'x'"),
        ("inf*dice", "loss.terms.dice must be a finite number"),
    ],
)
def test_terms_are_checked_with_the_config(terms, message):
    with pytest.raises(UserError, match=message.replace("*", r"\*")):
        Config().replace({"loss.terms": terms})


def test_terms_and_their_factors():
    config = Config().replace({"loss.terms": " cross_entropy, 0.5 * lovasz,2e-1*dice"})
    assert config.loss.terms == {"cross_entropy": 1.0, "lovasz": 0.5, "dice": 0.2}
