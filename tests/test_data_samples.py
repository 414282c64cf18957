"""Files that are no files, arrays that are no arrays: a fault of one example."""

import contextlib
import io
import os
import struct

import numpy as np
import pytest

from deeplab_tf.data import records, tfrecord
from deeplab_tf.data.conversion import shards
from deeplab_tf.data.conversion.samples import FileSample, SampleError
from deeplab_tf.data.dataset_info import DatasetInfo
from deeplab_tf.errors import UserError

INFO = DatasetInfo(name="any", class_names=("a", "b"))


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def header(text):
    text = text.encode().ljust(118) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def described(shape, dtype="|u1"):
    return header(f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}}}")


ARRAYS = {
    "empty": b"",
    "signature alone": b"\x93NUMPY",
    "hugely declared": described("(1 << 40, 3, 3)"),
    "huge": described("(1099511627776, 1099511627776, 3)"),
    "negative": described("(-1, 2, 3)") + bytes(6),
    "zero side": described("(0, 5, 3)"),
    "too short": described("(2, 2, 3)") + bytes(11),
    "too long": described("(2, 2, 3)") + bytes(13),
    "objects": npy(np.array([{}, []], object)),
    "a text for a header": header("hello"),
    "an open bracket": header("(" * 100),
    "lines in the type": described("(2, 2, 3)", "|u\\x0c1\\n"),
    "archive": b"PK\x03\x04" + bytes(60),
}


def sample(path, label=None):
    return FileSample(name="x", image_path=str(path), label_path=label)


@pytest.mark.parametrize("kind", ARRAYS)
def test_odd_arrays_are_faults(tmp_path, kind):
    path = tmp_path / "x.npy"
    path.write_bytes(ARRAYS[kind])
    with pytest.raises(SampleError, match=r"^/.*/x\.npy: cannot be read: ") as error:
        sample(path).image()
    assert str(error.value).isprintable()


@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_are_read_as_numpy_does(tmp_path, order):
    array = np.random.default_rng(0).integers(0, 9, (4, 5, 3)).astype(">u2")
    np.save(tmp_path / "x.npy", np.asarray(array, order=order))
    found = sample(tmp_path / "x.npy").image()
    np.testing.assert_array_equal(found, array)
    assert found.dtype == array.dtype


def test_pipes_and_devices_are_faults(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "endless.png").symlink_to("/dev/zero")
    (tmp_path / "folder.png").mkdir()
    for path in tmp_path.iterdir():
        with pytest.raises(SampleError, match="cannot be read") as error:
            sample(path).image()
        assert error.value.kind == "unreadable_image"


def test_the_unexpected_is_a_fault_of_the_example():
    class Odd(FileSample):
        def image(self):
            raise RecursionError("strange\nthing")

    fact, record = shards.convert_sample(
        Odd(name="x", image_path="a.png", label_path=None), INFO
    )
    assert record is None
    assert fact["fault"] == (
        "unexpected",
        "a.png: cannot be used: RecursionError: strange\nthing",
    )


@pytest.mark.parametrize(
    "record",
    [
        b"\x80" * 1_000_000,  # a number without an end
        bytes([8, *[255] * 8, 127]),  # bytes(n) would take as many
        b"\x0a\x0c\x0a\x0a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x10\x01",
        b"\x0a\x04\x0a\x02\x12\x00",  # a feature without a key
    ],
)
def test_strange_records_hold_nothing(record):
    with contextlib.suppress(UserError):
        assert records.decode_example(record) == {}


def test_a_record_of_a_declared_length_takes_no_memory(tmp_path):
    length = struct.pack("<Q", 1 << 62)
    masked = tfrecord._masked_crc(length)
    (tmp_path / "x").write_bytes(length + masked + bytes(100))
    with pytest.raises(UserError, match="truncated or corrupt at byte 0"):
        list(tfrecord.read_records(tmp_path / "x"))
