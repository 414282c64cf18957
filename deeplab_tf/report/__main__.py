"""Writes one HTML file about a run, or several side by side.

Scores, curves, confusion matrix, boundaries, calibration, pictures, settings. The
file needs no server and no network. Each run must have been evaluated before (eval).
A report of another run is never replaced.

Examples:
  python -m deeplab_tf.report --run_dir=runs/voc
  python -m deeplab_tf.report --run_dir=runs/voc --run_dir=runs/baseline \\
      --output=comparison.html
"""

import pathlib

from absl import flags as absl_flags

from deeplab_tf import cli
from deeplab_tf.config import setting_flags
from deeplab_tf.config.options import ReportOptions

FLAGS = absl_flags.FLAGS
absl_flags.DEFINE_multi_string(
    "run_dir", None, "The run folder; several to compare them.", required=True
)
absl_flags.DEFINE_string("output", None, "File to write; default: RUN/report.html.")


def main() -> None:
    """Parses, writes."""
    options = setting_flags.options_from_flags(ReportOptions)
    cli.import_tensorflow()
    from deeplab_tf import report, runs

    output = pathlib.Path(FLAGS.output or pathlib.Path(FLAGS.run_dir[0], "report.html"))
    report.write([runs.open_run(path) for path in FLAGS.run_dir], output, options)
    print(f"{output}: {output.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    setting_flags.define_options(ReportOptions)
    cli.run(main)
