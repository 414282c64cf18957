"""Exports run without this project: each in an environment of its runtime alone.

Makes virtual environments outside of the repository and installs into them, so these
tests are slow. DEEPLAB_TEST_VENVS names a folder to keep them in; DEEPLAB_TEST_RUN a
trained run, whose own pictures are then taken.
"""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tiny_run
from PIL import Image

from deeplab_tf import runs
from deeplab_tf.export import proof, saved_model
from deeplab_tf.export.tflite import converter

pytestmark = pytest.mark.slow

# For each runtime: what is installed, and a program that knows nothing of us. It reads
# pictures [n, 1, h, w, 3] and writes labels and logits.
RUNTIMES = {
    "tensorflow": (
        ["tensorflow>=2.21,<2.22"],
        """
loaded = tf.saved_model.load(path)
def run(picture):
    labels = loaded.signatures["serving_default"](pictures=tf.constant(picture))
    logits = loaded.signatures["logits"](pictures=tf.constant(picture))
    return labels["labels"].numpy(), logits["logits"].numpy()
""",
    ),
    "litert": (
        ["ai-edge-litert>=2.1,<3", "numpy"],
        """
from ai_edge_litert.interpreter import Interpreter
runner = Interpreter(path).get_signature_runner()
def run(picture):
    logits = runner(pictures=picture.astype(np.float32))["logits"]
    return logits.argmax(-1), logits
""",
    ),
    "onnxruntime": (
        ["onnxruntime>=1.23,<2"],
        """
import onnxruntime
session = onnxruntime.InferenceSession(path)
def run(picture):
    return session.run(["labels", "logits"], {"pictures": picture})
""",
    ),
}
PROGRAM = """
import sys
import numpy as np
path, pictures, output = sys.argv[1:]
{}
outputs = [run(picture) for picture in np.load(pictures)]
np.savez(output, labels=[o[0][0] for o in outputs], logits=[o[1][0] for o in outputs])
assert not any("deeplab" in name for name in sys.modules)
"""


@pytest.fixture(scope="module")
def venvs(tmp_path_factory):
    kept = os.environ.get("DEEPLAB_TEST_VENVS")
    return pathlib.Path(kept) if kept else tmp_path_factory.mktemp("venvs")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    trained = os.environ.get("DEEPLAB_TEST_RUN")
    return runs.open_run(trained or tiny_run.write(tmp_path_factory.mktemp("fresh")))


@pytest.fixture(scope="module")
def model(run):
    return runs.load_model(run)


def python_of(venvs, name, packages):
    python = venvs / name / "bin/python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", venvs / name], check=True)
        install = [python, "-m", "pip", "install", "--quiet", *packages]
        result = subprocess.run(install, capture_output=True, text=True)
        if result.returncode:
            pytest.skip(f"cannot install {packages}: {result.stderr[-200:]}")
    return python


def export(name, run, model, folder, size):
    if name == "tensorflow":
        saved_model.save(model, run, folder / "export")
        return folder / "export"
    if name == "litert":
        path = folder / "export.tflite"
        path.write_bytes(converter.convert(model, run, [size]))
        return path
    pytest.importorskip("tf2onnx", reason="the extra [onnx] is not installed")
    from deeplab_tf.export import onnx_file

    path = folder / "export.onnx"
    path.write_bytes(onnx_file.convert(model, run))
    return path


def fifty_pictures(run):
    """Pictures [50, 1, h, w, 3], and the share of pixels that must agree."""
    if not os.environ.get("DEEPLAB_TEST_RUN"):
        # Random weights leave more ties than training does.
        pictures = [tiny_run.pictures(97, 131, seed=i) for i in range(50)]
        return np.stack(pictures), 0.998
    height, width = 353, 479
    pictures = [
        np.asarray(Image.fromarray(image).resize((width, height)))
        for image, _ in proof.sample(run, 50)
    ]
    return np.stack(pictures)[:, None], 0.999


@pytest.mark.parametrize("name", RUNTIMES)
def test_labels_are_those_of_keras(name, venvs, run, model, tmp_path):
    packages, body = RUNTIMES[name]
    pictures, agreement = fifty_pictures(run)
    python = python_of(venvs, name, packages)
    path = export(name, run, model, tmp_path, pictures.shape[2:4])
    np.save(tmp_path / "pictures.npy", pictures)
    start = "import tensorflow as tf\n" if name == "tensorflow" else ""
    program = start + PROGRAM.format(body)
    files = [path, tmp_path / "pictures.npy", tmp_path / "outputs.npz"]
    result = subprocess.run(
        [python, "-I", "-c", program, *files],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    outputs = np.load(tmp_path / "outputs.npz")
    expected = np.stack(
        [
            np.asarray(model(np.float32(picture), training=False))[0]
            for picture in pictures
        ]
    )
    limit = 1e-3 * np.ptp(expected)
    assert np.abs(outputs["logits"] - expected).max() < limit
    agrees = outputs["labels"] == expected.argmax(-1)
    best, second = np.moveaxis(np.sort(expected, -1)[..., :-3:-1], -1, 0)
    assert agrees[best - second > 2 * limit].all()
    assert agrees.mean() > agreement
