"""Evaluates a run, or an export of it, and keeps the result in the run folder."""

import dataclasses
import pathlib
from collections.abc import Callable

import tensorflow as tf

from deeplab_tf import files, runs
from deeplab_tf.config.options import EvaluateOptions
from deeplab_tf.errors import UserError
from deeplab_tf.evaluation import class_subset, evaluate, image_scores
from deeplab_tf.evaluation.image_scores import PictureScore
from deeplab_tf.files import Json
from deeplab_tf.inference import exported, tiling
from deeplab_tf.inference.predictor import Predictor
from deeplab_tf.runs import Run, saving


def evaluate_run(
    run: Run,
    options: EvaluateOptions | None = None,
    tell: Callable[[Json], None] | None = None,
) -> Json:
    """Measures a run on a split and writes RUN/eval/<split>.json.

    In detail also RUN/eval/<split>.pictures.jsonl, a line for each image. Of an export
    they are <split>.savedmodel.json and <split>.tflite.json. Where it is compared to a
    run OLD that knows fewer classes it is measured in those, on OLD's data set, and
    the files are <split>.on_OLD.json; see `class_subset`.

    Args:
      run: the run.
      options: None: as the eval command without flags.
      tell: is given the result before it is written, so that a disk that became full
        meanwhile does not lose it.

    Returns:
      What `evaluate.evaluate` gives but for `pictures`, with the settings,
      `dataset_dir`, any `comparison`, and the `path` of the file that holds the rest.

    Raises:
      UserError: there are no weights, no such split, nothing to compare with, or that
        knows more classes; or the folder cannot be written, which is said first.

    Example:
      >>> run = runs.open_run("runs/voc")
      >>> evaluate_run(run, EvaluateOptions(flip=True))["miou"]
    """
    options = options or EvaluateOptions()
    scorer = _scorer(run, options)
    split = options.split or scorer.config.data.eval_split
    dataset_dir, info = runs.dataset(scorer, options.dataset_dir)
    folder = pathlib.Path(options.output or run.path / "eval")
    files.check_writable(folder, "give another one as --output.")
    predict, suffix, settings = _predictor(run, options)
    if left_out := class_subset.left_out(run, scorer):
        settings["classes_left_out"] = left_out
    result = evaluate.evaluate(
        class_subset.restrict(predict, run, scorer),
        dataset_dir,
        info,
        split,
        detailed=options.details,
        batch_size=options.batch_size,
    )
    result |= {**settings, "dataset_dir": dataset_dir}
    pictures = result.pop("pictures", None)
    if pictures is not None and options.compare_to:
        result["comparison"] = _compare(
            pictures, options.compare_to, split, info.num_classes
        )
    if tell:
        tell(result)
    path = folder / f"{split}{suffix}{class_subset.file_suffix(run, scorer)}.json"
    if pictures is not None:
        image_scores.save(path.with_suffix(".pictures.jsonl"), pictures)
    files.write_json(path, result)
    return {**result, "path": path}


def _scorer(run: Run, options: EvaluateOptions) -> Run:
    """The run in whose classes, and on whose data set, is measured."""
    if not options.compare_to:
        return run
    other = runs.open_run(options.compare_to)
    class_subset.require_known(run, other)
    return run if run.info.class_names == other.info.class_names else other


def _predictor(run: Run, options: EvaluateOptions) -> tuple[Predictor, str, Json]:
    """What labels the images, the suffix of its results, and its settings."""
    exports = {"savedmodel": options.saved_model, "tflite": options.tflite}
    given = {name: path for name, path in exports.items() if path}
    if len(given) > 1:
        raise UserError("give either --saved_model or --tflite.")
    for name, path in given.items():
        return exported.open_export(path), f".{name}", {"artefact": path}
    several = len(tf.config.list_physical_devices("GPU")) > 1
    strategy = tf.distribute.MirroredStrategy() if several else None
    settings = {
        "output_stride": options.output_stride or run.config.model.output_stride,
        "scales": list(options.scales),
        "flip": options.flip,
        "tile_size": options.tile_size,
        "checkpoint": saving.weights_path(run.path, options.checkpoint),
    }
    return tiling.open_predictor(run, options, strategy), "", settings


def _compare(
    pictures: list[PictureScore], run_dir: str, split: str, num_classes: int
) -> Json:
    others = image_scores.load(pathlib.Path(run_dir, "eval", f"{split}.pictures.jsonl"))
    comparison = image_scores.compare(pictures, others, num_classes)
    return {"run_dir": run_dir, **dataclasses.asdict(comparison)}
