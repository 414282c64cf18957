"""Trains one run for each point of a small grid of settings, and compares them.

What follows -- goes to deeplab_tf.train, for every run. Values stand between spaces. A
sweep that was interrupted goes on when the same command is given again: runs that are
done stay, the one that was cut off resumes. It ends with SWEEP/runs.html.

Examples:
  deeplab-tf sweep --sweep_dir=sweeps/rate \\
      --grid='optimizer.learning_rate=0.001 0.003' \\
      --grid='loss.class_weighting=none inverse_root' \\
      -- --preset=demo --data.dataset_dir=data/shapes
"""

import itertools
import os
import pathlib
import re
import subprocess
import sys
from collections.abc import Sequence

from absl import flags as absl_flags

from deeplab_tf import cli, files
from deeplab_tf.config import Config
from deeplab_tf.errors import UserError, unknown
from deeplab_tf.report import overview

FLAGS = absl_flags.FLAGS
# Exit codes of a training that was told to stop and has saved its step.
_STOPPED = (130, 143)
_LONGEST_NAME = 100

Point = tuple[str, ...]  # flags of a run


def main(passed_on: Sequence[str]) -> int:
    """Trains what is not trained yet, compares.

    Returns:
      The exit code: that of a run that was stopped, 1 where a run failed, else 0.
    """
    root, points = pathlib.Path(FLAGS.sweep_dir), grid(FLAGS.grid)
    root.mkdir(parents=True, exist_ok=True)
    failed = []
    for number, point in enumerate(points, 1):
        folder = root / name_of(point)
        if _is_done(folder, root):
            continue
        print(f"{number}/{len(points)} {folder.name}", file=sys.stderr)
        code = _train(folder, [*passed_on, *point])
        if code in _STOPPED:
            return code
        if code:
            failed.append(folder.name)
    runs = overview.find(root)
    with files.replacing(root / "runs.html") as temporary:
        temporary.write_text(overview.render(runs, root.name), encoding="utf-8")
    print(overview.table(runs))
    print(f"Written to {root / 'runs.html'}")
    if failed:
        raise UserError(f"failed, see their messages above: {', '.join(failed)}.")
    return 0


def grid(axes: Sequence[str]) -> list[Point]:
    """All combinations of the axes' values, as flags.

    Args:
      axes: "name=value value ...", each of another setting.

    Raises:
      UserError: a setting is unknown or named twice, or an axis has no value.
    """
    known, flags = Config().leaves(), {}
    for axis in axes:
        name, _, values = axis.partition("=")
        if name not in known:
            raise unknown("setting", name, known)
        if name in flags or not values.split():
            raise UserError(
                f"--grid={axis}: give each setting once, with its values between "
                "spaces, as --grid='optimizer.learning_rate=0.001 0.003'."
            )
        flags[name] = [f"--{name}={value}" for value in values.split()]
    return list(itertools.product(*flags.values()))


def name_of(point: Point) -> str:
    """The folder of a run: the last parts of its settings' names, and their values."""
    text = ",".join(flag.removeprefix("--").partition(".")[2] for flag in point)
    return re.sub(r"[^\w.,=+-]", "_", text)[:_LONGEST_NAME]


def _is_done(folder: pathlib.Path, root: pathlib.Path) -> bool:
    if not (folder / "run.json").exists():
        return False
    return overview.read(folder, root).is_done


def _train(folder: pathlib.Path, flags: Sequence[str]) -> int:
    command = [sys.executable, "-m", "deeplab_tf.train", f"--run_dir={folder}", *flags]
    with subprocess.Popen(command, preexec_fn=cli.ends_with(os.getpid())) as process:
        return process.wait()


if __name__ == "__main__":
    absl_flags.DEFINE_string("sweep_dir", None, "Folder of the runs.", required=True)
    absl_flags.DEFINE_multi_string(
        "grid", None, "NAME=VALUE VALUE ... of a setting; repeat it.", required=True
    )
    cli.run_passing_on(main)
