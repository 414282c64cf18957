"""Measures a run on a split: mIoU, IoU of each class, boundaries, calibration.

The run folder holds the model's settings and the data set's facts; nothing needs to
be repeated. Writes RUN/eval/<split>.json and prints a table.

Examples:
  python -m deeplab_tf.eval --run_dir=runs/voc
  python -m deeplab_tf.eval --run_dir=runs/voc --scales=0.5,0.75,1.0,1.25,1.5,1.75 \\
      --flip --output_stride=8
  python -m deeplab_tf.eval --run_dir=runs/voc --compare_to=runs/baseline

  The same for what is shipped (writes RUN/eval/<split>.savedmodel.json, .tflite.json):
    python -m deeplab_tf.eval --run_dir=runs/voc --saved_model=exported
    python -m deeplab_tf.eval --run_dir=runs/voc --tflite=model.tflite
"""

import dataclasses
import pathlib
from typing import TYPE_CHECKING, Any

from absl import flags as absl_flags

from deeplab_tf import cli, files
from deeplab_tf.errors import UserError

if TYPE_CHECKING:
    from deeplab_tf.evaluation.image_scores import PictureScore
    from deeplab_tf.inference.predictor import Labeller
    from deeplab_tf.runs import Run

FLAGS = absl_flags.FLAGS
absl_flags.DEFINE_string("split", None, "Split; default: the run's data.eval_split.")
absl_flags.DEFINE_string("dataset_dir", None, "Folder of the shards, if it moved.")
absl_flags.DEFINE_list("scales", ["1.0"], "Factors whose predictions are averaged.")
absl_flags.DEFINE_bool("flip", False, "Average with the mirrored picture, too.")
absl_flags.DEFINE_integer("output_stride", None, "Another than trained at: 8, 16, 32.")
absl_flags.DEFINE_integer("tile_size", None, "Predict in tiles of so many pixels.")
absl_flags.DEFINE_integer(
    "batch_size", 1, "Pictures of one size predicted at once.", lower_bound=1
)
absl_flags.DEFINE_bool(
    "details", True, "Boundaries, calibration, interval and each picture's scores."
)
absl_flags.DEFINE_string(
    "compare_to", None, "Another run, evaluated on this split: a paired test."
)
absl_flags.DEFINE_string("saved_model", None, "Evaluate this export of the run.")
absl_flags.DEFINE_string("tflite", None, "Evaluate this export of the run.")
absl_flags.DEFINE_enum(
    "checkpoint", "best", ["best", "latest"], "Weights to take from the run."
)


def main() -> None:
    """Parses, evaluates, writes."""
    cli.import_tensorflow()
    from deeplab_tf import runs
    from deeplab_tf.evaluation import evaluate, image_scores

    run = runs.open_run(FLAGS.run_dir)
    split = FLAGS.split or run.config.data.eval_split
    dataset_dir, info = runs.dataset(run, FLAGS.dataset_dir)
    predict, suffix, settings = _labeller(run)
    result = evaluate.evaluate(
        predict,
        dataset_dir,
        info,
        split,
        detailed=FLAGS.details,
        batch_size=FLAGS.batch_size,
    )
    result |= {**settings, "dataset_dir": dataset_dir}
    pictures = result.pop("pictures", None)
    path = run.path / "eval" / f"{split}{suffix}.json"
    if pictures is not None:
        image_scores.save(path.with_suffix(".pictures.jsonl"), pictures)
        if FLAGS.compare_to:
            result["comparison"] = _compare(pictures, split, info.num_classes)
    files.write_json(path, result)
    print(evaluate.table(result))
    if "comparison" in result:
        print(_tell(result["comparison"]))
    print(f"Written to {path}")


def _labeller(run: "Run") -> tuple["Labeller", str, dict[str, Any]]:
    """What labels the pictures, the suffix of its results, and its settings."""
    exports = {"savedmodel": FLAGS.saved_model, "tflite": FLAGS.tflite}
    given = {name: path for name, path in exports.items() if path}
    if not given:
        return _model(run)
    if len(given) > 1:
        raise UserError("give either --saved_model or --tflite.")
    from deeplab_tf.inference import exported
    from deeplab_tf.inference.exported_labels import ArtefactLabeller

    (name, path), *_ = given.items()
    labeller = ArtefactLabeller(exported.open_artefact(path))
    return labeller, f".{name}", {"artefact": path}


def _model(run: "Run") -> tuple["Labeller", str, dict[str, Any]]:
    import tensorflow as tf

    from deeplab_tf import runs
    from deeplab_tf.inference import predictor, tiling

    scales = cli.numbers(FLAGS.scales, "scales")
    several = len(tf.config.list_physical_devices("GPU")) > 1
    strategy = tf.distribute.MirroredStrategy() if several else None
    with (strategy or tf.distribute.get_strategy()).scope():
        model = runs.load_model(
            run, output_stride=FLAGS.output_stride, checkpoint=FLAGS.checkpoint
        )
    predict: Any = predictor.make_predictor(
        model, scales=scales, flip=FLAGS.flip, frozen=True, strategy=strategy
    )
    if FLAGS.tile_size:
        predict = tiling.make_tiled(predict, FLAGS.tile_size)
    settings = {
        "output_stride": FLAGS.output_stride or run.config.model.output_stride,
        "scales": scales,
        "flip": FLAGS.flip,
        "tile_size": FLAGS.tile_size,
        "checkpoint": runs.weights_path(run.path, FLAGS.checkpoint),
    }
    return predict, "", settings


def _compare(
    pictures: list["PictureScore"], split: str, num_classes: int
) -> dict[str, Any]:
    from deeplab_tf.evaluation import image_scores

    path = pathlib.Path(FLAGS.compare_to, "eval", f"{split}.pictures.jsonl")
    others = image_scores.load(path)
    comparison = image_scores.compare(pictures, others, num_classes)
    return {"run_dir": FLAGS.compare_to, **dataclasses.asdict(comparison)}


def _tell(comparison: dict[str, Any]) -> str:
    if comparison["interval"] is None:
        return f"  mIoU absent, so not compared with {comparison['run_dir']}"
    low, high = comparison["interval"]
    return (
        f"  mIoU {comparison['difference']:+.4f} against {comparison['run_dir']} "
        f"(95 % interval {low:+.4f} to {high:+.4f}, p = {comparison['p_value']:.4f})"
    )


if __name__ == "__main__":
    cli.define_run_dir()
    cli.run(main)
