"""Makes a run folder of a released TF1 model, for eval, vis, export and fine-tuning.

Backbone, depth multiplier, head and number of classes are read from the variables. A
checkpoint does not tell the output stride and the crop size: they are those of
training (16; 513,513) unless --model.output_stride and --model.image_pooling_size say
another. Any --model... flag overrides what was recognised.

Examples:
  python -m deeplab_tf.import_tf1 --checkpoint=model.ckpt-30000 --run_dir=runs/voc
  python -m deeplab_tf.import_tf1 --checkpoint=deeplabv3_pascal_train_aug.tar.gz \\
      --run_dir=runs/voc --data.dataset_dir=data/voc
"""

import os

from absl import flags as absl_flags

from deeplab_tf import flags, quiet
from deeplab_tf.config import Config

FLAGS = absl_flags.FLAGS
absl_flags.DEFINE_string(
    "checkpoint",
    None,
    "TF1 checkpoint (its prefix or folder), .tar.gz that holds one, frozen graph "
    "(.pb), or zoo:NAME.",
    required=True,
)


def main() -> None:
    """Parses, imports, tells."""
    given = _given()
    quiet.import_tensorflow()
    from deeplab_tf import tf1_import

    released = tf1_import.fetch(FLAGS.checkpoint)
    run = tf1_import.import_model(released, FLAGS.run_dir, given)
    print(tf1_import.describe(released, run))
    print(f"Run folder: {FLAGS.run_dir}")


def _given() -> dict[str, object]:
    """The settings that the flags give, and nothing else."""
    config = flags.config_from_flags()
    if config.data.dataset_dir:
        absolute = os.path.abspath(config.data.dataset_dir)
        config = config.replace({"data.dataset_dir": absolute})
    default = Config().leaves()
    return {
        name: value
        for name, value in config.leaves().items()
        if value != default[name] or FLAGS[name].present
    }


if __name__ == "__main__":
    flags.define_run_dir("Run folder to write.")
    flags.define_config()
    flags.run(main)
