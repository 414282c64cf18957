"""Trains DeepLabv3+ on a folder of TFRecord shards.

Examples:

  A first run, from scratch, on the data set that needs no download:
    python datasets/convert.py --dataset=shapes --output_dir=data/shapes
    python -m deeplab_tf.train --run_dir=runs/shapes --preset=demo \\
        --data.dataset_dir=data/shapes

  Everything chosen to fit the data, the machine and an hour:
    python -m deeplab_tf.train --run_dir=runs/mine --data.dataset_dir=data/mine \\
        --train.minutes=60

  Xception-65 with the paper's settings, and one of them changed:
    python -m deeplab_tf.train --run_dir=runs/voc --preset=voc_xception_65 \\
        --data.dataset_dir=data/voc --train.batch_size=8

  Told to MLflow as well, with the extra [mlflow] (wandb: [wandb]):
    MLFLOW_TRACKING_URI=sqlite:///mlflow.db python -m deeplab_tf.train \\
        --run_dir=runs/mine --data.dataset_dir=data/mine --train.callbacks=mlflow

  A run that was interrupted goes on when the same command is given again. Another
  run's settings: --config=runs/voc/run.json.
"""

import os
import sys

from absl import flags as absl_flags

from deeplab_tf import cli
from deeplab_tf.config import Config, setting_flags
from deeplab_tf.errors import UserError

FLAGS = absl_flags.FLAGS


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
    from deeplab_tf.training import loop, pace, tracking

    tracking.require(config.train.callbacks)  # before steps are measured
    given, run_dir = setting_flags.given_settings(), FLAGS.run_dir
    if FLAGS.auto and given < set(config.leaves()):
        config = pace.complete(config, given, run_dir, restart=FLAGS.restart)
    _tell_settings(config)
    result = loop.train(config, run_dir, restart=FLAGS.restart)
    if result:
        print(f"mIoU {metrics.text(result['miou'])} on {result['split']}")
    print(f"Run folder: {run_dir}")


def _tell_settings(config: Config) -> None:
    changed = Config().difference(config)
    print("Settings that differ from the defaults:", file=sys.stderr)
    print("\n".join(f"  {line}" for line in changed), file=sys.stderr)


if __name__ == "__main__":
    cli.define_run_dir("Run folder to write, or to go on with.")
    absl_flags.DEFINE_boolean(
        "restart", False, "Delete what --run_dir holds of a run and begin at step 0."
    )
    absl_flags.DEFINE_boolean(
        "auto",
        True,
        "Without --preset and --config: choose what is not given to fit the data and "
        "the machine, and say it. --noauto: the defaults, which are the paper's.",
    )
    setting_flags.define_config()
    cli.run(main)
