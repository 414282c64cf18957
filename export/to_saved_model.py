"""Writes a run as a SavedModel that loads with nothing but TensorFlow.

Signatures: serving_default (uint8 pictures of any size -> labels, probabilities),
serving_bytes (JPEG or PNG bytes), logits, config. The folder appears only after it was
loaded again and agrees with the Keras model; OUTPUT_DIR.proof.json says how well.

Examples:
  python export/to_saved_model.py --run_dir=runs/voc --output_dir=exports/voc
  python export/to_saved_model.py --run_dir=runs/voc --output_dir=exports/voc \\
      --scales=0.75,1.0,1.25 --flip
"""

import pathlib

from absl import flags as absl_flags

from deeplab_tf import cli
from deeplab_tf.errors import UserError
from deeplab_tf.export import exporting

FLAGS = absl_flags.FLAGS
absl_flags.DEFINE_string("output_dir", None, "Folder to write.", required=True)
absl_flags.DEFINE_list("scales", ["1.0"], "Factors whose predictions are averaged.")
absl_flags.DEFINE_bool("flip", False, "Average with the mirrored picture, too.")
absl_flags.DEFINE_integer(
    "max_pixels", 2**24, "Pixels that a request may hold.", lower_bound=1
)


def main() -> None:
    """Parses, exports, compares."""
    output = pathlib.Path(FLAGS.output_dir)
    if output.exists() and not (output / "saved_model.pb").exists():
        raise UserError(f"--output_dir={output} exists and is no SavedModel.")
    averaging = {
        "scales": cli.numbers(FLAGS.scales, "scales"),
        "flip": FLAGS.flip,
    }
    run, model = exporting.load()
    from deeplab_tf.export import saved_model

    with exporting.proven(output, run, model, exact=True, **averaging) as path:
        saved_model.save(model, run, path, max_pixels=FLAGS.max_pixels, **averaging)


if __name__ == "__main__":
    exporting.define_flags()
    cli.run(main)
