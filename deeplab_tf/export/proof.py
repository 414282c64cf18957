"""Measures whether an exported model keeps what the Keras model promises."""

import dataclasses
import itertools
import pathlib

import keras
import numpy as np
import tensorflow as tf

from deeplab_tf import runs
from deeplab_tf.config.options import ExportOptions
from deeplab_tf.data import reading
from deeplab_tf.errors import UserError
from deeplab_tf.export import contract
from deeplab_tf.export.agreement import Agreement, Example, compare
from deeplab_tf.export.tflite import inspection, mediapipe
from deeplab_tf.files import Json
from deeplab_tf.inference import exported, timing
from deeplab_tf.inference.exported import Export
from deeplab_tf.runs import Run


def prove(
    path: pathlib.Path,
    name: pathlib.Path,
    model: keras.Model,
    run: Run,
    options: ExportOptions,
) -> Json:
    """Opens what was written, compares it with Keras and reports.

    Args:
      path: where it lies now.
      name: the path that it is to have, for messages and the report.
      model: its Keras model.
      run: the run.
      options: pictures, limits and, where it has them, scales and flip.

    Raises:
      UserError: the export breaks what export/README.md says of its format, or is
        worse than Keras.
    """
    opened = exported.open_export(str(path))
    contract.require(opened, run, options)
    averaging = {
        key: getattr(options, key)
        for key in ("scales", "flip")
        if hasattr(options, key)
    }
    examples = sample(run, options.check_pictures, dataset_dir=options.dataset_dir)
    agreement = compare(model, opened, examples, run.info, **averaging)
    # A network that rounds may round a tie the other way in another kernel.
    is_exact = getattr(options, "quantize", "none") == "none"
    if is_exact and run.config.train.quantize == "none":
        agreement.require_float(str(name))
    agreement.require_miou(str(name), options.max_miou_drop)
    return {
        "artefact": str(name),
        **report(opened, agreement, run, measure=options.measure),
    }


def describe(report: Json) -> str:
    """What `prove` found, in lines to read."""
    agreement = Agreement(**report["agreement"])
    name, (height, width) = report["artefact"], report["size"]
    lines = [f"{name}: {report['num_bytes'] / 1e6:.1f} MB; {agreement}"]
    lines += [
        f"  {speed['latency_ms']:.0f} ms on {speed['num_threads']} threads at "
        f"{height}x{width}, loaded in {speed['load_seconds']:.1f} s, "
        f"{speed['peak_memory_bytes'] / 1e6:.0f} MB"
        for speed in report["speed"]
    ]
    if name.endswith(".tflite"):
        lines.append(f"  {mediapipe.describe(report['mediapipe'])}")
    return "\n".join([*lines, f"  Report: {name}.proof.json"])


def sample(
    run: Run, count: int, split: str | None = None, dataset_dir: str | None = None
) -> list[Example]:
    """The first pictures of a split of the run's data set, with their labels.

    Where the data set is gone, smooth random pictures of odd and even sizes.

    Args:
      run: the run.
      count: at most so many.
      split: None: the split that the run was evaluated on.
      dataset_dir: the folder of the shards, where it moved.
    """
    split = split or run.config.data.eval_split
    try:
        folder, info = runs.dataset(run, dataset_dir)
        has_labels = info.split(split).has_labels
    except UserError:
        if dataset_dir is not None:
            raise
        return [
            (picture, None) for picture in random_pictures(run.info.channels, count)
        ]
    examples = reading.read_split(folder, info, split, "read pictures")
    return [
        (example["image"].numpy(), example["labels"].numpy() if has_labels else None)
        for example in itertools.islice(examples, count)
    ]


def random_pictures(channels: int, count: int) -> list[np.ndarray]:
    """Smooth random pictures, uint8 [H, W, channels], of odd and even sizes."""
    rng = np.random.default_rng(0)
    pictures = []
    for height, width in rng.integers(97, 257, (count, 2)):
        coarse = rng.uniform(0, 255, (6, 6, channels))
        smooth = tf.image.resize(coarse, [height, width], "bicubic").numpy()
        pictures.append(np.clip(smooth, 0, 255).astype(np.uint8))
    return pictures


def report(
    export: Export, agreement: Agreement, run: Run, *, measure: bool = True
) -> Json:
    """What the file beside an export says: size, agreement, speed, operations.

    Args:
      export: the export.
      agreement: what `compare` found.
      run: the run.
      measure: runs it on one thread and on all, in processes of their own, at the
        export's size or the run's crop; on this machine, as busy as it is.
    """
    path = str(export.path)
    height, width = run.config.data.crop_size
    size = export.nearest_size((height, width))
    threads = sorted({1, timing.all_threads()}) if measure else []
    result = {
        "format": export.format,
        "num_bytes": export.num_bytes,
        "agreement": dataclasses.asdict(agreement),
        "size": size,
        "speed": [
            timing.measure(path, size, run.info.channels, num_threads)
            for num_threads in threads
        ],
    }
    if export.format == "TFLite":
        content = export.path.read_bytes()
        kinds = inspection.operations(content)
        result["operations"] = [dataclasses.asdict(kind) for kind in kinds]
        result["mediapipe"] = mediapipe.obstacles(content)
    return result
