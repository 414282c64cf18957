"""Makes a run folder of a released TF1 model, for eval, vis, export and fine-tuning.

Backbone, depth multiplier, head and number of classes are read from the variables. A
checkpoint tells neither the output stride nor the size to which smaller pictures were
padded: a frozen graph does, the zoo's table does, else they are 16 and the data set's
(VOC and ADE20K 513,513, Cityscapes 1025,2049). Any --model flag overrides what was
recognised; --model.padded_size= (empty) leaves pictures at their own size.

Examples:
  python -m deeplab_tf.import_tf1 --list
  python -m deeplab_tf.import_tf1 --checkpoint=model.ckpt-30000 --run_dir=runs/voc
  python -m deeplab_tf.import_tf1 --checkpoint=deeplabv3_pascal_train_aug.tar.gz \\
      --run_dir=runs/voc --data.dataset_dir=data/voc
  python -m deeplab_tf.import_tf1 --checkpoint=model.ckpt-30000 --run_dir=runs/voc \\
      --verify --frozen_graph=frozen_inference_graph.pb --images=pictures/
"""

import itertools
import os
from typing import TYPE_CHECKING

from absl import flags as absl_flags

from deeplab_tf import cli
from deeplab_tf.config import Config, setting_flags
from deeplab_tf.errors import UserError
from deeplab_tf.released import zoo

if TYPE_CHECKING:
    from deeplab_tf.runs import Run

FLAGS = absl_flags.FLAGS
absl_flags.DEFINE_string(
    "checkpoint",
    None,
    "TF1 checkpoint (its prefix or folder), .tar.gz that holds one, frozen graph "
    "(.pb), or zoo:NAME.",
)
absl_flags.DEFINE_bool(
    "list", False, "Print the released models: name, size, whether cached, mIoU."
)
absl_flags.DEFINE_bool(
    "verify", False, "Compare with the frozen graph, layer by layer, on pictures."
)
absl_flags.DEFINE_string(
    "frozen_graph", None, "Frozen graph to compare with; default: the --checkpoint."
)
absl_flags.DEFINE_string(
    "images", None, "Folder, glob or file to compare on; default: the eval split."
)
absl_flags.DEFINE_integer("limit", None, "At most so many pictures.", lower_bound=1)


def main() -> None:
    """Parses, imports, tells."""
    if FLAGS.list:
        print(zoo.table())
        return
    for name in ("checkpoint", "run_dir"):
        if not FLAGS[name].value:
            raise UserError(f"--{name} is missing; --list prints the released models.")
    given = _given()
    cli.import_tensorflow()
    from deeplab_tf.released import importer

    released = importer.fetch(FLAGS.checkpoint)
    run = importer.import_model(released, FLAGS.run_dir, given)
    print(importer.describe(released, run))
    print(f"Run folder: {FLAGS.run_dir}")
    if FLAGS.verify:
        _verify(run)


def _verify(run: "Run") -> None:
    from deeplab_tf import runs
    from deeplab_tf.inference import drawing
    from deeplab_tf.released import importer

    if FLAGS.images:
        examples = drawing.read_pictures(FLAGS.images)
    elif run.config.data.dataset_dir:
        dataset_dir, info = runs.dataset(run)
        split = run.config.data.eval_split
        examples = drawing.read_examples(dataset_dir, info, split)
    else:
        raise UserError("--verify needs pictures: give --images or --data.dataset_dir.")
    pictures = (image for _, image, _ in itertools.islice(examples, FLAGS.limit))
    graph = FLAGS.frozen_graph or FLAGS.checkpoint
    comparison = importer.verify(run, graph, pictures)
    print(comparison)
    if not comparison.is_close():
        raise UserError(f"{graph}: the imported model differs from it.")


def _given() -> dict[str, object]:
    """The settings that the flags give, and nothing else."""
    config = setting_flags.config_from_flags()
    if config.data.dataset_dir:
        absolute = os.path.abspath(config.data.dataset_dir)
        config = config.replace({"data.dataset_dir": absolute})
    changed = Config().leaves().items() ^ config.leaves().items()
    names = {name for name, _ in changed}
    return {
        name: value
        for name, value in config.leaves().items()
        if name in names or FLAGS[name].present
    }


if __name__ == "__main__":
    absl_flags.DEFINE_string("run_dir", None, "Run folder to write.")
    setting_flags.define_config(("data", "model"))
    cli.run(main)
