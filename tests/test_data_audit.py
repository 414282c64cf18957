"""The audit finds every planted fault and says what was done about it."""

import json
import shutil

import numpy as np
import pytest
from conversion_runs import contents, convert, examples, refused, save
from PIL import Image

from deeplab_tf.data import dataset_info, tfrecord
from deeplab_tf.data.conversion.audit import Audit
from deeplab_tf.data.dataset_info import DatasetInfo

CLASSES = ["ground", "road", "car", "sky"]
STOPPING = {"missing_image", "missing_label", "size_mismatch", "label_value"}


def clean_folder(root, rng, per_split=6):
    for split in ("train", "val"):
        for i in range(per_split):
            label = rng.choice([0, 1, 2, 3, 255], (24, 32)).astype(np.uint8)
            image = rng.integers(0, 256, (24, 32, 3)).astype(np.uint8)
            save(root / "images" / split / f"{i}.png", image)
            save(root / "labels" / split / f"{i}.png", label)
    (root / "classes.json").write_text(json.dumps({"class_names": CLASSES}))


def plant_faults(root, rng):
    """One of each kind; returns (severity, kind, example) of each."""

    def images(split, name):
        return root / "images" / split / name

    def labels(split, name):
        return root / "labels" / split / name

    def array(*shape):
        return rng.integers(0, 256, shape).astype(np.uint8)

    save(labels("train", "0.png"), np.full((24, 32), 9, np.uint8))
    for i in range(6):  # no sky in val
        label = rng.choice([0, 1, 2, 255], (24, 32)).astype(np.uint8)
        save(labels("val", f"{i}.png"), label)
    images("train", "1.png").unlink()
    labels("train", "2.png").unlink()
    save(labels("train", "3.png"), np.zeros((24, 31), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 3
    save(images("val", "0.png"), array(24, 32, 3), exif=exif)
    deep = rng.integers(0, 1 << 16, (24, 32)).astype(np.uint16)
    save(images("val", "1.png"), deep)
    images("val", "2.png").unlink()
    cmyk = Image.fromarray(array(24, 32, 4), "CMYK")
    cmyk.save(images("val", "2.jpg"))
    save(images("val", "3.png"), array(24, 32, 4))
    save(images("val", "4.png"), array(24, 32))
    blank = np.full((24, 32), 255, np.uint8)
    blank[5, 5] = 1
    save(labels("val", "5.png"), blank)
    shutil.copy(images("train", "4.png"), images("train", "5.png"))
    shutil.copy(images("train", "4.png"), images("val", "5.png"))
    return {
        ("errors", "label_value", "0"),
        ("errors", "missing_image", "1"),
        ("errors", "missing_label", "2"),
        ("errors", "size_mismatch", "3"),
        ("warnings", "absent_class", ""),
        ("warnings", "near_empty", "5"),
        ("warnings", "duplicate", "5"),
        ("warnings", "leak", "5"),
        ("repairs", "exif", "0"),
        ("repairs", "16_bit", "1"),
        ("repairs", "cmyk", "2"),
        ("repairs", "alpha", "3"),
        ("repairs", "grey", "4"),
    }


def found_in(report):
    return {
        (severity, finding["kind"], finding["example"])
        for severity in ("errors", "warnings", "repairs")
        for finding in report[severity]
    }


@pytest.fixture
def faulty(tmp_path):
    rng = np.random.default_rng(1)
    clean_folder(tmp_path / "source", rng)
    return tmp_path / "source", plant_faults(tmp_path / "source", rng)


def arguments(source, output):
    return "--dataset=folder", f"--source_dir={source}", f"--output_dir={output}"


def test_clean_data_have_no_findings(tmp_path):
    clean_folder(tmp_path / "source", np.random.default_rng(2))
    convert(*arguments(tmp_path / "source", tmp_path / "out"), "--audit_only")
    assert sorted(contents(tmp_path / "out")) == ["audit.json"]
    report = json.loads((tmp_path / "out" / "audit.json").read_text())
    assert found_in(report) == set()


def test_every_planted_fault_is_found(faulty, tmp_path):
    source, planted = faulty
    line = refused(*arguments(source, tmp_path / "out"), "--audit_only")
    assert "3 more errors" in line
    report = json.loads((tmp_path / "out" / "audit.json").read_text())
    found = found_in(report)
    assert planted <= found
    # The 16-bit file is grey too; nothing else is found.
    assert found - planted == {("repairs", "grey", "1")}
    for finding in report["errors"] + report["repairs"]:
        assert finding["message"].startswith(str(source))


def test_skip_bad_leaves_out_and_lists(faulty, tmp_path):
    source, planted = faulty
    refused(*arguments(source, tmp_path / "out"))
    convert(*arguments(source, tmp_path / "out"), "--skip_bad")
    assert list(examples(tmp_path / "out", "train")) == ["4", "5"]
    assert len(examples(tmp_path / "out", "val")) == 6
    lines = (tmp_path / "out" / "skipped.jsonl").read_text().splitlines()
    skipped = {
        (json.loads(line)["kind"], json.loads(line)["example"]) for line in lines
    }
    assert skipped == {(kind, name) for s, kind, name in planted if s == "errors"}
    convert("--verify", f"--output_dir={tmp_path / 'out'}")


def test_skip_bad_does_not_make_an_empty_split(tmp_path):
    clean_folder(tmp_path / "source", np.random.default_rng(3), per_split=2)
    for path in (tmp_path / "source" / "labels" / "val").iterdir():
        path.unlink()
    save(tmp_path / "source/labels/val/0.png", np.full((24, 32), 9, np.uint8))
    refused(*arguments(tmp_path / "source", tmp_path / "out"), "--skip_bad")
    assert not (tmp_path / "out" / "dataset.json").exists()


def fact(pixels, size=(10, 10), name="a"):
    return {
        "name": name,
        "image": f"{name}.jpg",
        "label": f"{name}.png",
        "fault": None,
        "size": size,
        "digest": name,
        "notes": (),
        "pixels": pixels,
    }


def test_class_shares_and_weights():
    info = DatasetInfo(name="any", class_names=("a", "b", "c"))
    audit = Audit(info)
    audit.add("train", [fact({"0": 60, "1": 40}), fact({"0": 50, "255": 50}, name="b")])
    audit.finish()
    report = audit.to_dict()["splits"]["train"]
    # Frequency: share of the pixels of the pictures that hold the class.
    frequency = {"a": (60 + 50) / 200, "b": 40 / 100}
    median = (frequency["a"] + frequency["b"]) / 2
    for name, value in frequency.items():
        weight = report["classes"][name]["suggested_weight"]
        assert weight == pytest.approx(median / value, abs=1e-4)
    assert report["classes"]["c"]["suggested_weight"] is None
    assert report["classes"]["a"]["pixel_share"] == (60 + 50) / 200
    assert report["void_share"] == 50 / 200
    assert audit.split_facts("train")["class_pixels"] == (60 + 50, 40, 0)


@pytest.mark.parametrize(
    ("largest", "crop"), [((500, 375), [513, 385]), ((1024, 2048), [769, 769])]
)
def test_suggested_crop_is_a_multiple_of_the_stride_plus_one(largest, crop):
    audit = Audit(DatasetInfo(name="any", class_names=("a",)))
    audit.add("train", [fact({"0": largest[0] * largest[1]}, size=largest)])
    assert audit.to_dict()["splits"]["train"]["suggested_crop_size"] == crop


def test_verify_finds_what_differs(tmp_path):
    clean_folder(tmp_path / "source", np.random.default_rng(4))
    output = tmp_path / "out"
    convert(*arguments(tmp_path / "source", output), "--num_shards=2")
    convert("--verify", f"--output_dir={output}")
    info = dataset_info.load(output)
    first, second = (output / name for name in info.splits["train"].shards)
    kept = first.read_bytes()
    (output / "kept").write_bytes(kept)
    with first.open("wb") as file:  # the same records and size in another order
        for record in reversed(list(tfrecord.read_records(output / "kept"))):
            tfrecord.write_record(file, record)
    assert "sha256" in refused("--verify", f"--output_dir={output}")
    for wrong in (second.read_bytes(), kept[:-1], kept + b"x", b""):
        first.write_bytes(wrong)
        line = refused("--verify", f"--output_dir={output}")
        expected = f"{first}: has {len(wrong)} bytes, but by dataset.json it must have"
        assert line.startswith(f"{expected} {len(kept)}.")
    first.unlink()
    assert f"{first}: missing" in refused("--verify", f"--output_dir={output}")
