"""Draws what a run predicts: masks, overlays, confidence, errors, submissions.

Writes PICTURES/KIND/NAME.png for each of --kinds:
  masks       palette pictures whose pixels are the class numbers
  overlays    picture | labels, where known | prediction
  raw         the class numbers in grey, for programs
  confidence  the winner's probability, white is 1
  errors      where labels are known: what is wrong, in red
Of several pictures, the first ones also stand side by side in contact_sheet.jpg.

Examples:
  python -m deeplab_tf.vis --run_dir=runs/voc --split=val --limit=20 --output_dir=out
  python -m deeplab_tf.vis --run_dir=runs/voc --images=holiday/ --output_dir=out
  python -m deeplab_tf.vis --run_dir=runs/voc --images='holiday/*.jpg' --output_dir=out
  python -m deeplab_tf.vis --run_dir=runs/voc --images=drive.mp4 --output_dir=out
  python -m deeplab_tf.vis --run_dir=runs/voc --images=satellite.png --output_dir=out \\
      --tile_size=1025 --kinds=masks,confidence
  python -m deeplab_tf.vis --run_dir=runs/city --split=test --output_dir=out \\
      --kinds=masks --submission=cityscapes
"""

from typing import Any

from absl import flags as absl_flags

from deeplab_tf import cli
from deeplab_tf.errors import UserError, unknown
from deeplab_tf.inference import submission

FLAGS = absl_flags.FLAGS
absl_flags.DEFINE_string("split", None, "Split of the run's data set to draw.")
absl_flags.DEFINE_string("images", None, "Folder, glob, file or film to draw instead.")
absl_flags.DEFINE_string("output_dir", None, "Folder to write to.", required=True)
absl_flags.DEFINE_string("dataset_dir", None, "Folder of the shards, if it moved.")
absl_flags.DEFINE_integer("limit", None, "At most so many pictures.", lower_bound=1)
absl_flags.DEFINE_list("kinds", ["masks", "overlays"], "What to draw, as above.")
absl_flags.DEFINE_enum(
    "submission", None, submission.FORMATS, "Also files for this benchmark's server."
)
absl_flags.DEFINE_list("scales", ["1.0"], "Factors whose predictions are averaged.")
absl_flags.DEFINE_bool("flip", False, "Average with the mirrored picture, too.")
absl_flags.DEFINE_integer("tile_size", None, "Predict in tiles of so many pixels.")
absl_flags.DEFINE_integer("output_stride", None, "Another than trained at: 8, 16, 32.")
absl_flags.DEFINE_enum(
    "checkpoint", "best", ["best", "latest"], "Weights to take from the run."
)


def main() -> None:
    """Parses, predicts, draws."""
    if (FLAGS.split is None) == (FLAGS.images is None):
        raise UserError("give either --split or --images.")
    cli.import_tensorflow()
    from deeplab_tf import runs
    from deeplab_tf.inference import drawing, film

    for kind in FLAGS.kinds:
        if kind not in drawing.KINDS:
            raise unknown("kind of picture", kind, drawing.KINDS)
    run = runs.open_run(FLAGS.run_dir)
    target = {
        "output_dir": FLAGS.output_dir,
        "limit": FLAGS.limit,
        "kinds": FLAGS.kinds,
    }
    if FLAGS.images is not None and film.is_film(FLAGS.images):
        count = film.draw(FLAGS.images, _labeller(run), run.info, **target)
        what, folders = "frames", FLAGS.kinds
    else:
        wanted = FLAGS.submission
        form = submission.get(wanted, run.info.class_names) if wanted else None
        examples, labeller = _examples(run), _labeller(run)
        count = drawing.draw(examples, labeller, run.info, submission=form, **target)
        what, folders = "pictures", [*FLAGS.kinds, *(["submission"] if form else [])]
    print(f"{count} {what} drawn in {FLAGS.output_dir}: {', '.join(folders)}")


def _examples(run: Any) -> Any:
    """The pictures that the flags name."""
    from deeplab_tf import runs
    from deeplab_tf.inference import drawing

    if FLAGS.images is not None:
        return drawing.read_pictures(FLAGS.images, run.info.channels)
    dataset_dir, info = runs.dataset(run, FLAGS.dataset_dir)
    return drawing.read_examples(dataset_dir, info, FLAGS.split)


def _labeller(run: Any) -> Any:
    """The run's model as the flags want it."""
    from deeplab_tf import runs
    from deeplab_tf.inference import predictor, tiling

    model = runs.load_model(
        run, output_stride=FLAGS.output_stride, checkpoint=FLAGS.checkpoint
    )
    scales = cli.numbers(FLAGS.scales, "scales")
    predict = predictor.make_predictor(
        model, scales=scales, flip=FLAGS.flip, frozen=True
    )
    return tiling.make_tiled(predict, FLAGS.tile_size) if FLAGS.tile_size else predict


if __name__ == "__main__":
    cli.define_run_dir()
    cli.run(main)
