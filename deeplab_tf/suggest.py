"""Chooses the images that are worth labelling next, and pre-labels them.

Of a folder of unlabelled images, those of which the network is unsure and that are
unlike what is labelled and chosen already. OUT then holds
  suggested.csv, suggested.txt   the images in the order in which to label them
  index.html                     the same, to look at
  images/ labels/ labelme/ annotations/   with labels to begin with: index PNG,
                                 labelme and COCO, which convert reads back

Examples:
  python -m deeplab_tf.suggest --run_dir=runs/street --images=new/ --output_dir=next
  python -m deeplab_tf.suggest --run_dir=runs/street --images='new/*.jpg' --count=20 \\
      --selection=k_means --output_dir=next
  python datasets/convert.py --source_dir=next --dataset=labelme --output_dir=data/next
"""

from absl import flags as absl_flags

from deeplab_tf import cli
from deeplab_tf.config import setting_flags
from deeplab_tf.config.options import SuggestOptions

FLAGS = absl_flags.FLAGS
absl_flags.DEFINE_string("output_dir", None, "Folder to write.", required=True)


def main() -> None:
    """Parses, chooses, writes."""
    options = setting_flags.options_from_flags(SuggestOptions)
    cli.import_tensorflow()
    from deeplab_tf import runs
    from deeplab_tf.report import suggestions

    run = runs.open_run(cli.FLAGS.run_dir)
    chosen = suggestions.write(run, FLAGS.output_dir, options)
    for rank, one in enumerate(chosen[:10], start=1):
        print(f"{rank:>4}  {one.uncertainty:.3f}  {one.path}")
    print(f"{len(chosen)} images with pre-labels in {FLAGS.output_dir}: index.html")


if __name__ == "__main__":
    cli.define_run_dir()
    setting_flags.define_options(SuggestOptions)
    cli.run(main)
