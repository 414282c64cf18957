import math
import os
import shutil

import h5py
import keras
import numpy as np
import pytest
import tiny_dataset
from training_runs import SMALL, assert_same_weights, last_step, losses, metrics

from deeplab_tf import runs
from deeplab_tf.config import Config
from deeplab_tf.errors import UserError
from deeplab_tf.network import backbones
from deeplab_tf.runs import saving
from deeplab_tf.training import distribution, loop
from deeplab_tf.training.recipe import batch_norm_momentum

pytestmark = pytest.mark.usefixtures("shallow_resnet")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    return str(folder), tiny_dataset.write(folder)


@pytest.fixture(scope="module")
def config(dataset):
    return Config().replace({**SMALL, "data.dataset_dir": dataset[0]})


class Record(keras.callbacks.Callback):
    """Writes down what it is told."""

    def __init__(self):
        super().__init__()
        self.told = []

    def on_train_begin(self, logs=None):
        self.told.append(("begin",))

    def on_train_end(self, logs=None):
        self.told.append(("end",))

    def on_epoch_begin(self, epoch, logs=None):
        self.told.append(("epoch begin", epoch))

    def on_epoch_end(self, epoch, logs=None):
        self.told.append(("epoch end", epoch, logs))

    def on_train_batch_begin(self, batch, logs=None):
        self.told.append(("batch begin", batch))

    def on_train_batch_end(self, batch, logs=None):
        self.told.append(("batch end", batch, logs))


@pytest.fixture(scope="module")
def record():
    return Record()


@pytest.fixture(scope="module")
def finished(config, record, tmp_path_factory):
    """The folder of an undisturbed run, with callbacks."""
    folder = tmp_path_factory.mktemp("finished")
    callbacks = [
        record,
        keras.callbacks.CSVLogger(folder / "log.csv"),
        keras.callbacks.ModelCheckpoint(
            folder / "{epoch}.weights.h5", save_weights_only=True
        ),
    ]
    loop.train(config, str(folder), callbacks=callbacks)
    return folder


def test_a_run_leaves_what_the_contract_names(finished, config):
    run = runs.open_run(str(finished))
    assert run.config == config
    assert {"tensorflow", "keras", "command", "devices", "strategy"} <= set(
        run.provenance
    )
    steps = [line["step"] for line in metrics(finished) if "loss" in line]
    assert steps == list(range(1, 13))
    evaluated = [line["step"] for line in metrics(finished) if "miou" in line]
    assert evaluated == [6, 12]
    assert list((finished / "events").iterdir())
    assert saving.weights_path(finished, "best") != saving.weights_path(
        finished, "latest"
    )


def test_loss_falls(finished):
    course = [loss for _, loss in losses(finished)]
    assert np.mean(course[-3:]) < np.mean(course[:3])


class Abort(keras.callbacks.Callback):
    """As a kill after step 5: steps since the last checkpoint are lost."""

    def on_train_batch_end(self, batch, logs=None):
        if batch == 4:
            raise KeyboardInterrupt


def test_aborted_and_resumed_equals_undisturbed(finished, config, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        loop.train(config, str(tmp_path), callbacks=[Abort()])
    assert last_step(tmp_path) == 4
    loop.train(config, str(tmp_path))
    assert_same_weights(finished, tmp_path)
    assert losses(tmp_path) == losses(finished)
    assert [step for step, _ in losses(tmp_path)] == list(range(1, 13))


def test_callbacks_are_driven(finished, record):
    batch = [("batch begin", "batch end")] * 6
    names = [told[0] for told in record.told]
    epoch = ["epoch begin", *(name for pair in batch for name in pair), "epoch end"]
    assert names == ["begin", *epoch, *epoch, "end"]
    numbers = [told[1] for told in record.told if told[0] == "batch end"]
    assert numbers == list(range(12))
    assert [t[1] for t in record.told if t[0].startswith("epoch")] == [0, 0, 1, 1]
    logged = [line for line in metrics(finished) if "loss" in line]
    told = [told[2] for told in record.told if told[0] == "batch end"]
    assert [logs["loss"] for logs in told] == [line["loss"] for line in logged]
    evaluated = [line["miou"] for line in metrics(finished) if "miou" in line]
    ends = [told[2] for told in record.told if told[0] == "epoch end"]
    assert [logs["val_miou"] for logs in ends] == evaluated
    table = np.genfromtxt(finished / "log.csv", delimiter=",", names=True)
    assert table["epoch"].tolist() == [0, 1]
    assert table["val_miou"].tolist() == evaluated
    with h5py.File(finished / "2.weights.h5") as file:
        assert len(file) > 0


def test_early_stopping_ends_the_run_with_its_state_saved(config, tmp_path):
    settings = {"train.eval_steps": 3, "train.checkpoint_steps": 100}
    early = keras.callbacks.EarlyStopping(
        "val_miou", mode="max", min_delta=1.0, patience=1
    )
    loop.train(config.replace(settings), str(tmp_path), callbacks=[early])
    assert early.stopped_epoch == 1
    assert [step for step, _ in losses(tmp_path)] == list(range(1, 7))
    assert last_step(tmp_path) == 6


def test_another_config_is_refused_with_the_difference(finished, config):
    other = config.replace({"optimizer.learning_rate": 0.1})
    before = (finished / "run.json").read_bytes()
    with pytest.raises(UserError, match=r"optimizer\.learning_rate: 0\.05 -> 0\.1"):
        loop.train(other, str(finished))
    assert (finished / "run.json").read_bytes() == before


def test_too_many_devices_and_odd_batches_are_refused(config):
    for name, value in (("train.num_devices", 7), ("train.batch_size", 3)):
        wanted = {"train.strategy": "mirrored", "train.num_devices": 2, name: value}
        with pytest.raises(UserError, match=name):
            distribution.make_strategy(config.replace(wanted).train)


def test_compiled_steps_of_several_replicas_are_refused(config):
    wanted = {"train.strategy": "mirrored", "train.num_devices": 2, "train.xla": "on"}
    with pytest.raises(UserError, match=r"train\.xla must be auto or off"):
        distribution.make_strategy(config.replace(wanted).train)


def test_batch_norm_momentum_fits_the_length_of_the_run():
    released = backbones.get_spec("xception_65").batch_norm_momentum
    model = {"model.backbone": "xception_65"}
    for steps in (100, 1000, 10_000):
        config = Config().replace({**model, "train.steps": steps})
        momentum = batch_norm_momentum(config)
        assert momentum**steps == pytest.approx(math.exp(-20), rel=10)
    config = Config().replace({**model, "train.steps": 1_000_000})
    assert batch_norm_momentum(config) == released
    config = Config().replace({**model, "train.batch_norm_momentum": 0.5})
    assert batch_norm_momentum(config) == 0.5


def test_a_damaged_checkpoint_costs_the_steps_since_the_one_before(
    finished, config, tmp_path, caplog
):
    run = shutil.copytree(finished, tmp_path / "run")
    damaged = run / "checkpoints" / "ckpt-12.data-00000-of-00001"
    damaged.write_bytes(damaged.read_bytes()[:1000])
    loop.train(config, str(run))
    assert "ckpt-12: is damaged" in caplog.text
    assert_same_weights(finished, run)
    assert losses(run) == losses(finished)


def test_a_corrupt_shard_is_named(config, tmp_path):
    tiny_dataset.write(tmp_path)
    shard = tmp_path / "train-00001-of-00003.tfrecord"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 0xFF
    shard.write_bytes(content)
    config = config.replace({"data.dataset_dir": os.fspath(tmp_path)})
    with pytest.raises(UserError, match="train-00001-of-00003"):
        loop.train(config, str(tmp_path / "run"))
