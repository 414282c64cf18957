"""Latency of exported models: SavedModel folders, .tflite and .onnx files, in turns.

Without --model a DeepLabv3+ of random weights is exported and timed; the time does
not depend on the weights. Of a SavedModel each signature that takes pictures
is timed. Prints a table, or JSON with --json: medians, and what they are of that of the
first .tflite.

Examples:
  python benchmarks/inference.py --model=exports/voc --model=voc.tflite --threads=2
  python benchmarks/inference.py --backbone=xception_65 --runs=20 --json
"""

import contextlib
import functools
import json
import math
import pathlib
import statistics
import tempfile
from collections.abc import Callable
from typing import Any

from absl import flags as absl_flags

from deeplab_tf import cli
from deeplab_tf.errors import UserError
from deeplab_tf.inference import timing

FLAGS = absl_flags.FLAGS
absl_flags.DEFINE_multi_string("model", [], "An export; may be given several times.")
absl_flags.DEFINE_string("backbone", "mobilenet_v2", "Without --model.")
absl_flags.DEFINE_list(
    "input_size", ["513", "513"], "height,width, where an export takes any."
)
absl_flags.DEFINE_integer("threads", 0, "Threads; 0: all processors.", lower_bound=0)
absl_flags.DEFINE_integer("runs", 12, "Timed runs of each.", lower_bound=1)
absl_flags.DEFINE_bool("json", False, "Print JSON instead of a table.")


def main() -> None:
    if len(FLAGS.input_size) != 2 or not all(s.isdigit() for s in FLAGS.input_size):
        raise UserError(
            f"--input_size must be height,width; received {FLAGS.input_size}."
        )
    height, width = map(int, FLAGS.input_size)
    cli.import_tensorflow()
    threads = FLAGS.threads or timing.all_threads()
    timing.set_threads(threads)
    with contextlib.ExitStack() as stack:
        paths = FLAGS.model
        if not paths:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            paths = export_random(pathlib.Path(folder), (height, width))
        results = time_all(paths, (height, width), threads)
    print(json.dumps(results, indent=2) if FLAGS.json else table(results))


def time_all(
    paths: list[str], size: tuple[int, int], threads: int
) -> list[dict[str, Any]]:
    from deeplab_tf.inference import exported

    calls: dict[str, Callable[[], Any]] = {}
    results: list[dict[str, Any]] = []
    for path in paths:
        opened = exported.open_export(path, threads)
        channels = opened.run["dataset"]["channels"] if opened.run else 3
        own_size = opened.nearest_size(size)
        picture = timing.random_picture(*own_size, channels)
        own_calls = _calls(opened, path, picture)
        calls |= own_calls
        results += [
            {
                "model": name,
                "format": opened.format,
                "num_bytes": opened.num_bytes,
                "size": own_size,
                "num_threads": threads,
            }
            for name in own_calls
        ]
    times = timing.milliseconds(calls, FLAGS.runs)
    for result in results:
        own = times[result["model"]]
        result |= {"median_ms": statistics.median(own), "fastest_ms": min(own)}
    floor = [r["median_ms"] for r in results if r["format"] == "TFLite"]
    for result in results if floor else []:
        result["ratio"] = result["median_ms"] / floor[0]
    return results


def _calls(opened: Any, path: str, picture: Any) -> dict[str, Callable[[], Any]]:
    """What is timed of an export: of a SavedModel each signature for pictures."""
    if opened.format != "SavedModel":
        return {path: functools.partial(opened.runner.infer, picture)}
    import tensorflow as tf

    signatures = tf.saved_model.load(path).signatures

    def call(name: str) -> Any:
        return signatures[name](pictures=tf.constant(picture))

    # Those of earlier versions have no "labels".
    names = {"labels", "serving_default", "logits"} & {*signatures}
    return {f"{path} {name}": functools.partial(call, name) for name in sorted(names)}


def export_random(folder: pathlib.Path, size: tuple[int, int]) -> list[str]:
    """A SavedModel and .tflite files, float32 and int8, of an untrained network."""
    import keras
    import numpy as np
    import tensorflow as tf

    from deeplab_tf import runs
    from deeplab_tf.config import Config
    from deeplab_tf.data.dataset_info import DatasetInfo
    from deeplab_tf.export import saved_model
    from deeplab_tf.export.tflite import converter
    from deeplab_tf.network.deeplab import build_model
    from deeplab_tf.runs import provenance

    config = Config().replace({"model.backbone": FLAGS.backbone})
    classes = tuple(f"class {i}" for i in range(21))
    info = DatasetInfo(name="random", class_names=classes)
    strategy = tf.distribute.get_strategy()
    run = runs.Run(folder, config, info, provenance.of_process(strategy))
    model = build_model(config.model, info.num_classes)
    # TensorFlow drops additions of zero, and with them what it makes of a convolution,
    # its bias and its activation: no trained network is so.
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.beta.assign(rng.normal(0, 0.3, layer.beta.shape))
    saved_model.save(model, run, folder / "saved_model")

    def calibration(size: tuple[int, int]) -> list[np.ndarray]:
        return [timing.random_picture(size[0], size[1], 3)]

    for name, quantize, output_type in (
        ("logits", "none", "logits"),
        ("probabilities", "none", "probabilities"),
        ("int8", "int8", "logits"),
    ):
        content = converter.convert(
            model,
            run,
            [size],
            output_type=output_type,
            quantize=quantize,
            calibration=calibration,
        )
        (folder / f"{name}.tflite").write_bytes(content)
    names = ("logits.tflite", "probabilities.tflite", "int8.tflite", "saved_model")
    return [str(folder / name) for name in names]


def table(results: list[dict[str, Any]]) -> str:
    head = f"{'median':>9} {'fastest':>9} {'ratio':>6}  {'size':>9}  {'MB':>6}  model"
    lines = [
        f"{result['median_ms']:>6.1f} ms {result['fastest_ms']:>6.1f} ms "
        f"{result.get('ratio', math.nan):>6.2f}  "
        f"{'x'.join(map(str, result['size'])):>9}  {result['num_bytes'] / 1e6:>6.1f}  "
        f"{result['model']}"
        for result in results
    ]
    return "\n".join([f"{results[0]['num_threads']} threads", head, *lines])


if __name__ == "__main__":
    cli.run(main)
