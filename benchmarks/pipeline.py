"""How many training pictures a second the input pipeline makes.

    python benchmarks/pipeline.py [--dataset_dir=OUT] [--batches=40]

For each crop size: images a second, and milliseconds of processor time an image,
which a busy machine changes less. `decode` only parses and decodes the records;
`defaults` is training's own pipeline; the others add one option each. Without a data
set it writes 64 JPEG pictures of VOC's usual size, 375 x 500. Prints JSON.
"""

import argparse
import io
import itertools
import json
import pathlib
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from deeplab_tf.config import Config
from deeplab_tf.data import dataset_info, pipeline, records
from deeplab_tf.data.dataset_info import DatasetInfo, Split
from deeplab_tf.network import backbones

BATCH_SIZE = 8
WARM_UP = 5  # batches; the first fill the buffers
OPTIONS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "photometric": {"augment.photometric": 0.5},
    "rotation": {"augment.rotation": 10.0},
    "blur": {"augment.blur": 1.0},
    "class_balanced_crops": {"augment.class_balanced_crops": 1.0},
    "cutmix": {"augment.mixing": "cutmix"},
    "classmix": {"augment.mixing": "classmix"},
    "copy_paste": {"augment.mixing": "copy_paste"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset_dir", default="")
    parser.add_argument("--crop_sizes", default="257,513")
    parser.add_argument("--batches", type=int, default=40)
    arguments = parser.parse_args()
    crops = [int(size) for size in arguments.crop_sizes.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        dataset_dir = arguments.dataset_dir or made_up(folder)
        result = measure(dataset_dir, crops, arguments.batches)
    print(json.dumps(result, indent=1))


def measure(dataset_dir: str, crops: list[int], batches: int) -> dict[str, Any]:
    info = dataset_info.load(dataset_dir)
    result: dict[str, Any] = {"data_set": info.name, "batch_size": BATCH_SIZE}
    result["decode"] = rates(decoded(dataset_dir, info), batches * BATCH_SIZE, 1)
    for crop in crops:
        result[f"crop_{crop}"] = {
            name: rates(iter(training(dataset_dir, info, crop, changes)), batches)
            for name, changes in OPTIONS.items()
        }
    return result


def rates(
    stream: Iterator[Any], count: int, size: int = BATCH_SIZE
) -> dict[str, float]:
    """Images a second and processor milliseconds an image, of `count` elements."""
    for _ in range(WARM_UP):
        next(stream)
    processor, clock = time.process_time(), time.perf_counter()
    for _ in itertools.islice(stream, count):
        pass
    processor, clock = time.process_time() - processor, time.perf_counter() - clock
    return {
        "images_per_second": round(count * size / clock, 1),
        "processor_ms_per_image": round(1e3 * processor / count / size, 2),
    }


def decoded(dataset_dir: str, info: DatasetInfo) -> Iterator[Any]:
    paths = dataset_info.shard_paths(dataset_dir, info, "train")
    parse = records.make_parser(info.channels, info.ignore_label, bits=info.bits)
    examples = tf.data.TFRecordDataset(paths).repeat()
    return iter(examples.map(parse, num_parallel_calls=tf.data.AUTOTUNE).prefetch(16))


def training(
    dataset_dir: str, info: DatasetInfo, crop: int, changes: dict[str, Any]
) -> tf.data.Dataset:
    config = Config().replace(
        {
            "data.dataset_dir": dataset_dir,
            "data.crop_size": (crop, crop),
            "train.batch_size": BATCH_SIZE,
            **changes,
        }
    )
    return pipeline.make_train_dataset(
        config, info, fill=backbones.get_spec(config.model.backbone).mean
    )


def made_up(folder: str) -> str:
    """Writes a data set of blurred noise, which compresses like photographs."""
    rng = np.random.default_rng(0)
    path = pathlib.Path(folder) / "train-00000-of-00001.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for number in range(64):
            noise = rng.integers(0, 256, (48, 64, 3)).astype(np.uint8)
            image = Image.fromarray(noise).resize((500, 375), Image.Resampling.BICUBIC)
            blocks = rng.integers(0, 21, (6, 8)).astype(np.uint8)
            labels = Image.fromarray(blocks).resize(
                (500, 375), Image.Resampling.NEAREST
            )
            writer.write(
                records.encode_example(
                    filename=str(number),
                    image=encoded(image, "JPEG", quality=95),
                    image_format="jpeg",
                    size=(375, 500),
                    channels=3,
                    label=encoded(labels, "PNG"),
                )
            )
    info = DatasetInfo(
        name="made up",
        class_names=tuple(map(str, range(21))),
        splits={"train": Split(num_examples=64, shards=(path.name,))},
    )
    dataset_info.save(info, folder)
    return folder


def encoded(picture: Image.Image, image_format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, image_format, **options)
    return buffer.getvalue()


if __name__ == "__main__":
    main()
