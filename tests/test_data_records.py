"""Records written without TensorFlow are what TensorFlow and other readers expect."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from deeplab_tf.data import records, tfrecord


def encoded(pixels, kind="PNG", **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def random_example(rng, size=(33, 41), label=True, **changes):
    image = rng.integers(0, 256, (*size, 3)).astype(np.uint8)
    labels = rng.integers(0, 22, size).astype(np.uint8)
    arguments = {
        "filename": "naïve",
        "image": encoded(image),
        "image_format": "png",
        "size": size,
        "channels": 3,
        "label": encoded(labels) if label else None,
    }
    return image, labels, records.encode_example(**(arguments | changes))


def parse(serialized, **options):
    parsed = tf.data.Dataset.from_tensors(serialized).map(
        records.make_parser(**options)
    )
    return next(iter(parsed.as_numpy_iterator()))


def test_shard_is_the_bytes_that_tensorflow_writes(tmp_path):
    rng = np.random.default_rng(1)
    contents = [rng.bytes(n) for n in [*range(20), 1000, 4097, 65536]]
    with (tmp_path / "ours").open("wb") as file:
        for content in contents:
            tfrecord.write_record(file, content)
    with tf.io.TFRecordWriter(str(tmp_path / "theirs")) as writer:
        for content in contents:
            writer.write(content)
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()
    assert list(tfrecord.read_records(tmp_path / "theirs")) == contents


@pytest.mark.parametrize("size", [(33, 41), (700, 300)])
def test_example_is_the_bytes_of_the_protocol_buffer(size):
    *_, serialized = random_example(np.random.default_rng(2), size)
    message = tf.train.Example.FromString(serialized)
    assert message.SerializeToString(deterministic=True) == serialized
    feature = message.features.feature
    assert feature["image/filename"].bytes_list.value[0].decode() == "naïve"
    assert list(feature["image/height"].int64_list.value) == [size[0]]
    assert list(feature["image/width"].int64_list.value) == [size[1]]


def test_research_deeplab_reads_it():
    """The feature specification of the released code's data generator."""
    image, labels, serialized = random_example(np.random.default_rng(3))
    text = tf.io.FixedLenFeature((), tf.string, default_value="")
    features = tf.io.parse_single_example(
        serialized,
        {
            "image/encoded": text,
            "image/filename": text,
            "image/format": tf.io.FixedLenFeature((), tf.string, "jpeg"),
            "image/height": tf.io.FixedLenFeature((), tf.int64, 0),
            "image/width": tf.io.FixedLenFeature((), tf.int64, 0),
            "image/segmentation/class/encoded": text,
            "image/segmentation/class/format": tf.io.FixedLenFeature(
                (), tf.string, "png"
            ),
        },
    )
    np.testing.assert_array_equal(
        tf.io.decode_png(features["image/segmentation/class/encoded"])[:, :, 0], labels
    )
    np.testing.assert_array_equal(tf.io.decode_image(features["image/encoded"]), image)


def test_parser_gives_the_pixels():
    image, labels, serialized = random_example(np.random.default_rng(4))
    example = parse(serialized)
    np.testing.assert_array_equal(example["image"], image)
    np.testing.assert_array_equal(example["labels"], labels)
    assert example["image"].dtype == np.uint8
    assert example["labels"].dtype == np.int32
    assert example["filename"].decode() == "naïve"


def test_jpeg_is_decoded_as_pillow_does():
    rng = np.random.default_rng(5)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3)).astype(np.uint8))
    jpeg = encoded(np.asarray(coarse.resize((41, 33))), "JPEG", quality=60)
    *_, serialized = random_example(rng, image=jpeg, image_format="jpeg")
    expected = np.asarray(Image.open(io.BytesIO(jpeg)))
    np.testing.assert_array_equal(parse(serialized)["image"], expected)


def test_split_without_labels_is_all_void():
    image, _, serialized = random_example(np.random.default_rng(6), label=False)
    example = parse(serialized, has_labels=False, ignore_label=77)
    np.testing.assert_array_equal(example["image"], image)
    np.testing.assert_array_equal(example["labels"], np.full((33, 41), 77))


def test_grey_file_is_read_with_three_channels():
    rng = np.random.default_rng(7)
    grey = rng.integers(0, 256, (33, 41)).astype(np.uint8)
    *_, serialized = random_example(rng, image=encoded(grey))
    expected = np.repeat(grey[:, :, None], 3, axis=2)
    np.testing.assert_array_equal(parse(serialized)["image"], expected)


@pytest.mark.parametrize(
    ("channels", "bits", "dtype", "largest"),
    [(5, 8, "<u1", 255), (5, 16, "<u2", 65535), (5, 32, "<f4", 255), (3, 32, "<f4", 1)],
)
def test_what_picture_files_cannot_hold_is_stored_raw(channels, bits, dtype, largest):
    rng = np.random.default_rng(8)
    pixels = rng.uniform(0, largest, (33, 41, channels)).astype(dtype)
    *_, serialized = random_example(
        rng, image=pixels.tobytes(), image_format="raw", channels=channels
    )
    image = parse(serialized, channels=channels, bits=bits)["image"]
    expected = pixels.astype(np.float32) / 257 if bits == 16 else pixels
    np.testing.assert_array_equal(image, expected)
