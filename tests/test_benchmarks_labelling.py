"""What the benchmarks of labelling count with: planted errors, decisions, shares."""

import json

import active_learning
import label_errors
import numpy as np
import planted_errors
import pytest
import tiny_dataset
from conversion_runs import examples

from deeplab_tf.data import dataset_info

VOID = 255


def scene():
    """Ground, an object in it, and void."""
    labels = np.zeros((60, 80), np.uint8)
    labels[22:38, 25:50] = 1
    labels[:, :3] = VOID
    return labels


@pytest.mark.parametrize("kind", planted_errors.KINDS)
def test_an_error_is_where_it_is_said_to_be(kind):
    labels = scene()
    planted = [
        planted_errors.plant(labels, kind, 4, VOID, np.random.default_rng(seed)).labels
        for seed in range(20)
    ]
    again = planted_errors.plant(labels, kind, 4, VOID, np.random.default_rng(0)).labels
    np.testing.assert_array_equal(again, planted[0])
    np.testing.assert_array_equal(labels, scene())  # what was given stays
    for changed in planted:
        wrong = changed != labels
        if kind == "shifted":
            offsets = [np.ptp(np.argwhere(m), 0) for m in (labels == 1, changed == 1)]
            np.testing.assert_array_equal(*offsets)  # moved as a whole
            moved = np.argwhere(changed == 1)[0] - np.argwhere(labels == 1)[0]
            assert (abs(moved) >= 8).all()
            assert (abs(moved) <= 20).all()
        else:  # the object is too large a part to be the ground
            np.testing.assert_array_equal(wrong, labels == 1)
    values = {int(v) for changed in planted for v in np.unique(changed[labels == 1])}
    expected = {"swapped": {0, 2, 3}, "missing": {0}, "shifted": values}
    assert values == expected[kind]


def test_where_there_is_no_object_nothing_is_planted():
    rng = np.random.default_rng(0)
    for kind in ("swapped", "missing"):
        void = np.full((60, 80), VOID, np.uint8)
        assert planted_errors.plant(void, kind, 4, VOID, rng) is None


@pytest.mark.parametrize(
    ("clean", "action"),
    [
        ([1, 1, 1, 2], "keep"),
        ([1, 2, 2, 2], "prediction"),
        ([3, 3, 3, 2], "void"),
        ([1, 1, 2, 2], "keep"),
    ],
)
def test_who_knows_the_labels_decides(clean, action):
    assert label_errors._action(np.array(clean), 1, 2) == action


def test_an_error_counts_once_however_many_regions_hit_it():
    regions = [{"example": name} for name in "aabcd"]
    hits = [True, True, False, True, False]
    planted = dict.fromkeys("abce", "swapped")
    share = label_errors._share_found(regions, hits, planted)
    assert share == len({"a", "c"}) / len(planted)


def test_a_share_of_a_data_set_is_one(tmp_path):
    (tmp_path / "all").mkdir()
    info = tiny_dataset.write(tmp_path / "all")
    train = active_learning.read(tmp_path / "all", info, "train")
    names = ["train_7", "train_2", "train_3"]
    few = [train[name] for name in names]
    active_learning._write_shards(tmp_path / "few", tmp_path / "all", info, few)
    found, whole = (
        {split: examples(tmp_path / folder, split) for split in ("train", "val")}
        for folder in ("few", "all")
    )
    assert [*found["train"]] == names
    assert found["val"].keys() == whole["val"].keys()
    for name in names:
        labels = whole["train"][name]["labels"]
        np.testing.assert_array_equal(found["train"][name]["labels"], labels)
    assert dataset_info.load(tmp_path / "few").class_names == info.class_names


def test_tables_give_mean_spread_and_difference():
    results = {"random": {"0": 0.5, "1": 0.6}, "k_center": {"0": 0.6, "1": 0.8}}
    lines = active_learning.table(results).splitlines()
    assert lines[2].startswith("| random | 2 | 0.5500 ± 0.0707 | 0.0000 ± 0.0000 |")
    assert lines[3].startswith("| k_center | 2 | 0.7000 ± 0.1414 | 0.1500 ± 0.0707 |")
    figures = json.loads('{"0": {"found": 0.25}, "1": {"found": 0.75}}')
    assert "| 2 | 0.5000 ± 0.3536 |" in label_errors.table(figures)
