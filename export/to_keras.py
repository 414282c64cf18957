"""Writes a run as a .keras file, which keras.models.load_model reads where this project
is installed, to train on or to change.

The file appears only after it was loaded again and agrees with the run's model;
OUTPUT.proof.json says how well. `unzip OUTPUT run.json` gives the run's settings.

Example:
  python export/to_keras.py --run_dir=runs/voc --output=voc.keras
"""

from absl import flags as absl_flags

from deeplab_tf import cli
from deeplab_tf.export import exporting

FLAGS = absl_flags.FLAGS
absl_flags.DEFINE_string("output", None, "File to write, .keras.", required=True)


def main() -> None:
    """Parses, saves, compares."""
    output = exporting.output_file(".keras")
    run, model = exporting.load()
    from deeplab_tf.export import keras_file

    with exporting.proven(output, run, model, exact=True) as path:
        keras_file.save(model, run, path)


if __name__ == "__main__":
    exporting.define_flags()
    cli.run(main)
