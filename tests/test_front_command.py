"""deeplab-tf: every command under one name."""

import subprocess
import sys

import pytest
from conftest import ROOT

from deeplab_tf.__main__ import COMMANDS


def run(*arguments):
    command = [sys.executable, "-m", "deeplab_tf", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_without_a_command_it_lists_them():
    shown = run("--help")
    assert shown.returncode == 0
    for name, (_, text) in COMMANDS.items():
        assert f"  {name:<12} {text}" in shown.stdout
    assert run().returncode == 1


def test_an_unknown_command_is_one_line_with_the_known_ones():
    refused = run("trian")
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: unknown command 'trian'")
    assert "train" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


@pytest.mark.parametrize("shell", ["{} | true", "{} train --help | true"])
def test_nobody_reads_what_it_says(shell):
    command = shell.format(f"set -o pipefail; {sys.executable} -m deeplab_tf")
    result = subprocess.run(
        ["bash", "-c", command], cwd=ROOT, capture_output=True, text=True
    )
    assert (result.returncode, result.stderr) == (141, "")


def test_with_its_output_closed_it_is_silent():
    command = ["sh", "-c", 'exec "$@" >&- 2>&-', "-", sys.executable, "-m"]
    assert subprocess.run([*command, "deeplab_tf", "--help"], cwd=ROOT).returncode == 0


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_shows_its_own_help(name):
    shown = run(name, "--help").stdout
    flag = {
        "convert": "--source_dir",
        "browse": "--dataset_dir",
        "describe": "--dataset_dir",
        "fit": "--source_dir",
        "launch": "--workers",
        "runs": "--runs_dir",
        "sweep": "--sweep_dir",
    }.get(name, "--run_dir")
    assert flag in shown


@pytest.mark.parametrize(
    ("arguments", "flag"),
    [
        (["--output=x.tflite"], "--quantize"),
        (["--output", "x.tflite"], "--quantize"),
        (["--output_dir=x"], "--scales"),
    ],
)
def test_export_takes_its_format_from_the_output(arguments, flag):
    assert flag in run("export", *arguments, "--help").stdout
