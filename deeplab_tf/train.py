"""Trains DeepLabv3+ on a folder of TFRecord shards.

Examples:

  A first run, from scratch, on the data set that needs no download:
    python datasets/convert.py --dataset=shapes --output_dir=data/shapes
    python -m deeplab_tf.train --run_dir=runs/shapes --preset=demo \\
        --data.dataset_dir=data/shapes

  Xception-65 with the paper's settings, and one of them changed:
    python -m deeplab_tf.train --run_dir=runs/voc --preset=voc_xception_65 \\
        --data.dataset_dir=data/voc --train.batch_size=8

  A run that was interrupted goes on when the same command is given again. Another
  run's settings: --config=runs/voc/run.json.
"""

import os
import sys

from absl import flags as absl_flags

from deeplab_tf import cli
from deeplab_tf.config import Config, setting_flags
from deeplab_tf.errors import UserError


def main() -> None:
    """Parses, tells, trains."""
    config = setting_flags.config_from_flags()
    if not config.data.dataset_dir:
        raise UserError(
            "--data.dataset_dir is missing: the folder that datasets/convert.py wrote."
        )
    # The run folder must find its data set from any working directory.
    absolute = os.path.abspath(config.data.dataset_dir)
    config = config.replace({"data.dataset_dir": absolute})
    # TensorFlow takes seconds to import: only once the flags are right.
    cli.import_tensorflow()
    from deeplab_tf.evaluation import metrics
    from deeplab_tf.training import loop

    _tell_settings(config)
    result = loop.train(
        config, setting_flags.FLAGS.run_dir, restart=setting_flags.FLAGS.restart
    )
    if result:
        print(f"mIoU {metrics.text(result['miou'])} on {result['split']}")
    print(f"Run folder: {setting_flags.FLAGS.run_dir}")


def _tell_settings(config: Config) -> None:
    changed = Config().difference(config)
    print("Settings that differ from the defaults:", file=sys.stderr)
    print("\n".join(f"  {line}" for line in changed), file=sys.stderr)


if __name__ == "__main__":
    cli.define_run_dir("Run folder to write, or to go on with.")
    absl_flags.DEFINE_boolean(
        "restart", False, "Delete what --run_dir holds of a run and begin at step 0."
    )
    setting_flags.define_config()
    cli.run(main)
