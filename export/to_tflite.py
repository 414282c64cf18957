"""Writes a run as a LiteRT file (.tflite) of fixed picture sizes.

The file appears only after it was loaded again and agrees with the Keras model.
`unzip FILE run.json` gives the run's settings.

Examples:
  python export/to_tflite.py --run_dir=runs/voc --output=voc.tflite
  python export/to_tflite.py --run_dir=runs/voc --output=voc.tflite \\
      --input_size=257,257 --output_type=labels
"""

import pathlib

from absl import flags as absl_flags

from deeplab_tf import files, flags, quiet
from deeplab_tf.errors import UserError

FLAGS = absl_flags.FLAGS
absl_flags.DEFINE_string("output", None, "File to write, .tflite.", required=True)
absl_flags.DEFINE_list(
    "input_size", None, "height,width of the picture; default: data.crop_size."
)
absl_flags.DEFINE_enum(
    "output_type", "logits", ["logits", "probabilities", "labels"], "What it gives."
)
absl_flags.DEFINE_integer("output_stride", None, "Another than trained at: 8, 16, 32.")
absl_flags.DEFINE_enum(
    "checkpoint", "best", ["best", "latest"], "Weights to take from the run."
)
absl_flags.DEFINE_integer(
    "check_pictures", 4, "Pictures to compare with Keras.", lower_bound=1
)


def main() -> None:
    """Parses, converts, compares."""
    output = pathlib.Path(FLAGS.output)
    if output.suffix != ".tflite" or output.is_dir():
        raise UserError(f"--output must be a file FILE.tflite; received {output}.")
    quiet.import_tensorflow()
    from deeplab_tf import artefact, proof, tflite
    from deeplab_tf import run as runs

    run = runs.open_run(FLAGS.run_dir)
    height, width = parse_size(FLAGS.input_size) or run.config.data.crop_size
    model = runs.load_model(
        run, output_stride=FLAGS.output_stride, checkpoint=FLAGS.checkpoint
    )
    content = tflite.convert(
        model, run, [(height, width)], output_type=FLAGS.output_type
    )
    pictures = proof.sample_pictures(run, FLAGS.check_pictures)
    with files.replacing(output) as temporary:
        temporary.write_bytes(content)
        exported = artefact.open_artefact(str(temporary))
        agreement = proof.compare(model, exported, pictures)
        agreement.require_float(str(output))
    print(f"{output}: {len(content) / 1e6:.1f} MB; {agreement}")


def parse_size(values: list[str] | None) -> tuple[int, int] | None:
    """height,width of at least 33 pixels; None where the flag is not given."""
    if values is None:
        return None
    if len(values) != 2 or not all(value.isdigit() for value in values):
        raise UserError(f"--input_size must be height,width; received {values}.")
    height, width = map(int, values)
    if min(height, width) < 33:
        raise UserError(f"--input_size must be at least 33,33; received {values}.")
    return height, width


if __name__ == "__main__":
    flags.define_run_dir()
    flags.run(main)
