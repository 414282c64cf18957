"""The command: a released checkpoint becomes a run that the others take."""

import os
import subprocess
import sys

import numpy as np
import pytest
import released_graph
import released_variables
from conftest import ROOT
from PIL import Image

from deeplab_tf import runs
from deeplab_tf.released import zoo


def command(module, *arguments):
    return subprocess.run(
        [sys.executable, "-m", f"deeplab_tf.{module}", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
        capture_output=True,
        text=True,
    )


@pytest.fixture
def picture(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (41, 60, 3)).astype(np.uint8)
    path = tmp_path / "picture.png"
    Image.fromarray(pixels).save(path)
    return path


def test_import_and_verify(tmp_path, picture):
    run_dir = tmp_path / "run"
    tensors = released_graph.values()
    slots = {
        f"{name}/Momentum": value
        for name, value in tensors.items()
        if "moving" not in name
    }
    checkpoint = released_variables.write(tmp_path / "model.ckpt-7", tensors | slots)
    graph = tmp_path / "frozen_inference_graph.pb"
    graph.write_bytes(released_graph.graph_def(tensors).SerializeToString())
    result = command(
        "import_tf1",
        f"--checkpoint={checkpoint}",
        f"--run_dir={run_dir}",
        "--verify",
        f"--frozen_graph={graph}",
        f"--images={picture}",
    )
    assert result.returncode == 0, result.stderr
    assert f"{len(tensors)} variables loaded" in result.stdout
    assert f"{len(slots)} left out: optimiser slot" in result.stdout
    assert "model.depth_multiplier: 1.0 -> 0.5" in result.stdout
    assert f"labels equal: {41 * 60} of {41 * 60} pixels" in result.stdout
    run = runs.open_run(str(run_dir))
    assert run.config.model.output_stride == 16  # the graph's 8 is for comparing
    assert runs.load_model(run).count_params() > 0


def test_a_mistake_ends_in_one_line(tmp_path):
    (tmp_path / "model.ckpt.index").write_bytes(b"cut off")
    result = command(
        "import_tf1",
        f"--checkpoint={tmp_path / 'model.ckpt'}",
        f"--run_dir={tmp_path / 'run'}",
    )
    assert result.returncode == 1
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert "damaged or incomplete" in result.stderr
    assert not (tmp_path / "run").exists()


def test_the_list_needs_nothing_else():
    result = command("import_tf1", "--list")
    assert (result.returncode, result.stderr) == (0, "")
    assert "zoo" not in result.stdout
    assert len(result.stdout.splitlines()) == 1 + len(zoo.MODELS)


@pytest.mark.parametrize("flags", [[], ["--run_dir=x"], ["--checkpoint=x.pb"]])
def test_what_is_missing_is_named(flags):
    result = command("import_tf1", *flags)
    missing = "run_dir" if flags == ["--checkpoint=x.pb"] else "checkpoint"
    assert result.returncode == 1
    assert result.stderr.startswith(f"error: --{missing} is missing")
