"""browse.py and describe.py: what they read, write and refuse."""

import base64
import io
import json
import re
import shutil

import numpy as np
import pytest
import tiny_dataset
from conversion_runs import contents, convert, examples, refused
from PIL import Image

from deeplab_tf.data import dataset_info, tfrecord


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shapes")
    convert("--dataset=shapes", "--num_examples=8", f"--output_dir={folder}")
    return folder


def browse(*arguments):
    return convert(*arguments, script="browse.py")


def test_page_stands_alone_and_shows_every_split(shapes, tmp_path):
    page = tmp_path / "page.html"
    browse(f"--dataset_dir={shapes}", f"--output={page}", "--num_examples=3")
    text = page.read_text()
    pictures = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', text)
    assert len(pictures) == 2 * (3 + 2)  # picture and overlay; val has two examples
    assert not re.findall(r'(?:src|href)="(?!data:|#)', text)
    info = dataset_info.load(shapes)
    rows = dict(re.findall(r"</i>(\w+)</td>(.*?)</tr>", text))
    for value, name in enumerate(info.class_names):
        shares = re.findall(r"--v:([\d.]+)px", rows[name])
        counts = [split.class_pixels for split in info.splits.values()]
        expected = [160 * pixels[value] / sum(pixels) for pixels in counts]
        np.testing.assert_allclose(np.array(shares, float), expected, atol=0.05)
    image = Image.open(io.BytesIO(base64.b64decode(pictures[0])))
    assert max(image.size) <= 240


def test_examples_the_audit_warns_of_come_first(shapes, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(shapes, copy)
    report = json.loads((copy / "audit.json").read_text())
    warning = {"split": "train", "kind": "leak", "message": "<seen> twice."}
    report["warnings"] = [warning | {"example": "train_00006"}]
    (copy / "audit.json").write_text(json.dumps(report))
    page = tmp_path / "page.html"
    browse(f"--dataset_dir={copy}", f"--output={page}", "--num_examples=2")
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", page.read_text())
    assert captions[0] == 'train_00006<br><span class="why">leak</span>'
    assert "&lt;seen&gt; twice." in page.read_text()


def test_sheet_has_a_cell_for_each_example(shapes, tmp_path):
    sheet = tmp_path / "sheet.png"
    browse(f"--dataset_dir={shapes}", f"--output={sheet}", "--splits=train")
    image = Image.open(sheet)
    shown = examples(shapes, "train")
    widths = [example["image"].shape[1] for example in shown.values()]
    assert image.width == 4 * (2 * (max(widths) + 2) + 12)
    first = shown["train_00000"]["image"]
    shown = np.asarray(image)[6 : 6 + first.shape[0], 6 : 6 + first.shape[1]]
    np.testing.assert_array_equal(shown, first)


def test_augmented_crops_have_the_size_of_the_configuration(shapes, tmp_path):
    page = tmp_path / "crops.html"
    browse(
        f"--dataset_dir={shapes}",
        f"--output={page}",
        "--augmented",
        "--num_examples=2",
        "--data.crop_size=97,129",
    )
    pictures = re.findall(r'base64,([^"]+)"', page.read_text())
    assert len(pictures) == 2 * 2
    for picture in pictures:
        image = Image.open(io.BytesIO(base64.b64decode(picture)))
        assert image.size == (129, 97)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--output=page.pdf"], "must end in .html or .png"),
        (["--output=page.html", "--splits=tets"], "split"),
        (["--output=page.html", "--augmented", "--data.crop_size=9"], "crop_size"),
    ],
)
def test_wrong_flags(shapes, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    line = refused(f"--dataset_dir={shapes}", *arguments, script="browse.py")
    assert message in line
    assert not list(tmp_path.iterdir())


# --- describe.py


def describe(folder, *arguments, by=convert):
    return by(f"--dataset_dir={folder}", *arguments, script="describe.py")


def bare_shards(folder):
    """Shards that TensorFlow wrote, without dataset.json; returns what it would say."""
    folder.mkdir()
    info = tiny_dataset.write(folder)
    (folder / "dataset.json").unlink()
    (folder / "classes.json").write_text(
        json.dumps({"name": "tiny", "class_names": info.class_names})
    )
    return info


def test_describe_counts_what_is_there(tmp_path):
    folder = tmp_path / "shards"
    stated = bare_shards(folder)
    describe(folder, f"--classes={folder / 'classes.json'}")
    info = dataset_info.load(folder)
    assert info.class_names == stated.class_names
    for split, facts in stated.splits.items():
        found = examples(folder, split)
        described = info.splits[split]
        assert described.shards == facts.shards
        labels = np.concatenate([e["labels"].ravel() for e in found.values()])
        counts = np.bincount(labels, minlength=256)
        assert described.class_pixels == tuple(counts[:3])
        assert described.ignored_pixels == counts[255]
        sizes = np.array([e["labels"].shape for e in found.values()])
        assert described.max_size == tuple(sizes.max(axis=0))
    convert("--verify", f"--output_dir={folder}")


def test_describe_reads_the_released_converters_shard(shared_dir, tmp_path):
    """Its label values are noise up to 254, so with 255 classes it is in order."""
    folder = tmp_path / "released"
    folder.mkdir()
    for path in (shared_dir / "data" / "research_deeplab_tfrecord").iterdir():
        shutil.copyfile(path, folder / path.name)
    line = describe(folder, "--like=voc2012", by=refused)
    assert "val-00000-of-00001.tfrecord, record 0 (2007_000033)" in line
    assert "allowed are 0..20" in line
    names = tmp_path / "classes.json"
    names.write_text(json.dumps({"class_names": [str(i) for i in range(255)]}))
    describe(folder, f"--classes={names}")
    found = examples(folder, "val")
    assert list(found) == ["2007_000033", "2007_000042", "2007_000061"]
    assert dataset_info.load(folder).splits["val"].num_examples == 3


def missing_shard(folder):
    (folder / "train-00001-of-00003.tfrecord").unlink()
    return "split 'train' has 2 shards, but their names say 00003"


def cut_shard(folder):
    path = folder / "train-00001-of-00003.tfrecord"
    path.write_bytes(path.read_bytes()[:-9])
    return f"{path}: truncated or corrupt"


def palette_label(folder):
    rng = np.random.default_rng(0)
    labels = Image.fromarray(rng.integers(0, 3, (9, 9)).astype(np.uint8))
    labels.putpalette(bytes(range(9)))
    buffer = io.BytesIO()
    labels.save(buffer, "PNG")
    record = tiny_dataset.records.encode_example(
        filename="x",
        image=tiny_dataset.png(np.zeros((9, 9, 3), np.uint8)),
        image_format="png",
        size=(9, 9),
        channels=3,
        label=buffer.getvalue(),
    )
    with (folder / "val-00000-of-00001.tfrecord").open("wb") as file:
        tfrecord.write_record(file, record)
    return "its label is no grey PNG of 8 bits a pixel"


def no_example(folder):
    with (folder / "val-00000-of-00001.tfrecord").open("wb") as file:
        tfrecord.write_record(file, b"no protocol buffer")
    return "record 0: a record holds no tf.train.Example"


@pytest.mark.parametrize("fault", [missing_shard, cut_shard, palette_label, no_example])
def test_describe_refuses(tmp_path, fault):
    folder = tmp_path / "shards"
    bare_shards(folder)
    message = fault(folder)
    before = contents(folder)
    assert message in describe(
        folder, f"--classes={folder / 'classes.json'}", by=refused
    )
    assert contents(folder) == before
