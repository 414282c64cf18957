"""How much of an evaluation is not the network; how fast pixels are counted.

Prints JSON. Times are of this machine, as busy as it is: compare inside one run. All
but the wall times are processor time of all threads, which other programs disturb
less than the clock.

Example:
  python benchmarks/evaluation.py --backbone=mobilenet_v2 --pictures=24
"""

import json
import pathlib
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from absl import flags as absl_flags

from deeplab_tf import cli

FLAGS = absl_flags.FLAGS
absl_flags.DEFINE_string("backbone", "mobilenet_v2", "Of the network.")
absl_flags.DEFINE_list("size", ["375", "500"], "height,width of the pictures.")
absl_flags.DEFINE_integer("pictures", 16, "How many.", lower_bound=1)
absl_flags.DEFINE_integer("repeats", 3, "Passes; the fastest counts.", lower_bound=1)
_CLASSES, _VOID = 21, 255


def main() -> None:
    cli.import_tensorflow()
    size = int(FLAGS.size[0]), int(FLAGS.size[1])
    with tempfile.TemporaryDirectory() as folder:
        evaluation = _evaluation(pathlib.Path(folder), size)
    result = {
        "counting_mpixel_per_second": _counting(),
        "trimap_distances_ms": _distances(),
        "interval_ms": _interval(),
        "evaluation": evaluation,
    }
    print(json.dumps(result, indent=2))


def _maps(rng: np.random.Generator, size: tuple[int, int]) -> tuple[np.ndarray, ...]:
    """Labels of some forty areas, and predictions with shifted outlines and noise."""
    from PIL import Image

    coarse = rng.integers(0, _CLASSES, (5, 8)).astype(np.uint8)
    labels = np.array(Image.fromarray(coarse).resize(size[::-1], 0))
    labels[:8] = _VOID
    predictions = np.roll(np.where(labels == _VOID, 0, labels), 3, 1)
    noise = rng.random(size) < 0.005
    predictions[noise] = rng.integers(0, _CLASSES, noise.sum())
    return labels, predictions


def _counting() -> dict[str, float]:
    """Mpixel a second on one core, against what else could be done."""
    from sklearn.metrics import confusion_matrix

    from deeplab_tf.evaluation import metrics

    labels, predictions = _maps(np.random.default_rng(0), (1024, 2048))

    def masked_bincount() -> np.ndarray:
        valid = labels != _VOID
        cells = labels[valid].astype(np.int64) * _CLASSES + predictions[valid]
        return np.bincount(cells, minlength=_CLASSES**2)

    calls: dict[str, Callable[[], Any]] = {
        "this project": lambda: metrics.confusion_matrix(
            labels, predictions, _CLASSES, _VOID
        ),
        "masked bincount": masked_bincount,
        "scikit-learn": lambda: confusion_matrix(
            labels.ravel(), predictions.ravel(), labels=range(_CLASSES)
        ),
    }
    return {
        name: round(labels.size / _fastest(call, 3) / 1e6, 1)
        for name, call in calls.items()
    }


def _milliseconds(calls: dict[str, Callable[[], Any]]) -> dict[str, float]:
    return {name: round(1e3 * _fastest(call, 2), 2) for name, call in calls.items()}


def _distances() -> dict[str, float]:
    """Of a 375 x 500 label map, up to 40 pixels; the first two give the same map."""
    from scipy import ndimage

    from deeplab_tf.evaluation import boundary

    labels, _ = _maps(np.random.default_rng(0), (375, 500))
    edges = boundary.find_edges(labels)

    def by_class() -> np.ndarray:
        total = np.zeros(labels.shape, np.int32)
        for c in np.unique(labels):
            total += ndimage.distance_transform_cdt(labels == c, "chessboard")
        return total

    return _milliseconds(
        {
            "this project": lambda: boundary.distance_to_other(labels, 40),
            "SciPy, class by class": by_class,
            "SciPy, Euclidean, of edges": lambda: ndimage.distance_transform_edt(
                ~edges
            ),
        }
    )


def _interval() -> dict[str, float]:
    """The 95 % interval of 2000 draws from as many counts as ADE20K's val gives."""
    from scipy import stats

    from deeplab_tf.evaluation import metrics, significance

    pixels = np.random.default_rng(0).integers(0, 1000, (2000, 3, 150))
    pixels[:, 1:] += pixels[:, :1]
    images = (np.arange(len(pixels)),)

    def miou(chosen: np.ndarray, axis: int) -> np.ndarray:
        return metrics.mean_iou(pixels[np.moveaxis(chosen, axis, -1)].sum(-3))

    return _milliseconds(
        {
            "this project": lambda: significance.interval(pixels),
            "SciPy": lambda: stats.bootstrap(
                images,
                miou,
                n_resamples=significance.DRAWS,
                batch=20,
                method="percentile",
                vectorized=True,
            ),
        }
    )


def _evaluation(folder: pathlib.Path, size: tuple[int, int]) -> dict[str, Any]:
    from deeplab_tf import config
    from deeplab_tf.data import dataset_info
    from deeplab_tf.evaluation import evaluate
    from deeplab_tf.inference import predictor
    from deeplab_tf.network.deeplab import build_model

    pictures = list(_write(folder, size))
    info = dataset_info.load(folder)
    model = build_model(config.Model(backbone=FLAGS.backbone), _CLASSES)
    # Random weights would predict noise, whose many edges no trained network has.
    classifier = model.get_layer("logits")
    classifier.kernel.assign(classifier.kernel * 0)
    predict = predictor.make_predictor(model, frozen=True)

    def forward() -> None:
        for picture in pictures:
            predict.labels(picture[None])

    def measure(detailed: bool) -> None:
        evaluate.evaluate(predict, str(folder), info, "val", detailed=detailed)

    # In turns, so that a busy spell hits all alike.
    passes: dict[str, Callable[[], None]] = {
        "forward": forward,
        "scores": lambda: measure(False),
        "details": lambda: measure(True),
    }
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in passes}
    for repeat in range(1 + FLAGS.repeats):
        for name, call in passes.items():
            seconds = _seconds(call)
            if repeat:
                times[name].append(seconds)
    wall, processor = (
        {name: min(pair[clock] for pair in pairs) for name, pairs in times.items()}
        for clock in (0, 1)
    )
    return {
        "backbone": FLAGS.backbone,
        "size": size,
        **{
            f"{clock}_ms_per_picture": {
                name: round(1e3 * value / len(pictures), 1)
                for name, value in values.items()
            }
            for clock, values in (("wall", wall), ("processor", processor))
        },
        "share_outside_forward": {
            name: round(1 - processor["forward"] / processor[name], 3)
            for name in ("scores", "details")
        },
    }


def _write(folder: pathlib.Path, size: tuple[int, int]) -> Iterator[np.ndarray]:
    """Writes shards of JPEG pictures with smooth content; yields the pictures."""
    import io

    import tensorflow as tf
    from PIL import Image

    from deeplab_tf.data import dataset_info, records

    rng = np.random.default_rng(1)
    with tf.io.TFRecordWriter(str(folder / "val.tfrecord")) as writer:
        for number in range(FLAGS.pictures):
            labels, _ = _maps(rng, size)
            coarse = rng.uniform(0, 255, (size[0] // 8, size[1] // 8, 3))
            smooth = tf.image.resize(coarse, size, "bicubic").numpy()
            files = []
            for array, kind in ((smooth.clip(0, 255), "JPEG"), (labels, "PNG")):
                buffer = io.BytesIO()
                Image.fromarray(array.astype(np.uint8)).save(buffer, kind)
                files.append(buffer.getvalue())
            writer.write(
                records.encode_example(
                    filename=str(number),
                    image=files[0],
                    image_format="jpeg",
                    size=size,
                    channels=3,
                    label=files[1],
                )
            )
            yield smooth.clip(0, 255).astype(np.uint8)
    split = dataset_info.Split(num_examples=FLAGS.pictures, shards=("val.tfrecord",))
    names = tuple(map(str, range(_CLASSES)))
    info = dataset_info.DatasetInfo(
        name="made up", class_names=names, splits={"val": split}
    )
    dataset_info.save(info, folder)


def _seconds(call: Callable[[], Any]) -> tuple[float, float]:
    """By the clock, and of all threads together."""
    start = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - start[0], time.process_time() - start[1]


def _fastest(call: Callable[[], Any], repeats: int) -> float:
    call()
    return min(_seconds(call)[1] for _ in range(repeats))


if __name__ == "__main__":
    cli.run(main)
