"""The export command lines, one a format; their scripts stand in export/."""

import functools
import itertools
import pathlib
import sys

from absl import flags as absl_flags
from absl import logging

from deeplab_tf import cli
from deeplab_tf.config import setting_flags
from deeplab_tf.config.options import EXPORTS

FLAGS = absl_flags.FLAGS
_DOCS = {
    "saved_model": """Writes a run as a SavedModel, for which TensorFlow is enough.

Signatures: serving_default (uint8 images of any size -> labels, probabilities),
serving_bytes (JPEG or PNG bytes), logits, config. The folder appears only after it was
loaded again and agrees with the Keras model; OUTPUT_DIR.proof.json says how well.

Examples:
  python export/to_saved_model.py --run_dir=runs/voc --output_dir=exports/voc
  python export/to_saved_model.py --run_dir=runs/voc --output_dir=exports/voc \\
      --scales=0.75,1.0,1.25 --flip
""",
    "tflite": """Writes a run as a LiteRT file (.tflite) of fixed image sizes.

The file appears only after it was loaded again and agrees with the Keras model;
OUTPUT.proof.json says how well. `unzip OUTPUT run.json` gives the run's settings.

Examples:
  python export/to_tflite.py --run_dir=runs/voc --output=voc.tflite
  python export/to_tflite.py --run_dir=runs/voc --output=voc.tflite \\
      --quantize=int8 --input_size=257,257 --output_type=labels --max_miou_drop=0.01
""",
    "onnx": """Writes a run as an ONNX file that takes images of any size.

Needs the extra packages of '.[onnx]'. The file appears only after it ran in ONNX
Runtime and agrees with the Keras model; OUTPUT.proof.json says how well.

Example:
  python export/to_onnx.py --run_dir=runs/voc --output=voc.onnx
""",
    "keras": """Writes a run as a .keras file, to train on or to change.

keras.models.load_model reads it where this project is installed.

The file appears only after it was loaded again and agrees with the run's model;
OUTPUT.proof.json says how well. `unzip OUTPUT run.json` gives the run's settings.

Example:
  python export/to_keras.py --run_dir=runs/voc --output=voc.keras
""",
    "web": """Writes a page that runs a run's network in its visitor's browser.

Pictures and camera stay on the visitor's device; the page asks nothing of another
server. Its runtime, LiteRT.js, is fetched from the npm registry, by npm, and kept in
the cache. The folder appears only after the model in it was loaded again and agrees
with the Keras model; OUTPUT_DIR.proof.json says how well.

Examples:
  python export/to_web.py --run_dir=runs/voc --output_dir=site
  python export/to_web.py --run_dir=runs/voc --output_dir=site \\
      --quantize=float16 --input_size=257,257
  python -m http.server --bind 127.0.0.1 --directory site
""",
}

_FOLDERS = ("saved_model", "web")  # formats of more than one file

_FORMATS = """Beside --run_dir=RUN, the run folder, it is told what to write:
  --output=FILE.tflite    LiteRT, for phones and CPUs; also in 8 bits
  --output_dir=FOLDER     SavedModel, for TensorFlow and servers
  --output=FILE.onnx      ONNX
  --output=FILE.keras     Keras, to train on or to change
(deeplab-tf web writes a page that runs the network in the browser.)
With one of them, --help shows its flags."""


def main(format: str) -> None:
    """Parses, writes, prints."""
    options = setting_flags.options_from_flags(EXPORTS[format])
    cli.import_tensorflow()
    from deeplab_tf import export, runs
    from deeplab_tf.export import agreement, proof

    path = FLAGS.output_dir if format in _FOLDERS else FLAGS.output
    report = export.write(runs.open_run(FLAGS.run_dir), format, path, options)
    if warning := agreement.Agreement(**report["agreement"]).warning:
        logging.warning(warning)
    print(proof.describe(report))
    if format == "web":
        print(f"  To see it: python -m http.server --bind 127.0.0.1 --directory {path}")


def run(format: str) -> None:
    """The command line of a format, one of `EXPORTS`."""
    cli.define_run_dir()
    if format in _FOLDERS:
        absl_flags.DEFINE_string("output_dir", None, "Folder to write.", required=True)
    else:
        absl_flags.DEFINE_string("output", None, "File to write.", required=True)
    setting_flags.define_options(EXPORTS[format])
    cli.run(functools.partial(main, format), _DOCS[format])


def run_by_output(arguments: list[str]) -> None:
    """The command line of the format that --output or --output_dir asks for.

    `deeplab-tf export`: FILE.tflite, FILE.onnx, FILE.keras, or --output_dir for a
    SavedModel.

    Args:
      arguments: of the command line, before absl parses them: the flags depend on it.
    """
    for argument, following in itertools.pairwise([*arguments, ""]):
        name, _, value = argument.lstrip("-").partition("=")
        if name == "output" and argument.startswith("-"):
            format = pathlib.Path(value or following).suffix.removeprefix(".")
            return run(format if format in _DOCS else "tflite")
        if name == "output_dir" and argument.startswith("-"):
            return run("saved_model")
    if not {"--help", "-help", "-h", "--helpfull", "-helpfull"} & set(arguments):
        cli.stop(
            "--output=FILE.tflite (or .onnx, .keras) or --output_dir=FOLDER (for a "
            "SavedModel) is missing."
        )
    print(f"Writes a run in a form that works elsewhere.\n\n{_FORMATS}")


if __name__ == "__main__":
    run_by_output(sys.argv[1:])
