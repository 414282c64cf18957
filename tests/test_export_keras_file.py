"""A .keras file is the run's model, in a process that only imports the project."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tiny_run
from conftest import ROOT

import deeplab_tf
from deeplab_tf import runs
from deeplab_tf.export import keras_file
from deeplab_tf.export.agreement import compare
from deeplab_tf.inference import exported
from deeplab_tf.network.quantized import quantize

pytestmark = pytest.mark.usefixtures("shallow_resnet")

SIZE = (66, 81)
PROGRAM = """
import sys
import numpy as np
import keras
import deeplab_tf.network
model = keras.models.load_model(sys.argv[1])
np.save(sys.argv[3], model(np.load(sys.argv[2]), training=False))
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keras")
    return runs.open_run(str(tiny_run.write(folder, tiny_run.FEW_LAYERS)))


@pytest.fixture(params=["float", "quantized"])
def model(request, run):
    loaded = runs.load_model(run)
    if request.param == "float":
        return loaded
    quantized = quantize.quantize(loaded)
    quantize.calibrate(quantized, [np.float32(tiny_run.pictures(*SIZE))])
    return quantized


def test_fresh_process_has_the_model(run, model, tmp_path):
    paths = [tmp_path / name for name in ("model.keras", "pictures.npy", "logits.npy")]
    keras_file.save(model, run, paths[0])
    pictures = np.float32(tiny_run.pictures(*SIZE))
    np.save(paths[1], pictures)
    arguments = [sys.executable, "-c", PROGRAM, *map(str, paths)]
    result = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    expected = np.asarray(model(pictures, training=False))
    np.testing.assert_allclose(
        np.load(paths[2]), expected, atol=1e-5 * np.ptp(expected)
    )


def test_it_is_an_export(run, tmp_path):
    model, path = runs.load_model(run), tmp_path / "model.keras"
    keras_file.save(model, run, path)
    opened = exported.open_export(str(path))
    assert opened.run == json.loads(json.dumps(run.to_dict()))
    (picture,) = tiny_run.pictures(*SIZE)
    agreement = compare(model, opened, [(picture, None)], run.info)
    agreement.require_float("the file")
    labels = deeplab_tf.load(path).predict(picture)
    np.testing.assert_array_equal(labels, opened.labels(picture[None])[0])
    np.testing.assert_array_equal(opened.runner.infer(picture[None])[0], labels)
