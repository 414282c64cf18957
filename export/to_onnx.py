"""Writes a run as an ONNX file that takes pictures of any size.

Needs the extra packages of '.[onnx]'. The file appears only after it ran in ONNX
Runtime and agrees with the Keras model; OUTPUT.proof.json says how well.

Example:
  python export/to_onnx.py --run_dir=runs/voc --output=voc.onnx
"""

from absl import flags as absl_flags

from deeplab_tf import cli
from deeplab_tf.export import exporting

FLAGS = absl_flags.FLAGS
absl_flags.DEFINE_string("output", None, "File to write, .onnx.", required=True)


def main() -> None:
    """Parses, converts, compares."""
    output = exporting.output_file(".onnx")
    run, model = exporting.load()
    from deeplab_tf.export import onnx_file

    content = onnx_file.convert(model, run)
    with exporting.proven(output, run, model, exact=True) as path:
        path.write_bytes(content)


if __name__ == "__main__":
    exporting.define_flags()
    cli.run(main)
