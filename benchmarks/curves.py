"""Training loss and val mIoU of several runs, as a chart for a document.

Example:
  python benchmarks/curves.py --runs runs/camvid runs/camvid1 --output=docs/curves.svg
"""

import argparse
import pathlib
from collections.abc import Sequence

from matplotlib.figure import Figure

from deeplab_tf import files
from deeplab_tf.report import history


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", nargs="+", type=pathlib.Path, required=True)
    parser.add_argument("--titles", nargs="+", help="default: the folders' names")
    parser.add_argument("--output", type=pathlib.Path, required=True, help="SVG or PNG")
    arguments = parser.parse_args()
    titles = arguments.titles or [run.name for run in arguments.runs]
    if len(titles) != len(arguments.runs):
        parser.error("as many --titles as --runs")
    draw(arguments.runs, titles, arguments.output)


def draw(
    runs: Sequence[pathlib.Path], titles: Sequence[str], output: pathlib.Path
) -> None:
    """A panel for each, from the runs' metrics.jsonl."""
    panels = (figure := Figure((9, 3.4), layout="constrained")).subplots(1, 2)
    for run, title in zip(runs, titles, strict=True):
        log = history.read(run / "metrics.jsonl")
        if not log:
            raise SystemExit(f"{run}/metrics.jsonl: holds nothing; is it a run?")
        for axes, key, style in zip(panels, ("loss", "miou"), ("-", "o-"), strict=True):
            points = [(line["step"], line[key]) for line in log if key in line]
            axes.plot(*zip(*points, strict=True), style, label=title)
    for axes, name in zip(panels, ("training loss", "val mIoU"), strict=True):
        axes.set(xlabel="step", ylabel=name)
        axes.grid(alpha=0.3)
    panels[0].legend()
    with files.replacing(output) as temporary:
        figure.savefig(temporary, format=output.suffix[1:])


if __name__ == "__main__":
    main()
