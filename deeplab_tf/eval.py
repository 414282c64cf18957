"""Measures a run on a split: mIoU, IoU of each class, boundaries, calibration.

The run folder holds the model's settings and the data set's facts; nothing needs to
be repeated. Prints a table and writes RUN/eval/<split>.json (--output: elsewhere).

Examples:
  python -m deeplab_tf.eval --run_dir=runs/voc
  python -m deeplab_tf.eval --run_dir=runs/voc --scales=0.5,0.75,1.0,1.25,1.5,1.75 \\
      --flip --output_stride=8
  python -m deeplab_tf.eval --run_dir=runs/voc --compare_to=runs/baseline

  The same for what is shipped (writes RUN/eval/<split>.savedmodel.json, .tflite.json):
    python -m deeplab_tf.eval --run_dir=runs/voc --saved_model=exported
    python -m deeplab_tf.eval --run_dir=runs/voc --tflite=model.tflite
"""

from deeplab_tf import cli
from deeplab_tf.config import setting_flags
from deeplab_tf.config.options import EvaluateOptions


def main() -> None:
    """Parses, evaluates, prints."""
    options = setting_flags.options_from_flags(EvaluateOptions)
    cli.import_tensorflow()
    from deeplab_tf import runs
    from deeplab_tf.evaluation import evaluate, evaluate_run

    run = runs.open_run(cli.FLAGS.run_dir)
    result = evaluate_run(run, options, lambda found: print(evaluate.table(found)))
    print(f"Written to {result['path']}")


if __name__ == "__main__":
    cli.define_run_dir()
    setting_flags.define_options(EvaluateOptions)
    cli.run(main)
