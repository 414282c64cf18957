"""What several runs predict of the same images, side by side: the paper's figure 6b.

Examples:
  python benchmarks/side_by_side.py --runs=build/ablation/runs/no_decoder-0 \\
      build/ablation/runs/decoder-0 --titles "no decoder" decoder --output=both.png

A row an image: itself, its label, and the labels of each run. The images are those of
the evaluation split of the first run's data set in which the runs differ most.
"""

import argparse
import heapq
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from deeplab_tf import cli, files
from deeplab_tf.data.dataset_info import DatasetInfo


class Row(NamedTuple):
    """An image; the first item orders rows, the second settles ties."""

    differing: float
    number: int
    image: np.ndarray
    labels: np.ndarray
    predicted: list[np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--runs", nargs="+", required=True, help="run folders")
    add("--titles", nargs="+", help="of the runs; default: their folders' names")
    add("--dataset_dir", help="shards, if they moved")
    add("--images", type=int, default=4)
    add("--output", type=pathlib.Path, required=True, help="PNG")
    arguments = parser.parse_args()
    titles = arguments.titles or [pathlib.Path(run).name for run in arguments.runs]
    if len(titles) != len(arguments.runs):
        parser.error("as many --titles as --runs")
    cli.import_tensorflow()
    rows, info = most_different(arguments.runs, arguments.dataset_dir, arguments.images)
    draw(rows, info, titles, arguments.output)


def most_different(
    run_dirs: Sequence[str], dataset_dir: str | None, count: int
) -> tuple[list[Row], DatasetInfo]:
    """The images on which the runs differ most, and their data set."""
    from deeplab_tf import runs
    from deeplab_tf.data.reading import read_split
    from deeplab_tf.inference.predictor import make_predictor

    opened = [runs.open_run(path) for path in run_dirs]
    predictors = [make_predictor(runs.load_model(run)) for run in opened]
    folder, info = runs.dataset(opened[0], dataset_dir)
    best: list[Row] = []
    split = opened[0].config.data.eval_split
    for number, example in enumerate(read_split(folder, info, split, "predict")):
        image, labels = example["image"].numpy(), example["labels"].numpy()
        predicted = [predict.labels(image[None])[0] for predict in predictors]
        differing = float(np.mean(predicted[0] != predicted[-1]))
        row = Row(differing, number, image, labels, predicted)
        (heapq.heappush if len(best) < count else heapq.heappushpop)(best, row)
    return sorted(best, reverse=True), info


def draw(
    rows: Sequence[Row], info: DatasetInfo, titles: Sequence[str], path: pathlib.Path
) -> None:
    """Writes the rows as a PNG."""
    from matplotlib.figure import Figure

    from deeplab_tf.inference import coloring

    columns = ["image", "label", *titles]
    figure = Figure((2.2 * len(columns), 2.3 * len(rows)), layout="tight")
    grid = figure.subplots(len(rows), len(columns), squeeze=False)
    for axes, title in zip(grid[0], columns, strict=True):
        axes.set_title(title)
    for line, row in zip(grid, rows, strict=True):
        masks = [
            coloring.colorize(labels, info.colormap)
            for labels in (row.labels, *row.predicted)
        ]
        for axes, shown in zip(line, [row.image.astype(np.uint8), *masks], strict=True):
            axes.imshow(shown, interpolation="nearest")
            axes.set_axis_off()
    with files.replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=80)


if __name__ == "__main__":
    main()
