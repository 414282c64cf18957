"""Lists the runs in a folder: data set, mIoU, minutes, the settings that differ.

The best come first. A run that is still training is listed with the step it is at.

Examples:
  deeplab-tf runs --runs_dir=runs
"""

import pathlib

from absl import flags

from deeplab_tf import cli

FLAGS = flags.FLAGS


def main() -> None:
    """Parses, prints."""
    from deeplab_tf.report import overview

    found = overview.find(pathlib.Path(FLAGS.runs_dir))
    print(overview.table(found) if found else f"{FLAGS.runs_dir}: no run in it.")


if __name__ == "__main__":
    flags.DEFINE_string("runs_dir", "runs", "Folder whose runs are listed.")
    cli.run(main)
