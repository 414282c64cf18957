"""The wheel alone: from pictures to a .tflite file without the repository."""

import os
import subprocess
import sys
import venv

import pytest
from conftest import ROOT


@pytest.mark.slow
def test_the_wheel_carries_the_whole_job(tmp_path):
    # What PYTHONPATH finds would be taken for installed.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    wheels, home, work = (tmp_path / name for name in ("wheels", "venv", "work"))
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "-w",
        wheels,
        ROOT,
    ]
    subprocess.run(build, check=True)
    (wheel,) = wheels.glob("*.whl")
    venv.create(home, with_pip=True)
    install = [home / "bin" / "pip", "install", "-q", wheel]
    subprocess.run(install, env=environment, check=True)
    work.mkdir()

    def deeplab(*arguments):
        subprocess.run(
            [home / "bin" / "deeplab-tf", *arguments],
            cwd=work,
            env=environment,
            check=True,
        )

    deeplab("train", "--help")
    deeplab("convert", "--dataset=shapes", "--num_examples=16", "--output_dir=data")
    deeplab(
        "train",
        *("--run_dir=run", "--data.dataset_dir=data", "--preset=demo"),
        *("--train.steps=4", "--train.eval_steps=4"),
    )
    deeplab("eval", "--run_dir=run")
    deeplab("report", "--run_dir=run", "--output=report.html")
    deeplab("export", "--run_dir=run", "--output=model.tflite", "--measure=false")
    assert (work / "model.tflite").stat().st_size > 100_000
