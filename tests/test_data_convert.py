"""datasets/convert.py from the outside: shards, atomicity, bad input."""

import json
import pathlib

import numpy as np
import pytest
from conversion_runs import contents, convert, examples, raw_pixels, refused, save

from deeplab_tf.data import dataset_info


def make_folder(root, rng, names=("a", "b", "c", "d", "e"), splits=("train", "val")):
    """Random pictures with three classes and void, in the layout images/<split>."""
    for split in splits:
        for name in names:
            size = rng.integers(20, 40, 2)
            picture = rng.integers(0, 256, (*size, 3)).astype(np.uint8)
            label = rng.choice([0, 1, 2, 255], size).astype(np.uint8)
            save(root / "images" / split / f"{name}.png", picture)
            save(root / "labels" / split / f"{name}.png", label)
    (root / "classes.json").write_text(
        json.dumps({"name": "mine", "class_names": ["ground", "road", "car"]})
    )


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "source"
    make_folder(root, np.random.default_rng(1))
    return root


def run(source, output, *more, by=convert):
    arguments = ["--dataset=folder", f"--source_dir={source}", f"--output_dir={output}"]
    return by(*arguments, *more)


def test_folder_round_trip(folder, tmp_path):
    output = tmp_path / "out"
    run(folder, output)
    info = dataset_info.load(output)
    assert (info.name, info.class_names) == ("mine", ("ground", "road", "car"))
    for split in ("train", "val"):
        found = examples(output, split)
        assert list(found) == ["a", "b", "c", "d", "e"]
        counts = np.zeros(256, int)
        for name, example in found.items():
            files = [
                folder / kind / split / f"{name}.png" for kind in ("images", "labels")
            ]
            np.testing.assert_array_equal(example["image"], raw_pixels(files[0]))
            np.testing.assert_array_equal(example["labels"], raw_pixels(files[1]))
            counts += np.bincount(raw_pixels(files[1]).ravel(), minlength=256)
        assert info.splits[split].class_pixels == tuple(counts[:3])
        assert info.splits[split].ignored_pixels == counts[255]


def test_output_depends_on_input_alone(folder, tmp_path):
    for workers in (1, 2, 3):
        run(folder, tmp_path / str(workers), f"--workers={workers}", "--num_shards=3")
    one = contents(tmp_path / "1")
    assert one == contents(tmp_path / "2") == contents(tmp_path / "3")
    assert sorted(one) == [
        "audit.json",
        "dataset.json",
        "dataset_info.json",
        "features.json",
        *(f"train-0000{i}-of-00003.tfrecord" for i in range(3)),
        *(f"val-0000{i}-of-00003.tfrecord" for i in range(3)),
    ]
    shards = dataset_info.load(tmp_path / "1").splits["train"].shard_examples
    assert sum(shards) == 5
    assert max(shards) - min(shards) == 1


def break_picture(root):
    path = root / "images/val/c.png"
    path.write_bytes(path.read_bytes()[:-40])
    return path, "cannot be decoded"


def remove_picture(root):
    path = root / "images/val/c.png"
    path.unlink()
    return path.with_suffix(".jpg"), "there is no such image"


def remove_label(root):
    path = root / "labels/val/c.png"
    path.unlink()
    return path, "there is no such label"


def resize_label(root):
    path = root / "labels/val/c.png"
    save(path, np.zeros((19, 50), np.uint8))
    return path, "50x19"


def foreign_value(root):
    path = root / "labels/val/c.png"
    labels = raw_pixels(path).copy()
    labels[3, 4] = 3
    save(path, labels)
    return path, "holds 3; allowed are 0..2 and 255"


def colour_label(root):
    path = root / "labels/val/c.png"
    save(path, np.repeat(raw_pixels(path)[:, :, None], 3, axis=2))
    return path, "one class index a pixel; its mode is RGB"


@pytest.mark.parametrize(
    "fault",
    [
        break_picture,
        remove_picture,
        remove_label,
        resize_label,
        foreign_value,
        colour_label,
    ],
)
def test_bad_example_stops_and_nothing_has_a_final_name(folder, tmp_path, fault):
    path, message = fault(folder)
    line = run(folder, tmp_path / "out", by=refused)
    assert line.startswith(str(path))
    assert message in line
    assert [p.name for p in (tmp_path / "out").iterdir()] == [".partial"]


def test_after_mending_the_rest_is_kept(folder, tmp_path):
    path, _ = remove_label(folder)
    run(folder, tmp_path / "out", "--num_shards=5", by=refused)
    save(path, np.ones(raw_pixels(folder / "images/val/c.png").shape[:2], np.uint8))
    done = run(folder, tmp_path / "out", "--num_shards=5")
    assert "9 of 10 shards are there already" in done.stdout
    run(folder, tmp_path / "anew", "--num_shards=5")
    assert contents(tmp_path / "out") == contents(tmp_path / "anew")


def test_finished_data_set_is_never_overwritten(folder, tmp_path):
    run(folder, tmp_path / "out")
    before = contents(tmp_path / "out")
    assert "finished data set already" in run(folder, tmp_path / "out", by=refused)
    assert contents(tmp_path / "out") == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset=foldr"], "Did you mean 'folder'"),
        (["--dataset=shapes"], "--output_dir must name"),
        (["--dataset=voc2012", "--output_dir=x"], "--source_dir must name"),
        (["--dataset=voc2012", "--output_dir=x", "--source_dir=."], "'JPEGImages'"),
        (["--dataset=folder", "--output_dir=x", "--source_dir=."], "holds neither"),
        (["--dataset=shapes", "--val_fraction=0.1"], "val_fraction"),
    ],
)
def test_wrong_flag(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    line = refused(*arguments)
    assert message in line
    assert not list(tmp_path.iterdir())


def test_empty_split(folder, tmp_path):
    for path in [*folder.glob("*/val/*")]:
        path.unlink()
    assert "'val'" in run(folder, tmp_path / "out", by=refused)


@pytest.mark.parametrize(
    ("dataset", "source", "counts"),
    [
        ("voc2012", "VOCdevkit", {"train": 311, "val": 157}),
        ("camvid", "camvid", {"train": 367, "val": 101}),
    ],
)
def test_real_labels_survive_pixel_for_pixel(
    shared_dir, tmp_path, dataset, source, counts
):
    source = shared_dir / "data" / source
    convert(
        f"--dataset={dataset}", f"--source_dir={source}", f"--output_dir={tmp_path}"
    )
    for split, count in counts.items():
        found = examples(tmp_path, split)
        assert len(found) == count
        for name, example in found.items():
            expected = raw_pixels(label_file(source, dataset, split, name))
            if dataset == "camvid":
                expected = np.where(expected == 11, 255, expected)
            np.testing.assert_array_equal(example["labels"], expected)
            assert example["image"].shape == (*expected.shape, 3)


def label_file(source, dataset, split, name) -> pathlib.Path:
    if dataset == "camvid":
        return source / f"{split}annot" / f"{name}.png"
    return source / "VOC2012" / "SegmentationClass" / f"{name}.png"
