"""A grid of runs: names, what differs, and a sweep that is killed and goes on."""

import json
import os
import re
import signal
import subprocess
import sys

import pytest
import tiny_dataset
from conftest import ROOT
from training_runs import SMALL, wait_for_lines

from deeplab_tf.commands import sweep
from deeplab_tf.config import Config
from deeplab_tf.errors import UserError
from deeplab_tf.report import overview


def write(folder, changes, lines):
    """A run folder as train leaves it, without weights."""
    folder.mkdir(parents=True)
    config = Config().replace(changes)
    content = {"config": config.to_dict(), "dataset": {"name": "mine"}}
    (folder / "run.json").write_text(json.dumps(content))
    text = "\n".join(map(json.dumps, lines))
    (folder / "metrics.jsonl").write_text(f'{text}\n{{"step": 99')  # half a line


def test_a_grid_has_all_combinations():
    axes = ["optimizer.learning_rate=0.1 0.2", "data.crop_size=65,65 33,33"]
    points = sweep.grid(axes)
    assert len(set(points)) == 4
    flags = ("--optimizer.learning_rate=0.1", "--data.crop_size=33,33")
    assert points[1] == flags
    assert sweep.name_of(flags) == "learning_rate=0.1,crop_size=33,33"


def test_a_name_means_nothing_to_a_shell():
    name = sweep.name_of(("--loss.terms=cross_entropy,0.5*lovasz",))
    assert name == "terms=cross_entropy,0.5_lovasz"


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        (["optimizer.learning_rat=1"], "Did you mean 'optimizer.learning_rate'"),
        (["optimizer.learning_rate="], "values between spaces"),
        (["train.seed=1", "train.seed=2"], "each setting once"),
    ],
)
def test_a_wrong_grid_is_refused(axes, message):
    with pytest.raises(UserError, match=message):
        sweep.grid(axes)


def test_runs_are_listed_by_what_differs(tmp_path):
    done = {"train.steps": 20, "train.batch_size": 4}
    fast = {"step": 10, "loss": 1.0, "images_per_second": 2.0}
    ends = {"step": 20, "loss": 1.0, "images_per_second": 1.0}
    write(tmp_path / "a", done, [fast, {"step": 10, "miou": 0.25}])
    write(
        tmp_path / "deep/b",
        {**done, "train.seed": 3, "loss.terms": "dice,0.5*focal"},
        [fast, ends, {"step": 20, "miou": 0.5}],
    )
    (tmp_path / "no_run").mkdir()
    best, other = overview.find(tmp_path)
    assert (best.name, best.miou, best.is_done) == ("deep/b", 0.5, True)
    assert (other.step, other.is_done) == (10, False)
    assert best.minutes == pytest.approx((10 * 4 / 2 + 10 * 4 / 1) / 60)
    assert overview.differences([best, other]) == [
        "loss.terms=1*dice,0.5*focal train.seed=3",
        "loss.terms=1*cross_entropy train.seed=0",
    ]
    text = overview.table([best, other])
    assert re.search(r"deep/b +0.5000 +1.0 +20/20  mine  loss.terms", text)
    assert "deep/b" in overview.render([best, other], "two runs")


def test_a_run_without_an_evaluation_is_listed_last(tmp_path):
    write(tmp_path / "a", {}, [{"step": 1, "loss": 2.0}])
    write(tmp_path / "b", {}, [{"step": 1, "miou": 0.0}])
    assert [run.name for run in overview.find(tmp_path)] == ["b", "a"]
    assert " - " in overview.table(overview.find(tmp_path))


def test_the_command_lists_and_tells_what_it_cannot_read(tmp_path):
    write(tmp_path / "a", {}, [{"step": 1, "miou": 0.125}])
    write(tmp_path / "b", {}, [{"step": 1, "miou": 0.25}])
    path = tmp_path / "b" / "run.json"
    path.write_text(path.read_text().replace('"mobilenet_v2"', '"mobilenet_v9"'))
    command = [sys.executable, "-m", "deeplab_tf", "runs", f"--runs_dir={tmp_path}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert "0.1250" in done.stdout, done.stderr
    assert "data set" in done.stdout
    assert "0.2500" not in done.stdout
    assert "left out" in done.stderr
    assert "mobilenet_v9" in done.stderr


@pytest.mark.slow
def test_a_sweep_that_was_killed_ends_in_the_same_table(tmp_path):
    (tmp_path / "data").mkdir()
    tiny_dataset.write(tmp_path / "data")
    settings = {**SMALL, "data.crop_size": (33, 33), "train.steps": 8}
    flags = [
        f"--{name}={','.join(map(str, value)) if isinstance(value, tuple) else value}"
        for name, value in settings.items()
    ]
    grid = ["--grid=optimizer.learning_rate=0.01 0.02", "--grid=train.seed=0 1"]

    def start(name):
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "deeplab_tf", "sweep"),
                *(f"--sweep_dir={tmp_path / name}", *grid, "--", "--noauto"),
                *(f"--data.dataset_dir={tmp_path / 'data'}", *flags),
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def figures(text):  # all but the minutes
        return sorted(re.findall(r"^(learning\S+) +(\S+) +\S+ +(\S+)", text, re.M))

    whole, _ = start("whole").communicate()
    killed = start("killed")
    wait_for_lines(tmp_path / "killed" / "learning_rate=0.01,seed=1", 3, killed)
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    resumed, told = start("killed").communicate()
    assert len(figures(whole)) == 4
    assert figures(resumed) == figures(whole)
    assert "1/4" not in told  # which was done
    assert (tmp_path / "killed" / "runs.html").exists()
