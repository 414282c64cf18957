"""A data set of a few small pictures, for tests of what reads data sets."""

import io
import os

import numpy as np
from PIL import Image

from deeplab_tf.data import dataset_info, records
from deeplab_tf.data.dataset_info import DatasetInfo, Split

VOID = 255
NUM_CLASSES = 3


def png(array):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


def picture(rng):
    """Grey ground with a red and a blue box, one of them possibly hidden; odd sizes."""
    height, width = rng.integers(50, 70, 2)
    labels = np.zeros((height, width), np.uint8)
    image = rng.integers(90, 140, (height, width, 3)).astype(np.uint8)
    for label, channel in ((1, 0), (2, 2)):
        top, left = rng.integers(0, 30, 2)
        labels[top : top + 25, left : left + 25] = label
        image[top : top + 25, left : left + 25] = 40
        image[top : top + 25, left : left + 25, channel] = 220
    labels[0] = VOID
    return image, labels


def example(name, image, labels):
    return records.encode_example(
        filename=name,
        image=png(image),
        image_format="png",
        size=labels.shape,
        channels=3,
        label=png(labels),
    )


def write(folder, splits=(("train", 10, 3), ("val", 4, 1)), seed=0):
    """Writes (split, examples, shards) and dataset.json; returns the info."""
    import tensorflow as tf

    rng = np.random.default_rng(seed)
    described = {}
    for split, count, shards in splits:
        names = [f"{split}-{i:05d}-of-{shards:05d}.tfrecord" for i in range(shards)]
        writers = [tf.io.TFRecordWriter(os.path.join(folder, name)) for name in names]
        for number in range(count):
            data = example(f"{split}_{number}", *picture(rng))
            writers[number % shards].write(data)
        for writer in writers:
            writer.close()
        described[split] = Split(num_examples=count, shards=tuple(names))
    info = DatasetInfo(
        name="tiny", class_names=("ground", "red", "blue"), splits=described
    )
    dataset_info.save(info, os.fspath(folder))
    return info
