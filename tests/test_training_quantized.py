"""Runs of train.quantize=int8: how they start, resume, load."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny_run

import deeplab_tf
from deeplab_tf import runs
from deeplab_tf.errors import UserError
from deeplab_tf.network.quantized import quantize
from deeplab_tf.training import loop, recalibration

pytestmark = pytest.mark.usefixtures("shallow_resnet")


@pytest.fixture(scope="module")
def float_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("float")
    settings = {"model.context": "none", "model.decoder_strides": ()}
    path = tiny_run.write(folder, {**tiny_run.FEW_LAYERS, **settings})
    return runs.open_run(str(path))


def quantized_config(float_run, **settings):
    return float_run.config.replace(
        {
            "data.crop_size": (65, 65),
            "optimizer.learning_rate": 1e-6,  # random kernels have large gradients
            "train.quantize": "int8",
            "train.init_checkpoint": str(float_run.path),
            "train.steps": 4,
            "train.batch_size": 2,
            "train.log_steps": 1,
            "train.checkpoint_steps": 2,
            "train.eval_steps": 0,
            **settings,
        }
    )


class _StopAfterTwo(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        self.model.stop_training = batch == 1


@pytest.fixture(scope="module")
def trained(float_run, tmp_path_factory):
    """Run folders of one run as a whole, and of the same stopped and resumed."""
    config = quantized_config(float_run)
    whole, resumed = (tmp_path_factory.mktemp(name) for name in ("whole", "resumed"))
    loop.train(config, str(whole))
    loop.train(config, str(resumed), [_StopAfterTwo()])
    assert len((resumed / "metrics.jsonl").read_text().splitlines()) == 2
    loop.train(config, str(resumed))
    return whole, resumed


def test_resumed_run_is_the_undisturbed_one(trained):
    one, other = (tf.train.load_checkpoint(str(f / "checkpoints")) for f in trained)
    names = set(one.get_variable_to_shape_map()) - {"_CHECKPOINTABLE_OBJECT_GRAPH"}
    assert any("logits..range" in name for name in names)
    for name in names:
        np.testing.assert_array_equal(
            one.get_tensor(name), other.get_tensor(name), err_msg=name
        )


def test_kernels_train_and_ranges_stay(trained, float_run):
    run = runs.open_run(str(trained[0]))
    before, after = (
        runs.load_model(float_run),
        runs.load_model(run, checkpoint="latest"),
    )
    told = json.loads((trained[0] / "initialization.json").read_text())
    assert (told["skipped"], len(told["loaded"])) == ({}, len(before.weights))
    start = quantize.quantize(before)
    moved = {
        variable.path.rpartition("/")[2]
        for variable, new in zip(start.weights, after.weights, strict=True)
        if not np.array_equal(variable, new)
    }
    assert moved == {"kernel", "bias", "low", "high"}  # low, high: by calibration
    measured = after.get_layer("logits.range")
    assert float(measured.low) < -1 or float(measured.high) > 1


def test_loaded_run_predicts(trained, float_run):
    run = runs.open_run(str(trained[0]))
    picture = tiny_run.pictures(64, 81)
    logits = runs.load_model(run)(np.float32(picture), training=False)
    labels = deeplab_tf.load(trained[0]).predict(picture[0])
    assert (labels == np.asarray(logits)[0].argmax(-1)).mean() > 0.9
    assert len(set(labels.ravel())) > 1


def test_trained_run_at_another_output_stride(trained):
    run = runs.open_run(str(trained[0]))
    weights = [np.asarray(w) for w in runs.load_model(run).weights]
    for one, other in zip(
        weights, runs.load_model(run, output_stride=8).weights, strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_recalibration_and_further_runs_from_it_are_refused(trained, float_run):
    run = runs.open_run(str(trained[0]))
    with pytest.raises(UserError, match="batch norm is part of the kernels"):
        recalibration.recalibrate(run, run.config.data.dataset_dir, 1)
    config = quantized_config(float_run, **{"train.init_checkpoint": str(trained[0])})
    with pytest.raises(UserError, match=r"float run; received .* It began with"):
        loop.train(config, str(trained[0] / "next"))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"train.init_checkpoint": ""}, "train.init_checkpoint must be a trained run"),
        ({"train.precision": "mixed_bfloat16"}, "train.precision must be float32"),
        ({"train.quantize": "int4"}, "unknown train.quantize"),
    ],
)
def test_settings_that_do_not_go_together(float_run, settings, words):
    with pytest.raises(UserError, match=words):
        quantized_config(float_run, **settings)
