"""Shows what accuracy costs: strides, scales and flip from one set of weights.

Writes RUN/explore/<split>.json and .html, a table and a chart of mIoU against
multiply-adds, with measured time and peak memory. A single scale other than 1 is
another input size.

Examples:
  python -m deeplab_tf.explore --run_dir=runs/voc --budget_ms=40
  python -m deeplab_tf.explore --run_dir=runs/voc --output_strides=8,16 \\
      --scales=1.0 --scales=0.5 --scales=0.75,1.0,1.25
"""

import dataclasses

from deeplab_tf import cli, files
from deeplab_tf.config import setting_flags
from deeplab_tf.config.options import ExploreOptions


def main() -> None:
    """Parses, explores, writes."""
    options = setting_flags.options_from_flags(ExploreOptions)
    cli.import_tensorflow()
    from deeplab_tf import runs
    from deeplab_tf.report import exploration, exploration_page

    run = runs.open_run(cli.FLAGS.run_dir)
    files.check_writable(run.path / "explore", "the results belong into the run.")
    split = options.split or run.config.data.eval_split
    dataset_dir, info = runs.dataset(run, options.dataset_dir)
    wanted = exploration.settings(
        options.output_strides,
        options.scales,
        (False, True) if options.flip else (False,),
    )
    height, width = options.size or run.config.data.crop_size
    explored = exploration.explore(
        run, wanted, dataset_dir, info, split, (height, width)
    )
    points = exploration.mark_best(list(explored))
    path = run.path / "explore" / f"{split}.json"
    listed = [dataclasses.asdict(point) for point in points]
    files.write_json(path, {"size": [height, width], "points": listed})
    title = (
        f"{run.path.resolve().name} on {info.name}, {split}, cost at {width} x {height}"
    )
    with files.replacing(path.with_suffix(".html")) as temporary:
        temporary.write_text(exploration_page.render(points, title), encoding="utf-8")
    print(exploration.table(points))
    if options.budget_ms:
        print(exploration.advice(points, options.budget_ms))
    print(f"Written to {path} and {path.with_suffix('.html').name}")


if __name__ == "__main__":
    cli.define_run_dir()
    setting_flags.define_options(ExploreOptions)
    cli.run(main)
