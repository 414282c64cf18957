"""Estimates the batch norm statistics of a trained run anew.

Takes them from training batches at the final weights, in place of the moving average
over the run, and keeps them if the evaluation is better. Writes RUN/best.

Example:
  python -m deeplab_tf.recalibrate --run_dir=runs/voc --batches=200
"""

from absl import flags as absl_flags

from deeplab_tf import cli

FLAGS = absl_flags.FLAGS
absl_flags.DEFINE_integer("batches", 100, "Training batches to look at.", 1)
absl_flags.DEFINE_string("dataset_dir", None, "Folder of the shards, if it moved.")


def main() -> None:
    """Parses, estimates, compares, writes."""
    cli.import_tensorflow()
    from deeplab_tf import runs
    from deeplab_tf.training import recalibration

    run = runs.open_run(FLAGS.run_dir)
    dataset_dir, _ = runs.dataset(run, FLAGS.dataset_dir)
    before, after = recalibration.recalibrate(run, dataset_dir, FLAGS.batches)
    kept = "written to best/" if after > before else "not kept"
    print(f"mIoU {before:.4f} -> {after:.4f}, {kept}")


if __name__ == "__main__":
    cli.define_run_dir()
    cli.run(main)
