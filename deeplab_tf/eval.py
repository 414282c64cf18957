"""Measures a run on a split: mIoU, IoU of each class, pixel accuracy.

The run folder holds the model's settings and the data set's facts; nothing needs to
be repeated. Writes RUN/eval/<split>.json and prints a table.

Examples:
  python -m deeplab_tf.eval --run_dir=runs/voc
  python -m deeplab_tf.eval --run_dir=runs/voc --scales=0.5,0.75,1.0,1.25,1.5,1.75 \\
      --flip --output_stride=8
"""

import os

from absl import flags as absl_flags

from deeplab_tf import files, flags, quiet

FLAGS = absl_flags.FLAGS
absl_flags.DEFINE_string("split", None, "Split; default: the run's data.eval_split.")
absl_flags.DEFINE_string("dataset_dir", None, "Folder of the shards, if it moved.")
absl_flags.DEFINE_list("scales", ["1.0"], "Factors whose predictions are averaged.")
absl_flags.DEFINE_bool("flip", False, "Average with the mirrored picture, too.")
absl_flags.DEFINE_integer("output_stride", None, "Another than trained at: 8, 16, 32.")
absl_flags.DEFINE_enum(
    "checkpoint", "best", ["best", "latest"], "Weights to take from the run."
)


def main() -> None:
    """Parses, evaluates, writes."""
    quiet.import_tensorflow()
    from deeplab_tf import evaluation, inference
    from deeplab_tf import run as runs

    run = runs.open_run(FLAGS.run_dir)
    split = FLAGS.split or run.config.data.eval_split
    scales = flags.numbers(FLAGS.scales, "scales")
    model = runs.load_model(
        run, output_stride=FLAGS.output_stride, checkpoint=FLAGS.checkpoint
    )
    predict = inference.make_predictor(model, scales=scales, flip=FLAGS.flip)
    dataset_dir, info = runs.dataset(run, FLAGS.dataset_dir)
    result = evaluation.evaluate(predict, dataset_dir, info, split)
    result |= {
        "output_stride": FLAGS.output_stride or run.config.model.output_stride,
        "scales": scales,
        "flip": FLAGS.flip,
        "checkpoint": runs.weights_path(run.path, FLAGS.checkpoint),
        "dataset_dir": dataset_dir,
    }
    path = os.path.join(FLAGS.run_dir, "eval", f"{split}.json")
    files.write_json(path, result)
    print(evaluation.table(result))
    print(f"Written to {path}")


if __name__ == "__main__":
    flags.define_run_dir()
    flags.run(main)
