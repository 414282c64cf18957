"""The house: who imports whom, and what the script folders must never become."""

import ast
import os
import pathlib
import re
import subprocess
import sys

import pytest
from conftest import ROOT

# Every module of the library and the level that it lives on; a module imports from
# its own level or below.
LEVELS = (
    "errors files quiet progress fields network_settings training_settings config "
    "loss_terms class_weights presets data.info data.tfrecord backbones",
    "layers blocks atrous padding aspp pyramid_pooling dense_prediction_cell decoder "
    "cost losses region_losses hard_pixels data.mixing data.sampling "
    "metrics schedules optimizers visualization "
    "boundary calibration significance picture_scores charts page submission "
    "data.records data.augment encoded_picture quantized_layers",
    "model objective data.pipeline memory",
    "run training evaluation inference serving tf1_checkpoint distribution "
    "train_state train_step preflight interruption post_mortem recovery recalibration "
    "tf1_names tf1_recognition tf1_import tf1_graph tf1_verification "
    "model_zoo released_data initialization "
    "drawing run_log artefact folding proof tflite tflite_file tflite_runner "
    "tiling segmenter reporting report_data report_curves gallery exploration "
    "artefact_labels video "
    "tflite_metadata measurement onnx_file keras_file layer_errors quantization",
    "flags exporting train launch recalibrate eval vis report explore import_tf1",
)
LEVEL = {name: level for level, names in enumerate(LEVELS) for name in names.split()}
PACKAGE = ROOT / "deeplab_tf"
MODULES = sorted(
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
)


def level_of(module: str) -> int:
    if module in ("__init__", "data"):
        return 0
    if module.startswith("backbones."):
        return 1
    return LEVEL[module]


def imported_modules(path: pathlib.Path) -> set[str]:
    """Names below deeplab_tf that a file imports when it is itself imported."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    below = {name.removeprefix("deeplab_tf.") for name in found if "deeplab_tf" in name}
    known = set(MODULES)
    return {
        name if name in known else name.rpartition(".")[0] for name in below
    } & known


def source(module: str) -> pathlib.Path:
    path = PACKAGE.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@pytest.mark.parametrize("module", [name for name in MODULES if name != "__init__"])
def test_imports_go_down(module):
    for other in imported_modules(source(module)):
        assert level_of(other) <= level_of(module), f"{module} imports {other}"


def test_library_imports_no_script():
    for module in MODULES:
        text = source(module).read_text() if module != "__init__" else ""
        assert not re.search(
            r"^\s*(from|import) (datasets|export|benchmarks)\b", text, re.M
        )


@pytest.mark.parametrize("module", LEVELS[0].split())
def test_level_0_loads_no_tensorflow(module):
    code = f"import sys, deeplab_tf.{module}; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


@pytest.mark.parametrize("command", LEVELS[4].split()[2:])
def test_help_loads_no_tensorflow_and_shows_examples(command, tmp_path):
    (tmp_path / "tensorflow.py").write_text("raise SystemExit('loaded TensorFlow')")
    result = subprocess.run(
        [sys.executable, "-m", f"deeplab_tf.{command}", "--help"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.fspath(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert f"python -m deeplab_tf.{command} --" in result.stdout, result.stderr


@pytest.mark.parametrize("folder", ["datasets", "export", "benchmarks"])
def test_script_folders_are_no_packages(folder):
    assert not (ROOT / folder / "__init__.py").exists()


@pytest.mark.parametrize("folder", ["datasets", "export", "benchmarks"])
def test_scripts_shadow_no_module(folder):
    """A script's folder comes first in sys.path, so its file names hide modules."""
    code = (
        "import importlib.util, sys\n"
        "sys.path = [p for p in sys.path if p]\n"
        "print([n for n in sys.argv[1:] if importlib.util.find_spec(n)])"
    )
    names = [
        path.stem for path in (ROOT / folder).iterdir() if path.stem[0] not in "._"
    ]
    result = subprocess.run(
        [sys.executable, "-c", code, *names], cwd="/", capture_output=True, text=True
    )
    assert result.stdout.strip() == "[]"


def test_only_the_library_is_packaged():
    from setuptools import find_packages

    found = find_packages(os.fspath(ROOT), include=["deeplab_tf*"])
    assert "deeplab_tf.backbones" in found
    assert 'include = ["deeplab_tf*"]' in (ROOT / "pyproject.toml").read_text()
