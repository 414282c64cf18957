"""Many runs as one table: what differs between them, and how good they are."""

import dataclasses
import pathlib
from collections.abc import Sequence

from absl import logging

from deeplab_tf import files
from deeplab_tf.config import Config
from deeplab_tf.errors import UserError
from deeplab_tf.report import history, page

_LOG = "metrics.jsonl"
# Where a run lies and how it is kept says nothing about how good it is.
_PLACES = {
    "data.dataset_dir",
    "train.callbacks",
    "train.log_steps",
    "train.keep_checkpoints",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Overview:
    """A run as a line of the table.

    Attributes:
      name: its folder, from the folder that was searched.
      dataset: its data set's name.
      config: its settings.
      step: the last that was logged.
      miou: the best of its evaluations; None before the first.
      minutes: of its steps.
    """

    name: str
    dataset: str
    config: Config
    step: int
    miou: float | None
    minutes: float

    @property
    def is_done(self) -> bool:
        """Whether the last step is taken, and evaluated where it is to be."""
        evaluated = self.miou is not None or not self.config.train.eval_steps
        return self.step >= self.config.train.steps and evaluated


def find(folder: pathlib.Path) -> list[Overview]:
    """The runs in a folder and in those below it, the best first.

    One whose run.json cannot be read, as of another version, is told and left out.

    Raises:
      UserError: there is no such folder.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder.")
    found = []
    for path in sorted(log.parent for log in folder.rglob(_LOG)):
        try:
            if (path / "run.json").exists():
                found.append(read(path, folder))
        except UserError as error:
            logging.warning(f"left out: {error}")
    return sorted(found, key=lambda one: 1.0 if one.miou is None else -one.miou)


def read(path: pathlib.Path, root: pathlib.Path) -> Overview:
    """The line of one run folder.

    Raises:
      UserError: its run.json cannot be read.
    """
    run_json = path / "run.json"
    content = files.read_json(run_json, "it is no run folder of train.")
    config = Config.from_dict(content.get("config", {}), str(run_json))
    log = history.read(path / _LOG)
    scores = [line["miou"] for line in log if line.get("miou") is not None]
    return Overview(
        name=str(path.relative_to(root)),
        dataset=str(content.get("dataset", {}).get("name", "")),
        config=config,
        step=max((line["step"] for line in log), default=0),
        miou=max(scores, default=None),
        minutes=history.minutes(log, config.train.batch_size),
    )


def differences(runs: Sequence[Overview]) -> list[str]:
    """Of each run the settings in which the runs differ, as name=value."""
    leaves = [run.config.leaves() for run in runs]
    differing = [
        name
        for name in (leaves[0] if leaves else ())
        if name not in _PLACES and len({repr(one[name]) for one in leaves}) > 1
    ]
    return [
        " ".join(f"{name}={_text(one[name])}" for name in differing) for one in leaves
    ]


def table(runs: Sequence[Overview]) -> str:
    """A line for each run."""
    width = max([len(run.name) for run in runs] + [len("run")])
    lines = [f"{'run':<{width}} {'mIoU':>7} {'minutes':>8} {'step':>13}  data set"]
    for run, differing in zip(runs, differences(runs), strict=True):
        miou = "-" if run.miou is None else f"{run.miou:.4f}"
        step = f"{run.step}/{run.config.train.steps}"
        lines.append(
            f"{run.name:<{width}} {miou:>7} {run.minutes:8.1f} {step:>13}  "
            f"{run.dataset}  {differing}".rstrip()
        )
    return "\n".join(lines)


def render(runs: Sequence[Overview], title: str) -> str:
    """The table as an HTML page."""
    rows = list(zip(runs, differences(runs), strict=True))
    return page.render("overview.html", title=title, rows=rows)


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    if isinstance(value, dict):
        return ",".join(f"{factor:g}*{name}" for name, factor in value.items())
    return str(value)
