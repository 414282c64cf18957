"""Draws what a run predicts: masks, overlays, confidence, errors, submissions.

Writes OUTPUT_DIR/KIND/NAME.png for each of --kinds:
  masks       palette images whose pixels are the class numbers
  overlays    image | labels, where known | prediction
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

from typing import TYPE_CHECKING, Any

from absl import flags as absl_flags

from deeplab_tf import cli
from deeplab_tf.config import setting_flags
from deeplab_tf.config.options import DrawOptions
from deeplab_tf.errors import UserError
from deeplab_tf.files import Json

if TYPE_CHECKING:
    from deeplab_tf.runs import Run

FLAGS = absl_flags.FLAGS
absl_flags.DEFINE_string("output_dir", None, "Folder to write to.", required=True)


def main() -> None:
    """Parses, predicts, draws."""
    options = setting_flags.options_from_flags(DrawOptions)
    if (options.split is None) == (options.images is None):
        raise UserError("give either --split or --images.")
    cli.import_tensorflow()
    from deeplab_tf import runs
    from deeplab_tf.inference import drawing, film, submission, tiling

    run = runs.open_run(FLAGS.run_dir)
    target: Json = {
        "output_dir": FLAGS.output_dir,
        "limit": options.limit,
        "kinds": options.kinds,
    }
    if options.images is not None and film.is_film(options.images):
        predict = tiling.open_predictor(run, options)
        count = film.draw(options.images, predict, run.info, **target)
        what, folders = "frames", [*map(str, options.kinds)]
    else:
        wanted = options.submission
        form = submission.get(wanted, run.info.class_names) if wanted else None
        examples, predict = _examples(run, options), tiling.open_predictor(run, options)
        count = drawing.draw(examples, predict, run.info, submission=form, **target)
        folders = [*map(str, options.kinds), *(["submission"] if form else [])]
        what = "images"
    print(f"{count} {what} drawn in {FLAGS.output_dir}: {', '.join(folders)}")


def _examples(run: "Run", options: DrawOptions) -> Any:
    """The images that the options name."""
    from deeplab_tf import runs
    from deeplab_tf.inference import drawing

    if options.images is not None:
        return drawing.read_pictures(options.images, run.info.channels)
    dataset_dir, info = runs.dataset(run, options.dataset_dir)
    return drawing.read_examples(dataset_dir, info, options.split or "")


if __name__ == "__main__":
    cli.define_run_dir()
    setting_flags.define_options(DrawOptions)
    cli.run(main)
