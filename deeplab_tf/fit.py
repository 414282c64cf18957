"""Makes a model of a folder of labelled images: shards, a run, a report, exports.

Examples:
  python -m deeplab_tf.fit --source_dir=photos --output_dir=out
  python -m deeplab_tf.fit --source_dir=photos --output_dir=out --minutes=60 \\
      --init_checkpoint=zoo:mobilenetv2_coco_voc_trainval

OUT then holds data/ (audited shards), run/ (the trained run), report.html,
saved_model/, model.tflite, model_int8.tflite and README.md, which tells how good the
model is and how it is run. What was done is not done again: the same command goes on
where it was stopped.
"""

import dataclasses
import os
import pathlib
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from absl import flags

from deeplab_tf import cli, files
from deeplab_tf.config import Config
from deeplab_tf.config.options import (
    EvaluateOptions,
    ExportOptions,
    SavedModelOptions,
    TFLiteOptions,
)
from deeplab_tf.errors import UserError
from deeplab_tf.files import Json

if TYPE_CHECKING:
    from deeplab_tf.runs import Run

FLAGS = flags.FLAGS

# What follows the training: evaluation, report, three exports and their proofs. On two
# CPU cores with 480x360 images it took four of thirty minutes.
_SHARE_OF_TRAINING = 0.8
# Name -> format and its options. An int8 file that loses more is refused.
_EXPORTS: dict[str, tuple[str, ExportOptions]] = {
    "saved_model": ("saved_model", SavedModelOptions()),
    "model.tflite": ("tflite", TFLiteOptions()),
    "model_int8.tflite": ("tflite", TFLiteOptions(quantize="int8", max_miou_drop=0.02)),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Step:
    """One part of the work.

    Attributes:
      title: in a word or two.
      result: its file or folder, which is there once it is done.
      do: makes it.
    """

    title: str
    result: pathlib.Path
    do: Callable[[], object]


def fit(
    source_dir: str,
    output_dir: str,
    *,
    minutes: float = 30.0,
    init_checkpoint: str = "auto",
) -> Json:
    """Converts, audits, chooses settings, trains, evaluates, reports and exports.

    Args:
      source_dir: images and labels in any layout that `convert` knows.
      output_dir: made where missing; a fit that was stopped goes on there.
      minutes: for all of it.
      init_checkpoint: weights to start from, as `train.init_checkpoint`.

    Returns:
      The scores on the split that was held out, as `eval` writes them.

    Raises:
      UserError: the images or labels are not usable; what was done stays.

    Example:
      >>> from deeplab_tf.fit import fit
      >>> fit("photos", "out", minutes=10)["miou"]
    """
    work = _Work(pathlib.Path(output_dir), minutes, init_checkpoint)
    steps = work.steps(source_dir)
    begin = time.perf_counter()
    for number, step in enumerate(steps, 1):
        left = minutes - (time.perf_counter() - begin) / 60
        if step.result.exists():
            _say(f"{number}/{len(steps)} {step.title}: done before, {step.result}")
            continue
        _say(f"{number}/{len(steps)} {step.title}: {max(left, 0):.0f} min left in all")
        step.do()
    return work.scores()


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


class _Work:
    """The steps and what they share."""

    def __init__(
        self, folder: pathlib.Path, minutes: float, init_checkpoint: str
    ) -> None:
        self._folder = folder
        self._minutes = minutes
        self._init_checkpoint = init_checkpoint
        self._begin = time.perf_counter()

    def steps(self, source_dir: str) -> list[Step]:
        """In their order."""
        folder = self._folder
        return [
            Step(
                title="convert and audit",
                result=folder / "data" / "dataset.json",
                do=lambda: self._convert(source_dir),
            ),
            Step(title="train", result=folder / "training.json", do=self._train),
            Step(title="evaluate", result=folder / "scores.json", do=self._evaluate),
            Step(title="report", result=folder / "report.html", do=self._report),
            *(self._export(name, *what) for name, what in _EXPORTS.items()),
            Step(title="README", result=folder / "README.md", do=self._readme),
        ]

    def scores(self) -> Json:
        """What the evaluation found."""
        return files.read_json(self._folder / "scores.json", "give the command again.")

    def _convert(self, source_dir: str) -> None:
        from deeplab_tf.data.conversion import convert

        convert(source_dir, os.fspath(self._folder / "data"))

    def _train(self) -> None:
        cli.import_tensorflow()
        from deeplab_tf import training
        from deeplab_tf.training import pace

        given = {
            "data.dataset_dir": os.path.abspath(self._folder / "data"),
            "train.init_checkpoint": self._init_checkpoint,
            "train.minutes": self._left() * _SHARE_OF_TRAINING,
        }
        run_dir = os.fspath(self._folder / "run")
        config = pace.complete(Config().replace(given), given, run_dir)
        result = training.train(config, run_dir)
        files.write_json(
            self._folder / "training.json",
            {"steps": config.train.steps, "miou": result.get("miou")},
        )

    def _run(self) -> "Run":
        cli.import_tensorflow()
        from deeplab_tf import runs

        return runs.open_run(os.fspath(self._folder / "run"))

    def _left(self) -> float:
        """Minutes of the time that was given."""
        return max(1.0, self._minutes - (time.perf_counter() - self._begin) / 60)

    def _evaluate(self) -> None:
        from deeplab_tf.evaluation import evaluate, evaluate_run

        result = evaluate_run(self._run(), EvaluateOptions())
        print(evaluate.table(result))
        written = files.read_json(result["path"], "give the command again.")
        files.write_json(self._folder / "scores.json", written)

    def _report(self) -> None:
        run = self._run()
        from deeplab_tf import report

        report.write([run], self._folder / "report.html")

    def _export(self, name: str, kind: str, options: ExportOptions) -> Step:
        """One export; where it loses too much, NAME.refused says so instead."""
        path = self._folder / name
        refused = path.with_name(f"{name}.refused.txt")

        def do() -> None:
            run = self._run()
            from deeplab_tf import export

            try:
                export.write(run, kind, path, options)
            except UserError as error:
                _say(f"  {error}")
                _write(refused, f"{error}\n")

        return Step(
            title=f"export {name}", result=refused if refused.exists() else path, do=do
        )

    def _readme(self) -> None:
        run, scores = self._run(), self.scores()
        from deeplab_tf.report import readme

        text = readme.render(self._folder, run, scores)
        _write(self._folder / "README.md", text)


def _write(path: pathlib.Path, text: str) -> None:
    with files.replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def main() -> None:
    """Parses, fits, prints."""
    scores = fit(
        FLAGS.source_dir,
        FLAGS.output_dir,
        minutes=FLAGS.minutes,
        init_checkpoint=FLAGS.init_checkpoint,
    )
    from deeplab_tf.evaluation import metrics

    print(f"mIoU {metrics.text(scores['miou'])} on {scores['split']}.")
    print(f"See {FLAGS.output_dir}/README.md")


if __name__ == "__main__":
    flags.DEFINE_string("source_dir", None, "Images and labels.", required=True)
    flags.DEFINE_string("output_dir", None, "Folder to write.", required=True)
    flags.DEFINE_float("minutes", 30.0, "For all of it.", lower_bound=1.0)
    flags.DEFINE_string(
        "init_checkpoint",
        "auto",
        "Weights to start from, as --train.init_checkpoint; empty: from nothing.",
    )
    cli.run(main)
