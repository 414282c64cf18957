"""What cannot be read is named; the check and the reader object to the same."""

import io
import pathlib
import re

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

from deeplab_tf.config import Config
from deeplab_tf.data import reading, records, tfrecord
from deeplab_tf.data.conversion.png import encode_png
from deeplab_tf.data.conversion.scan import scan
from deeplab_tf.data.dataset_info import DatasetInfo, Split
from deeplab_tf.errors import UserError

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (20, 31, 3)).astype(np.uint8)
LABELS = RNG.choice([0, 1, 2, 255], (20, 31)).astype(np.uint8)
SHARD = "train-00000-of-00001.tfrecord"


def encoded(pixels, kind="PNG", **options):
    buffer = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def palette(pixels, bits=8):
    image = Image.fromarray(pixels)
    image.putpalette(bytes(RNG.permutation(256).astype(np.uint8)) * 3)
    return encoded(image, bits=bits)


def flipped(data, place):
    """One bit of the byte at the place is another."""
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def write(folder, *examples):
    """A shard of three good examples, but for what is given as the second."""
    good = {"image": encoded(RGB), "label": encoded(LABELS)}
    with (folder / SHARD).open("wb") as file:
        for number, changes in enumerate([{}, *examples, {}]):
            record = changes
            if isinstance(changes, dict):
                record = records.encode_example(
                    filename=f"street {number}",
                    image_format="png",
                    size=(20, 31),
                    channels=3,
                    **(good | changes),
                )
            tfrecord.write_record(file, record)
    split = Split(num_examples=2 + len(examples), shards=(SHARD,))
    return DatasetInfo(name="any", class_names=("a", "b", "c"), splits={"train": split})


def read(folder, info):
    return list(reading.read_split(str(folder), info, "train", "test"))


def faults(folder, info):
    audit, _ = scan(info, pathlib.Path(folder), {"train": [SHARD]}, workers=1)
    return [error["message"] for error in audit.errors]


JPEG = encoded(RGB, "JPEG")
GOOD = records.encode_example(
    filename="street 1",
    image=encoded(RGB),
    image_format="png",
    size=(20, 31),
    channels=3,
    label=encoded(LABELS),
)
BAD = {
    "no label": {"label": None},
    "palette": {"label": palette(LABELS)},
    "palette of 2 bits": {"label": palette(LABELS % 4, bits=2)},
    "black and white": {"label": encoded(Image.fromarray(LABELS > 1))},
    "16 bits": {"label": encode_png(LABELS.astype(np.uint16)[:, :, None])},
    "label of colours": {"label": encoded(RGB)},
    "label as JPEG": {"label": encoded(LABELS, "JPEG")},
    "checksum of a label": {"label": flipped(encoded(LABELS), 45)},
    "checksum of an image": {"image": flipped(encoded(RGB), -20)},
    "end of a label": {"label": encoded(LABELS)[:-12]},
    "end of a PNG": {"image": encoded(RGB)[:-12]},
    "end of a JPEG": {"image": JPEG[:-2]},
    "half a JPEG": {"image": JPEG[: len(JPEG) // 2]},
    "TIFF": {"image": encoded(RGB, "TIFF")},
    "no picture": {"image": b"hello"},
    "nothing": {"image": b""},
    "no example": b"\x0ahello",
    "strange entry": GOOD.replace(b"image/channels\x12", b"image/channels\x32"),
    "no text either": GOOD[:3] + b"\x12" + GOOD[4:],  # what it quotes is binary
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_example_is_named_by_check_and_reader(tmp_path, kind):
    info = write(tmp_path, BAD[kind])
    place = f"{tmp_path / SHARD}, record 1"
    with pytest.raises(UserError) as error:
        read(tmp_path, info)
    message = str(error.value)
    unnamed = kind in ("no example", "strange entry", "no text either")
    named = "no example" if unnamed else "street 1"
    assert message.startswith(f"{place} ({named}) cannot be read: ")
    assert message.isprintable()
    assert not any(machinery in message for machinery in ("{{", "[[", "Op:"))
    found = faults(tmp_path, info)
    if kind != "no label":  # to the check, a split without labels may be meant
        assert [text.split(" (")[0].split(":")[0] for text in found] == [place]


@pytest.mark.parametrize("kind", ["checksum of an image", "no text either"])
def test_bad_example_is_named_by_what_reads_crops(tmp_path, kind):
    info = write(tmp_path, BAD[kind])
    config = Config().replace(
        {"data.dataset_dir": str(tmp_path), "train.batch_size": 3}
    )
    place = re.escape(f"{tmp_path / SHARD}, record 1 (")
    with pytest.raises(UserError, match=place):
        list(reading.read_crops(config, info, 1, fill=(0, 0, 0)))


def test_what_iterates_goes_through_reading():
    """Else a damaged record ends in a traceback of TensorFlow's that names nothing."""
    library = ROOT / "deeplab_tf"
    found = {
        str(path.relative_to(library))
        for path in library.rglob("*.py")
        if re.search(r"make_(train|eval)_dataset", path.read_text())
    }
    makers = {"data/__init__.py", "data/pipeline.py", "data/reading.py"}
    # These two hand the batches to a step that computes, too, and sort what it raises.
    assert found == makers | {"training/loop.py", "training/pace.py"}


def test_a_name_that_is_no_text_is_marked(tmp_path):
    record = GOOD.replace(b"street 1", b"street \xff")
    info = write(tmp_path, record)
    names = [records.name_of(example) for example in read(tmp_path, info)]
    assert names == ["street 0", "street \ufffd", "street 2"]
    assert records.name_of(records.decode_example(record)) == "street \ufffd"


def test_good_examples_are_read_and_pass_the_check(tmp_path):
    info = write(tmp_path, {"image": JPEG}, {"image": encoded(RGB[:, :, 0])})
    examples = read(tmp_path, info)
    assert len(examples) == 4
    for example in examples:
        np.testing.assert_array_equal(example["labels"], LABELS)
    assert faults(tmp_path, info) == []


@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_damaged_shard_is_named(tmp_path, damage):
    info = write(tmp_path, {})
    path = tmp_path / SHARD
    data = path.read_bytes()
    half = len(data) // 2
    path.write_bytes(data[:-7] if damage == "cut" else flipped(data, half))
    with pytest.raises(UserError, match="truncated or corrupt at byte") as error:
        read(tmp_path, info)
    assert str(error.value).startswith(str(path))
