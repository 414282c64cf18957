"""convert --decisions: what was decided on suspected label errors."""

import json

import numpy as np
import pytest
from conversion_runs import convert as command
from conversion_runs import examples, refused, save
from pycocotools import mask as coco_mask

from deeplab_tf.data import dataset_info
from deeplab_tf.data.conversion import decisions
from deeplab_tf.data.conversion.run import convert
from deeplab_tf.errors import UserError

VOID = 255
NAMES = ("sky", "road", "car")
SIZE = 12, 16
# Where what stands in the masks is not the class: 7 is sky, 8 road, 9 car.
VALUES = {"7": "sky", "8": "road", "9": "car", "0": "ignore"}


def labels_of(name):
    """Sky above road, and a car of a place of its own."""
    labels = np.zeros(SIZE, np.uint8)
    labels[6:] = 1
    left = 1 + 3 * "abcd".index(name)
    labels[4:8, left : left + 3] = 2
    labels[:, -1] = VOID
    return labels


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("source")
    rng = np.random.default_rng(0)
    for name in "abcd":
        pixels = rng.integers(0, 255, (*SIZE, 3), np.uint8)
        save(folder / "images" / "train" / f"{name}.png", pixels)
        labels = labels_of(name)
        raw = np.where(labels == VOID, 0, labels + 7).astype(np.uint8)
        save(folder / "labels" / "train" / f"{name}.png", raw)
    content = {"class_names": NAMES, "values": VALUES}
    (folder / "classes.json").write_text(json.dumps(content))
    return folder


def decision(name, region, action, inside, label=2, prediction=1, **changed):
    runs = coco_mask.encode(np.asfortranarray(inside.astype(np.uint8)))
    return {
        "example": name,
        "region": region,
        "action": action,
        "label": label,
        "prediction": prediction,
        "size": list(inside.shape),
        "counts": runs["counts"].decode(),
    } | changed


def decided(folder, *some, **changed):
    path = folder / "decisions.json"
    content = {
        "schema": 1,
        "dataset": "any",
        "split": "train",
        "class_names": NAMES,
        "decisions": some,
    } | changed
    path.write_text(json.dumps(content))
    return path


def car(name):
    return labels_of(name) == 2


def test_each_action_does_what_it_says(source, tmp_path, capsys):
    part = car("b").copy()
    part[:5] = False
    path = decided(
        tmp_path,
        decision("a", 1, "prediction", car("a")),
        decision("b", 2, "void", part),
        decision("b", 5, "prediction", labels_of("b") == 1, label=1, prediction=0),
        decision("c", 3, "drop", car("c")),
        decision("c", 6, "void", car("c")),
        decision("d", 4, "keep", car("d")),
    )
    convert(source, tmp_path / "out", decisions=[str(path)], workers=1)
    found = {k: e["labels"] for k, e in examples(tmp_path / "out", "train").items()}
    a, b = labels_of("a"), labels_of("b")
    a[car("a")] = 1
    b[part], b[labels_of("b") == 1] = VOID, 0
    assert found.keys() == {*"abd"}
    np.testing.assert_array_equal(found["a"], a)
    np.testing.assert_array_equal(found["b"], b)
    np.testing.assert_array_equal(found["d"], labels_of("d"))
    said = capsys.readouterr().out
    assert (
        "split train: 1 regions stay as labelled, 2 regions take the prediction, 2 "
        "regions become void, 1 examples are left out." in said
    )
    info = dataset_info.load(tmp_path / "out")
    counts = np.bincount(np.concatenate([*map(np.ravel, found.values())]), minlength=3)
    assert info.splits["train"].class_pixels == tuple(counts[:3])


def test_without_decisions_nothing_changes(source, tmp_path):
    path = decided(tmp_path)
    for name, files in (("with", [str(path)]), ("without", [])):
        convert(source, tmp_path / name, decisions=files, workers=1)
    one, other = (
        dataset_info.load(tmp_path / name).splits["train"].sha256
        for name in ("with", "without")
    )
    assert one == other


def test_a_stopped_conversion_with_other_decisions_goes_on_with_them(source, tmp_path):
    """A shard that was written is kept only where its decisions are the same."""
    from deeplab_tf.data import sources
    from deeplab_tf.data.conversion.shards import plan

    opened = sources.open_source("auto", str(source))
    members = {"train": opened.samples("train")}
    prints = []
    for action in ("keep", "void", "prediction"):
        path = decided(tmp_path, decision("a", 1, action, car("a")))
        changed, _ = decisions.apply(members, opened.info(), [str(path)])
        (shard,) = plan(opened.info(), "train", changed["train"], 1)
        prints.append(shard.fingerprint())
    assert len({*prints}) == 3


GOOD = decision("a", 1, "void", car("a"))


@pytest.mark.parametrize(
    ("one", "message"),
    [
        (GOOD | {"action": "prdiction"}, "Did you mean 'prediction'"),
        (GOOD | {"label": 3}, r"decisions.0.label must be a class, 0..2; received 3"),
        (GOOD | {"counts": "~~"}, r"decisions.0.counts: no run lengths"),
        (GOOD | {"size": [99999, 99999]}, "decisions.0.size must be at most"),
        (GOOD | {"size": [12, 15]}, "no run lengths"),
        (GOOD | {"example": "z"}, "no labelled example 'z' in split 'train'"),
        (GOOD | {"colour": "red"}, "unknown setting 'decisions.0.colour'"),
        ({k: v for k, v in GOOD.items() if k != "counts"}, "counts must be given"),
        (GOOD | {"region": "1"}, "decisions.0.region"),
        ("void", "decisions.0"),
    ],
)
def test_a_bad_decision_is_told_by_file_and_field(source, tmp_path, one, message):
    path = decided(tmp_path, one)
    with pytest.raises(UserError, match=message) as refusal:
        convert(source, tmp_path / "out", decisions=[str(path)], workers=1)
    assert str(path) in str(refusal.value)
    assert not (tmp_path / "out" / "dataset.json").exists()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"schema": 2}, "schema must be 1"),
        ({"schema": None}, "deeplab_tf.review"),
        ({"split": "vla"}, "unknown split 'vla'"),
        ({"class_names": ("sky", "road")}, "its classes are sky, road, those of"),
        ({"decisions": [GOOD, GOOD]}, "decisions.1.region must be decided once"),
        (
            {"decisions": [GOOD | {"example": n, "region": i, "action": "drop"}
                           for i, n in enumerate("abcd", start=1)]},
            "leaves no example in split 'train'",
        ),
    ],
)  # fmt: skip
def test_a_bad_file_is_told(source, tmp_path, changed, message):
    path = decided(tmp_path, **changed)
    with pytest.raises(UserError, match=message) as refusal:
        convert(source, tmp_path / "out", decisions=[str(path)], workers=1)
    assert str(path) in str(refusal.value)


@pytest.mark.parametrize(
    ("one", "message"),
    [
        (decision("a", 1, "void", car("b")), "region 1 is not 'car' any more"),
        (
            decision("a", 1, "void", np.ones((9, 9), bool)),
            r"its height and width are \[12, 16\], not \[9, 9\]",
        ),
    ],
)
def test_labels_that_have_changed_are_bad_examples(source, tmp_path, one, message):
    path = decided(tmp_path, one)
    with pytest.raises(UserError, match=message):
        convert(source, tmp_path / "out", decisions=[str(path)], workers=1)


def test_the_command_takes_several_files(source, tmp_path):
    paths = []
    for number, name in enumerate("ab"):
        folder = tmp_path / str(number)
        folder.mkdir()
        paths.append(decided(folder, decision(name, 1, "void", car(name))))
    flags = [f"--decisions={path}" for path in paths]
    output = tmp_path / "out"
    command(f"--source_dir={source}", f"--output_dir={output}", *flags)
    found = examples(output, "train")
    for name in "abcd":
        expected = labels_of(name)
        expected[car(name) & (name in "ab")] = VOID
        np.testing.assert_array_equal(found[name]["labels"], expected)
    missing = f"--decisions={tmp_path / 'none.json'}"
    line = refused(f"--source_dir={source}", "--output_dir=x", missing)
    assert "none.json: no such file; save the decisions" in line
