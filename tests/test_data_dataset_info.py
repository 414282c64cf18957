"""dataset.json: what is read back, and what is refused in one line."""

import json

import pytest

from deeplab_tf.data import dataset_info
from deeplab_tf.data.dataset_info import DatasetInfo, Split
from deeplab_tf.errors import UserError


def example_info():
    split = Split(
        num_examples=3,
        shards=("train-00000-of-00002.tfrecord", "train-00001-of-00002.tfrecord"),
        shard_examples=(2, 1),
        sha256=("ab", "cd"),
        class_pixels=(10, 20),
        ignored_pixels=5,
        max_size=(33, 65),
    )
    empty = Split(num_examples=0, shards=())
    return DatasetInfo(
        name="two", class_names=("straße", "car"), splits={"train": split, "val": empty}
    )


def train(**changes):
    """What changes in dataset.json where the split train says something else."""
    splits = example_info().to_dict()["splits"]
    return {"splits": splits | {"train": splits["train"] | changes}}


def test_save_and_load_give_the_same(tmp_path):
    info = example_info()
    dataset_info.save(info, tmp_path)
    assert dataset_info.load(tmp_path) == info
    assert [path.name for path in tmp_path.iterdir()] == ["dataset.json"]


def test_default_colormap_is_vocs():
    # The palette of every VOC label file begins so.
    assert dataset_info.default_colormap(4) == (
        (0, 0, 0),
        (128, 0, 0),
        (0, 128, 0),
        (128, 128, 0),
    )
    assert dataset_info.default_colormap(16)[15] == (192, 128, 128)  # person
    assert len(set(dataset_info.default_colormap(255))) == 255


def test_shard_paths_are_in_order_and_must_exist(tmp_path):
    info = example_info()
    paths = [tmp_path / name for name in info.splits["train"].shards]
    paths[0].write_bytes(bytes(40))
    with pytest.raises(UserError, match=r"train-00001-of-00002\.tfrecord: missing"):
        dataset_info.shard_paths(tmp_path, info, "train")
    paths[1].touch()
    with pytest.raises(UserError, match=r"train-00001-of.*: has 0 bytes, but by"):
        dataset_info.shard_paths(tmp_path, info, "train")
    paths[1].write_bytes(bytes(20))
    assert dataset_info.shard_paths(tmp_path, info, "train") == [str(p) for p in paths]


@pytest.mark.parametrize(
    ("split", "message"),
    [("val", "'val' of the data set 'two' is empty"), ("trian", "mean 'train'")],
)
def test_split_that_cannot_be_used(split, message):
    with pytest.raises(UserError, match=message):
        example_info().split(split)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"class_name": ["a"]}, "unknown setting 'class_name'.*'class_names'"),
        ({"class_names": ["a", "a"]}, "class_names must be distinct"),
        ({"class_names": []}, "class_names must be 1 to 255 names"),
        ({"class_names": "ab"}, "class_names must be a valid array"),
        ({"colormap": [[0, 0, 0]]}, "one colour for each of the 2"),
        (
            {"colormap": [[0, 0, 0], [0, 0, 256]]},
            "colormap.1.2 must be less than or equal to 255",
        ),
        ({"ignore_label": 256}, "ignore_label must be less than or equal to 255"),
        ({"channels": "3"}, "channels must be a valid integer"),
        ({"bits": 12}, "bits must be 8, 16 or 32"),
        ({"schema": 2}, "schema must be 1"),
        ({"splits": {"train": {"shards": []}}}, "splits.train.num_examples must be"),
        ({"splits": []}, "splits must be an object"),
        (
            train(num_examples=-5),
            "splits.train.num_examples must be greater than or equal to 0",
        ),
        (train(num_examples=4), "splits.train.num_examples must be 3, the sum of"),
        (
            train(shard_examples=[4, -1]),
            "train.shard_examples.1 must be greater than or equal to 0",
        ),
        (train(shard_bytes=[9]), "train.shard_bytes must be empty or of length 2"),
        (train(sha256=["ab"]), "train.sha256 must be empty or of length 2"),
        (train(class_pixels=[1]), "train.class_pixels must be empty or of length 2"),
        (train(max_size=[1]), "train.max_size.1 must be given"),
        (train(shards=["../a", "b"]), "shard '../a' cannot be a file name"),
        ({"splits": {"../a": vars(Split(num_examples=0, shards=()))}}, "split '../a'"),
    ],
)
def test_wrong_field_is_named(tmp_path, change, message):
    values = example_info().to_dict() | change
    (tmp_path / "dataset.json").write_text(json.dumps(values))
    with pytest.raises(UserError, match=message) as error:
        dataset_info.load(tmp_path)
    assert str(error.value).startswith(str(tmp_path / "dataset.json"))


@pytest.mark.parametrize("content", [None, "{", "[]"])
def test_missing_or_corrupt_file(tmp_path, content):
    if content is not None:
        (tmp_path / "dataset.json").write_text(content)
    with pytest.raises(UserError, match=r"dataset\.json"):
        dataset_info.load(tmp_path)
