"""The export command lines, as a user calls them."""

import dataclasses
import json
import os
import subprocess
import sys

import agreement
import pytest
import shallow
import tiny_run
from conftest import ROOT

from deeplab_tf import runs
from deeplab_tf.config.options import ExportOptions, TFLiteOptions
from deeplab_tf.errors import UserError
from deeplab_tf.export import keras_file, proof, write
from deeplab_tf.inference import timing

pytestmark = pytest.mark.usefixtures("shallow_resnet")


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    return tiny_run.write(tmp_path_factory.mktemp("export"), tiny_run.FEW_LAYERS)


def call(script, *arguments):
    return subprocess.run(
        shallow.command(script, *arguments),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )


def test_exports_agree(run_dir, tmp_path, monkeypatch):
    saved_model, lite = tmp_path / "saved_model", tmp_path / "model.tflite"
    arguments = f"--run_dir={run_dir}", f"--output_dir={saved_model}", "--nomeasure"
    result = call("export/to_saved_model.py", *arguments)
    assert result.returncode == 0, result.stderr
    assert "pixels agree" in result.stdout
    assert "INFO" not in result.stderr
    assert "WARNING" not in result.stderr
    monkeypatch.setattr(timing, "all_threads", lambda: 1)
    run, options = runs.open_run(str(run_dir)), TFLiteOptions(input_size=(71, 71))
    assert "pixels agree" in proof.describe(write(run, "tflite", lite, options))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "model.tflite",
        "model.tflite.proof.json",
        "saved_model",
        "saved_model.proof.json",
    ]
    report = json.loads((tmp_path / "model.tflite.proof.json").read_text())
    assert report["num_bytes"] == lite.stat().st_size
    assert report["agreement"]["pixel_agreement"] >= 0.999
    assert report["agreement"]["keras_miou"] is not None
    assert all(speed["latency_ms"] > 0 for speed in report["speed"])
    assert {"CONV_2D", "DEPTHWISE_CONV_2D"} <= {
        op["name"] for op in report["operations"]
    }
    found = agreement.measure(str(run_dir), [str(saved_model), str(lite)], 20)
    exports = found["exports"].values()
    assert [export["format"] for export in exports] == ["SavedModel", "TFLite"]
    assert all(export["pixel_agreement"] >= 0.999 for export in exports)


@pytest.mark.parametrize(("arguments", "code"), [((), 1), (("--help",), 0)])
def test_export_without_a_name_says_what_names_there_are(arguments, code):
    command = [sys.executable, "-m", "deeplab_tf", "export", *arguments]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == code
    said = result.stderr if code else result.stdout
    assert "--output=FILE.tflite" in said
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("script", "arguments", "message"),
    [
        ("to_tflite", ["--output=x.tflite", "--input_size=9"], "--input_size"),
        ("to_tflite", ["--output=x.tflite", "--input_size=9,9"], "33 pixels"),
        (
            "to_tflite",
            ["--output=x.tflite", "--quantize=int16x8", "--output_type=labels"],
            "no argmax of 16 bits",
        ),
        ("to_tflite", ["--output=x.txt"], "--output must be"),
        ("to_saved_model", ["--output_dir={tmp}"], "is no earlier export"),
        ("to_web", ["--output_dir={tmp}"], "it has no litert/index.js"),
        ("to_saved_model", ["--output_dir=x", "--scales=0"], "--scales"),
        ("to_saved_model", [], "output_dir"),
    ],
)
def test_wrong_flags(script, arguments, message, run_dir, tmp_path):
    (tmp_path / "precious.txt").touch()
    given = [argument.format(tmp=tmp_path) for argument in arguments]
    result = subprocess.run(
        [sys.executable, f"export/{script}.py", f"--run_dir={run_dir}", *given],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert message in result.stderr
    assert (tmp_path / "precious.txt").exists()


def test_options_and_formats_that_do_not_fit(run_dir, tmp_path):
    run = runs.open_run(str(run_dir))
    with pytest.raises(UserError, match=r"unknown export format 'onx'.*'onnx'"):
        write(run, "onx", tmp_path / "x.onnx")
    with pytest.raises(UserError, match="must be TFLiteOptions; received ExportOpt"):
        write(run, "tflite", tmp_path / "x.tflite", ExportOptions())


def test_a_file_that_breaks_its_promises_is_not_written(run_dir, tmp_path, monkeypatch):
    """As one whose run.json is another run's."""
    run = runs.open_run(str(run_dir))

    def save(model, run, path, save=keras_file.save):
        save(model, dataclasses.replace(run, provenance={}), path)

    monkeypatch.setattr(keras_file, "save", save)
    with pytest.raises(UserError, match=r"what export/README\.md says: run\.json"):
        write(run, "keras", tmp_path / "x.keras")
    assert not list(tmp_path.iterdir())


def test_worse_file_is_not_written(run_dir, tmp_path):
    """No drop is so small that it is below -1."""
    path = tmp_path / "model.tflite"
    path.write_bytes(b"what was there")
    result = call(
        "export/to_tflite.py",
        f"--run_dir={run_dir}",
        f"--output={path}",
        "--input_size=71,71",
        "--quantize=dynamic",
        "--max_miou_drop=-1",
    )
    assert result.returncode == 1
    assert "worse than Keras" in result.stderr
    assert "INFO" not in result.stderr
    assert "WARNING" not in result.stderr
    assert path.read_bytes() == b"what was there"
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.tflite"]


@pytest.mark.parametrize("script", ["to_saved_model", "to_tflite", "to_web"])
def test_help_loads_no_tensorflow_and_shows_examples(script, tmp_path):
    (tmp_path / "tensorflow.py").write_text("raise SystemExit('loaded TensorFlow')")
    result = subprocess.run(
        [sys.executable, f"export/{script}.py", "--help"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
    )
    assert f"python export/{script}.py --" in result.stdout, result.stderr
