"""Finds labels that may be wrong and writes a page to decide on them.

Regions where the network confidently says otherwise than the labels (confident
learning, Northcutt et al. 2021), the most suspect first. RUN/review/<split> then holds
  index.html     the regions: image, labels, prediction. Keys decide: A takes the
                 prediction, V makes the region void, X leaves the example out, D leaves
                 the label as it is; S saves decisions.json
  regions.json   all regions that were found, with their pixels

Most is found where the network was not trained on the labels: on another split, or
after a short training.

Examples:
  python -m deeplab_tf.review --run_dir=runs/street
  python -m deeplab_tf.review --run_dir=runs/street --split=val --count=500
  python -m deeplab_tf.review --run_dir=runs/second --decisions=decisions.json
  python datasets/convert.py --source_dir=DIR --decisions=decisions.json \\
      --output_dir=data/street_2
"""

from deeplab_tf import cli
from deeplab_tf.config import setting_flags
from deeplab_tf.config.options import ReviewOptions


def main() -> None:
    """Parses, looks through, writes."""
    options = setting_flags.options_from_flags(ReviewOptions)
    cli.import_tensorflow()
    from deeplab_tf import runs
    from deeplab_tf.report import review

    result = review.write(runs.open_run(cli.FLAGS.run_dir), options)
    found = result["regions"]
    if files := result["files"]:
        count = result["decided_before"]
        print(f"{count} regions left out, decided before in {', '.join(files)}")
    shown = min(len(found), options.count)
    print(
        f"{len(found)} suspect regions, {shown} of them in {result['path']}/index.html"
    )


if __name__ == "__main__":
    cli.define_run_dir()
    setting_flags.define_options(ReviewOptions)
    cli.run(main)
