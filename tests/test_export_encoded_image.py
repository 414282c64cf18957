import io
import pathlib
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
import tiny_run
from PIL import Image, ImageOps

from deeplab_tf.export import encoded_image


@tf.function(input_signature=[tf.TensorSpec([], tf.string)])
def decode(contents):
    size, orientation = encoded_image.header(contents)
    contents = encoded_image.check_size(
        contents, size[None], tf.constant(1), max_side=3000, max_pixels=5_000_000
    )
    return encoded_image.decode(contents, size, orientation, 3)


def encode(picture, kind="JPEG", **options):
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, kind, **options)
    return buffer.getvalue()


def exif(orientation, order="little"):
    """An EXIF segment as Pillow writes it, or the same in the other byte order."""
    tags = Image.Exif()
    tags[0x010F] = "a camera"
    tags[0x0112] = orientation
    tags.endian = {"little": "<", "big": ">"}[order]
    return tags.tobytes()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(orientation):
    contents = encode(tiny_run.pictures(20, 33)[0], exif=exif(orientation))
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(contents)))
    np.testing.assert_array_equal(decode(contents), np.asarray(upright))


def test_big_endian_exif():
    contents = encode(tiny_run.pictures(20, 33)[0], exif=exif(6, "big"))
    assert b"MM\0*" in contents[:64]
    assert decode(contents).shape == (33, 20, 3)


def test_damaged_exif_is_no_orientation():
    contents = bytearray(encode(tiny_run.pictures(20, 33)[0], exif=exif(6)))
    tiff = contents.index(b"Exif\0\0") + 6
    contents[tiff + 4 : tiff + 8] = b"\xff\xff\xff\x7f"  # a directory beyond the end
    assert decode(bytes(contents)).shape == (20, 33, 3)


def test_png():
    picture = tiny_run.pictures(20, 33)[0]
    np.testing.assert_array_equal(decode(encode(picture, "PNG")), picture)


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"", "neither a JPEG nor a PNG"),
        (b"GIF89a...", "neither a JPEG nor a PNG"),
        (encode(np.zeros((8, 8, 3), np.uint8), "BMP"), "neither a JPEG nor a PNG"),
        (encode(tiny_run.pictures(90, 90)[0])[:900], "Invalid JPEG data"),
        (encode(tiny_run.pictures(90, 90)[0], "PNG")[:900], "Invalid PNG data"),
        (encode(np.zeros((2, 3001, 3), np.uint8)), "3000"),
        (encode(np.zeros((2, 3001, 3), np.uint8), "PNG"), "3000"),
        (encode(np.zeros((2500, 2500), np.uint8), "PNG"), "5000000"),
    ],
)
def test_bad_bytes(contents, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        decode(contents)


def chunk(kind, content):
    """A chunk of a PNG, with its checksum."""
    crc = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc)


def small(kind, **options):
    return encode(tiny_run.pictures(20, 33)[0], kind, **options)


def test_a_chunk_before_the_header_does_not_hide_the_size():
    """Where the size stands in a usual PNG, this one says 1 x 1."""
    whole = encode(np.zeros((2500, 2500), np.uint8), "PNG")
    decoy = chunk(b"teXt", struct.pack(">II", 1, 1))
    assert tf.io.decode_png(whole[:8] + decoy + whole[8:]).shape == (2500, 2500, 1)
    with pytest.raises(tf.errors.InvalidArgumentError, match="not begin with its size"):
        decode(whole[:8] + decoy + whole[8:])


def with_segments(count, length=2):
    """A JPEG with comments of so many bytes before all else."""
    segment = b"\xff\xfe" + struct.pack(">H", length) + bytes(max(length - 2, 0))
    whole = small("JPEG", exif=exif(6))
    return whole[:2] + count * segment + whole[2:]


def test_orientation_behind_many_segments():
    assert decode(with_segments(40)).shape == (33, 20, 3)


def test_segments_are_not_walked_for_ever():
    """Beyond those that cameras write, the picture is taken as it lies."""
    assert decode(with_segments(20_000)).shape == (20, 33, 3)


def test_scans_are_counted():
    """Each costs a pass over all pixels."""
    assert decode(small("JPEG", progressive=True)).shape == (20, 33, 3)
    whole = small("JPEG", progressive=True)
    scan = whole[whole.rindex(b"\xff\xda") : -2]
    for count, fine in ((3, True), (100, False)):
        contents = whole[:-2] + count * scan + whole[-2:]
        if fine:
            assert decode(contents).shape == (20, 33, 3)
        else:
            with pytest.raises(tf.errors.InvalidArgumentError, match=r"64.*scans"):
                decode(contents)


def test_pixels_are_held_against_the_header():
    contents = tf.constant(small("PNG"))
    with pytest.raises(tf.errors.InvalidArgumentError, match="header says"):
        encoded_image.decode(contents, tf.constant([20, 32]), tf.constant(1), 3)


@pytest.mark.parametrize("ending", [b"", bytes(4), bytes(100)])
def test_the_first_bytes_alone_are_no_picture(ending):
    for head in (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"):
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"Invalid (PNG|JPEG)"):
            decode(head + ending)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF:UserWarning")
def test_real_pictures_as_pillow_sees_them(shared_dir):
    """Every JPEG of the awkward collection has Pillow's upright size, or is refused."""
    paths = sorted(pathlib.Path(shared_dir, "data", "odd_images").glob("*.jpg"))
    for path in paths:
        try:
            size = decode(path.read_bytes()).shape[1::-1]
        except tf.errors.InvalidArgumentError:
            with pytest.raises(OSError, match="truncated"), Image.open(path) as picture:
                picture.load()
            continue
        with Image.open(path) as picture:
            assert ImageOps.exif_transpose(picture).size == size, path.name
    assert paths
