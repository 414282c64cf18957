"""Writes a run as a SavedModel that loads with nothing but TensorFlow.

Signatures: serving_default (uint8 pictures of any size -> labels, probabilities),
serving_bytes (JPEG or PNG bytes), logits, config. The folder appears only after it was
loaded again and agrees with the Keras model.

Examples:
  python export/to_saved_model.py --run_dir=runs/voc --output_dir=exports/voc
  python export/to_saved_model.py --run_dir=runs/voc --output_dir=exports/voc \\
      --scales=0.75,1.0,1.25 --flip
"""

import pathlib

from absl import flags as absl_flags

from deeplab_tf import files, flags, quiet
from deeplab_tf.errors import UserError

FLAGS = absl_flags.FLAGS
absl_flags.DEFINE_string("output_dir", None, "Folder to write.", required=True)
absl_flags.DEFINE_list("scales", ["1.0"], "Factors whose predictions are averaged.")
absl_flags.DEFINE_bool("flip", False, "Average with the mirrored picture, too.")
absl_flags.DEFINE_integer("output_stride", None, "Another than trained at: 8, 16, 32.")
absl_flags.DEFINE_integer(
    "max_pixels", 2**24, "Pixels that a request may hold.", lower_bound=1
)
absl_flags.DEFINE_enum(
    "checkpoint", "best", ["best", "latest"], "Weights to take from the run."
)
absl_flags.DEFINE_integer(
    "check_pictures", 4, "Pictures to compare with Keras.", lower_bound=1
)


def main() -> None:
    """Parses, exports, compares."""
    output = pathlib.Path(FLAGS.output_dir)
    if output.exists() and not (output / "saved_model.pb").exists():
        raise UserError(f"--output_dir={output} exists and is no SavedModel.")
    scales = flags.numbers(FLAGS.scales, "scales")
    quiet.import_tensorflow()
    from deeplab_tf import artefact, proof, serving
    from deeplab_tf import run as runs

    run = runs.open_run(FLAGS.run_dir)
    model = runs.load_model(
        run, output_stride=FLAGS.output_stride, checkpoint=FLAGS.checkpoint
    )
    pictures = proof.sample_pictures(run, FLAGS.check_pictures)
    with files.replacing(output) as temporary:
        serving.save(
            model,
            run,
            temporary,
            scales=scales,
            flip=FLAGS.flip,
            max_pixels=FLAGS.max_pixels,
        )
        exported = artefact.open_artefact(str(temporary))
        size = exported.num_bytes
        agreement = proof.compare(
            model, exported, pictures, scales=scales, flip=FLAGS.flip
        )
        agreement.require_float(str(output))
    print(f"{output}: {size / 1e6:.1f} MB; {agreement}")


if __name__ == "__main__":
    flags.define_run_dir()
    flags.run(main)
