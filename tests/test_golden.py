"""What version 0.1.0 wrote, before its modules moved, is read and gives the same."""

import json
import shutil

import numpy as np
import pytest
from conftest import ROOT

from deeplab_tf import runs
from deeplab_tf.data import dataset_info
from deeplab_tf.training import loop

GOLDEN = ROOT / "tests" / "golden"
# Kernels of other processors add up in another order.
TOLERANCE = {"rtol": 0, "atol": 1e-6}


@pytest.fixture
def run_dir(tmp_path):
    """A copy of the golden run that finds its data set."""
    copy = shutil.copytree(GOLDEN / "run", tmp_path / "run")
    content = json.loads((copy / "run.json").read_text())
    content["config"]["data"]["dataset_dir"] = str(GOLDEN / "data")
    (copy / "run.json").write_text(json.dumps(content))
    return copy


@pytest.fixture(scope="module")
def expected():
    return np.load(GOLDEN / "expected.npz")


def logits_of(model, expected):
    return np.asarray(model(np.float32(expected["images"]), training=False))


def test_run_folder_gives_the_same_logits(run_dir, expected):
    model = runs.load_model(runs.open_run(str(run_dir)))
    found = logits_of(model, expected)
    np.testing.assert_allclose(found, expected["logits"], **TOLERANCE)


def test_keras_file_gives_the_same_logits(expected):
    import keras

    model = keras.saving.load_model(GOLDEN / "model.keras", compile=False)
    found = logits_of(model, expected)
    np.testing.assert_allclose(found, expected["logits"], **TOLERANCE)


def test_training_goes_on_to_the_same_weights(run_dir, expected):
    run = runs.open_run(str(run_dir))
    loop.train(run.config, str(run_dir))
    model = runs.load_model(runs.open_run(str(run_dir)), checkpoint="latest")
    found = logits_of(model, expected)
    # Two more steps, through the running statistics: rounding has grown.
    np.testing.assert_allclose(found, expected["resumed"], rtol=0, atol=1e-4)
    assert np.abs(expected["resumed"] - expected["logits"]).max() > 0.01


def test_shards_are_read():
    info = dataset_info.load(GOLDEN / "data")
    assert {name: split.num_examples for name, split in info.splits.items()} == {
        "train": 6,
        "val": 2,
    }
    assert info.class_names == ("ground", "red", "blue")
