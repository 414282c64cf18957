"""Shows what accuracy costs: strides, scales and flip from one set of weights.

Writes RUN/explore/<split>.json and .html, a table and a chart of mIoU against
multiply-adds, with measured time and peak memory. A single scale other than 1 is
another input size.

Examples:
  python -m deeplab_tf.explore --run_dir=runs/voc
  python -m deeplab_tf.explore --run_dir=runs/voc --output_strides=8,16 \\
      --scales=1.0 --scales=0.5 --scales=0.75,1.0,1.25
"""

import dataclasses
import sys

from absl import flags as absl_flags

from deeplab_tf import cli, files

FLAGS = absl_flags.FLAGS
absl_flags.DEFINE_list("output_strides", ["8", "16", "32"], "Strides to try.")
absl_flags.DEFINE_multi_string(
    "scales", ["0.5", "0.75", "1.0", "0.75,1.0,1.25"], "Scales to average; repeat it."
)
absl_flags.DEFINE_bool("flip", True, "Try each setting with the mirrored picture, too.")
absl_flags.DEFINE_list(
    "size", [], "height,width whose cost is measured; default: the training crop."
)
absl_flags.DEFINE_string("split", None, "Split; default: the run's data.eval_split.")
absl_flags.DEFINE_string("dataset_dir", None, "Folder of the shards, if it moved.")


def main() -> None:
    """Parses, explores, writes."""
    cli.import_tensorflow()
    from deeplab_tf import runs
    from deeplab_tf.report import exploration

    run = runs.open_run(FLAGS.run_dir)
    split = FLAGS.split or run.config.data.eval_split
    dataset_dir, info = runs.dataset(run, FLAGS.dataset_dir)
    strides = [int(s) for s in cli.numbers(FLAGS.output_strides, "output_strides")]
    scales = [cli.numbers(group.split(","), "scales") for group in FLAGS.scales]
    wanted = exploration.settings(
        strides, scales, (False, True) if FLAGS.flip else (False,)
    )
    sides = cli.numbers(FLAGS.size, "size") if FLAGS.size else ()
    height, width = (int(side) for side in sides or run.config.data.crop_size)
    points = []
    for point in exploration.explore(
        run, wanted, dataset_dir, info, split, (height, width)
    ):
        points.append(point)
        print(f"{len(points)} of {len(wanted)}: {point.setting}", file=sys.stderr)
    points = exploration.mark_best(points)
    path = run.path / "explore" / f"{split}.json"
    listed = [dataclasses.asdict(point) for point in points]
    files.write_json(path, {"size": [height, width], "points": listed})
    title = (
        f"{run.path.resolve().name} on {info.name}, {split}, cost at {width} x {height}"
    )
    with files.replacing(path.with_suffix(".html")) as temporary:
        temporary.write_text(exploration.render(points, title), encoding="utf-8")
    print(exploration.table(points))
    print(f"Written to {path} and {path.with_suffix('.html').name}")


if __name__ == "__main__":
    cli.define_run_dir()
    cli.run(main)
