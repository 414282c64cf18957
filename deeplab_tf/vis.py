"""Draws what a run predicts: palette masks and overlays.

Writes PICTURES/masks/NAME.png (palette pictures whose pixels are the class numbers)
and PICTURES/overlays/NAME.png (picture | labels, where known | prediction).

Examples:
  python -m deeplab_tf.vis --run_dir=runs/voc --split=val --limit=20 --output_dir=out
  python -m deeplab_tf.vis --run_dir=runs/voc --images=holiday/ --output_dir=out
  python -m deeplab_tf.vis --run_dir=runs/voc --images='holiday/*.jpg' --output_dir=out
"""

from absl import flags as absl_flags

from deeplab_tf import flags, quiet
from deeplab_tf.errors import UserError

FLAGS = absl_flags.FLAGS
absl_flags.DEFINE_string("split", None, "Split of the run's data set to draw.")
absl_flags.DEFINE_string("images", None, "Folder, glob or file to draw instead.")
absl_flags.DEFINE_string("output_dir", None, "Folder to write to.", required=True)
absl_flags.DEFINE_string("dataset_dir", None, "Folder of the shards, if it moved.")
absl_flags.DEFINE_integer("limit", None, "At most so many pictures.", lower_bound=1)
absl_flags.DEFINE_integer("output_stride", None, "Another than trained at: 8, 16, 32.")
absl_flags.DEFINE_enum(
    "checkpoint", "best", ["best", "latest"], "Weights to take from the run."
)


def main() -> None:
    """Parses, predicts, draws."""
    if (FLAGS.split is None) == (FLAGS.images is None):
        raise UserError("give either --split or --images.")
    quiet.import_tensorflow()
    from deeplab_tf import drawing, inference
    from deeplab_tf import run as runs

    run = runs.open_run(FLAGS.run_dir)
    if FLAGS.images is not None:
        examples = drawing.read_pictures(FLAGS.images, run.info.channels)
    else:
        dataset_dir, info = runs.dataset(run, FLAGS.dataset_dir)
        examples = drawing.read_examples(dataset_dir, info, FLAGS.split)
    model = runs.load_model(
        run, output_stride=FLAGS.output_stride, checkpoint=FLAGS.checkpoint
    )
    predict = inference.make_predictor(model)
    count = drawing.draw(
        examples, predict, run.info.colormap, FLAGS.output_dir, FLAGS.limit
    )
    print(f"{count} pictures drawn in {FLAGS.output_dir}/masks and /overlays")


if __name__ == "__main__":
    flags.define_run_dir()
    flags.run(main)
