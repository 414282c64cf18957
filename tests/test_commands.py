"""The command lines as a user runs them: one line and exit code 1 for a mistake."""

import json
import os
import subprocess
import sys

import pytest
import tiny_dataset
from conftest import ROOT

from deeplab_tf.config import Config


def run(module, *flags, limit=None):
    command = [sys.executable, "-m", f"deeplab_tf.{module}", *flags]
    if limit is not None:  # of the size of any file it writes, as a full disk
        command = [
            "bash",
            "-c",
            f'ulimit -f {limit}; trap "" XFSZ; exec "$@"',
            "_",
            *command,
        ]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def assert_one_clear_line(result, *words):
    assert result.returncode == 1, result.stderr
    assert "Traceback" not in result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, result.stderr
    for word in words:
        assert word in lines[0]


@pytest.fixture(scope="module")
def dataset_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    tiny_dataset.write(folder)
    return os.fspath(folder)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--model.backbone=vgg"], ["model.backbone", "mobilenet_v2", "xception_65"]),
        (["--modle.backbone=vgg"], ["modle.backbone", "model.backbone"]),
        (["--train.steps=many"], ["train.steps", "many"]),
        (["--model.output_stride=12"], ["model.output_stride", "8, 16, 32", "12"]),
        (["--model.backbone", "=", "xception_65"], ["model.backbone"]),
        (["--train.steps", "=", "5"], ["train.steps"]),
        (["--preset=vok"], ["preset"]),
        ([], ["--data.dataset_dir is missing"]),
        (["--data.dataset_dir=/nowhere"], ["/nowhere", "dataset.json", "convert.py"]),
        (["--config=/nowhere.json"], ["/nowhere.json"]),
    ],
)
def test_wrong_flags(flags, words, tmp_path):
    run_dir = tmp_path / "run"
    assert_one_clear_line(run("train", f"--run_dir={run_dir}", *flags), *words)
    assert not run_dir.exists()


def test_run_dir_is_required():
    assert_one_clear_line(run("train"), "run_dir")


def test_precedence_is_defaults_preset_config_flags(dataset_dir, tmp_path):
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps({"train": {"steps": 7, "seed": 3}}))
    code = (
        "from deeplab_tf import cli; from deeplab_tf.config import setting_flags\n"
        "setting_flags.define_config()\n"
        "cli.run(lambda: print("
        "*[setting_flags.config_from_flags().leaves()[n] for n in "
        "('train.steps', 'train.seed', 'train.batch_size', 'data.crop_size', "
        "'optimizer.weight_decay', 'model.image_pooling')]))"
    )
    result = subprocess.run(
        [
            sys.executable,
            "-c",
            code,
            "--preset=demo",
            f"--config={settings}",
            "--train.seed=4",
            "--optimizer.weight_decay=none",
            "--nomodel.image_pooling",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    batch_size = Config().train.batch_size
    assert batch_size != 8
    assert result.stdout.split("\n")[0] == "7 4 8 (129, 129) None False", result.stderr


def test_full_disk_names_the_file_and_leaves_no_half_run(dataset_dir, tmp_path):
    run_dir = tmp_path / "run"
    result = run(
        "train",
        f"--run_dir={run_dir}",
        f"--data.dataset_dir={dataset_dir}",
        "--preset=demo",
        limit=1,
    )
    assert_one_clear_line(result, "run.json")
    assert not list(run_dir.glob("*"))


@pytest.mark.parametrize("module", ["eval", "vis"])
def test_a_folder_that_is_no_run_is_named(module, tmp_path):
    extra = ["--split=val", f"--output_dir={tmp_path}"] if module == "vis" else []
    result = run(module, f"--run_dir={tmp_path}", *extra)
    assert_one_clear_line(result, "run.json", "--run_dir")
