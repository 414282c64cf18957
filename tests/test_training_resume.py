"""Going on with a run folder: after mishaps, with other settings, beside another."""

import dataclasses
import json
import os
import shutil

import keras
import pytest
import tensorflow as tf
import tiny_dataset
from training_runs import SMALL, last_step, losses

from deeplab_tf import runs
from deeplab_tf.config import Config
from deeplab_tf.data import dataset_info
from deeplab_tf.errors import UserError
from deeplab_tf.runs import saving
from deeplab_tf.training import locking, loop, pace, precision
from deeplab_tf.training.train_state import TrainState

pytestmark = pytest.mark.usefixtures("shallow_resnet")

SHORT = {
    **SMALL,
    "data.crop_size": (33, 33),
    "train.steps": 2,
    "train.checkpoint_steps": 1,
    "train.eval_steps": 0,
}


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    tiny_dataset.write(folder)
    return Config().replace({**SHORT, "data.dataset_dir": str(folder)})


@pytest.fixture(scope="module")
def finished(config, tmp_path_factory):
    """A run of two steps in a folder whose name is a pattern, with 0, 1 and 2 kept."""
    folder = tmp_path_factory.mktemp("runs") / "[exp] 1*\\"
    loop.train(config, str(folder))
    return folder


@pytest.fixture(scope="module")
def state(finished):
    run = runs.open_run(str(finished))
    return TrainState(run.config, run.info)


def test_a_folder_whose_name_is_a_pattern_is_found(finished, state):
    assert saving.weights_path(finished, "latest") == f"{finished}/checkpoints/ckpt-2"
    runs.load_model(runs.open_run(str(finished)))
    assert state.restore_newest(finished) == f"{finished}/checkpoints/ckpt-2"
    assert state.step_number == 2


AUTOMATIC = {"train.init_checkpoint": "auto", "train.precision": "auto"}


def test_auto_is_what_a_run_began_with(config, finished):
    found = runs.as_begun(config.replace(AUTOMATIC), str(finished))
    assert found == config
    other = {**AUTOMATIC, "train.precision": "mixed_bfloat16"}
    found = runs.as_begun(config.replace(other), str(finished))
    assert found.train.precision == "mixed_bfloat16"  # given, so an error later


def test_a_run_that_will_be_deleted_decides_nothing(config, finished, monkeypatch):
    monkeypatch.setattr(precision, "multiplies_bfloat16", lambda: True)
    given = {**config.leaves(), "train.precision": "auto"}
    asked = config.replace(given)
    found = pace.complete(asked, given, str(finished), restart=True)
    assert found.train.precision == "mixed_bfloat16"
    found = pace.complete(asked, given, str(finished))
    assert runs.as_begun(found, str(finished)) == config


def cut(folder, step):
    data = folder / "checkpoints" / f"ckpt-{step}.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:1000])


@pytest.mark.parametrize("content", [None, b"", b"\xff\x00garbage", b"model_checkpoi"])
def test_the_file_checkpoint_may_be_lost_or_lie(content, finished, state, tmp_path):
    run = shutil.copytree(finished, tmp_path / "run")
    (run / "checkpoints" / "checkpoint").unlink()
    if content is not None:
        (run / "checkpoints" / "checkpoint").write_bytes(content)
    half = run / "checkpoints" / "ckpt-3_temp"
    half.mkdir()
    assert state.restore_newest(run).endswith("ckpt-2")
    saving.remove_half_written(run / "checkpoints")
    assert not half.exists()
    saving.write_checkpoint(state.checkpoint, run / "checkpoints", 3, keep=2)
    assert [p[-1] for p in saving.checkpoint_paths(run / "checkpoints")] == [
        "3",
        "2",
    ]
    assert tf.train.latest_checkpoint(run / "checkpoints").endswith("ckpt-3")


def test_the_newest_readable_checkpoint_is_taken_and_the_others_said(
    finished, state, tmp_path, caplog
):
    run = shutil.copytree(finished, tmp_path / "run")
    cut(run, 2)
    assert state.restore_newest(run).endswith("ckpt-1")
    assert state.step_number == 1
    assert "ckpt-2: is damaged" in caplog.text


def test_no_run_with_checkpoints_begins_at_step_0(finished, config, state, tmp_path):
    run = shutil.copytree(finished, tmp_path / "run")
    for step in (0, 1):
        cut(run, step)
    (run / "checkpoints" / "ckpt-2.index").unlink()
    with pytest.raises(UserError, match=r"ckpt-1: is damaged.*--restart"):
        state.restore_newest(run)
    (run / "run.json").unlink()
    with pytest.raises(UserError, match="--restart"):
        loop.train(config, str(run))
    before = (run / "metrics.jsonl").read_bytes()
    assert before == (finished / "metrics.jsonl").read_bytes()


def test_clear_deletes_what_training_wrote_and_nothing_else(finished, tmp_path):
    run = shutil.copytree(finished, tmp_path / "run")
    (run / "notes.txt").write_text("mine")
    runs.clear(str(run))
    assert {path.name for path in run.iterdir()} == {"notes.txt", "lock"}


def test_another_length_other_marks_and_a_moved_data_set(
    finished, config, tmp_path, caplog
):
    run = shutil.copytree(finished, tmp_path / "run")
    moved = shutil.copytree(config.data.dataset_dir, tmp_path / "moved")
    changes = {
        "data.dataset_dir": str(moved),
        "train.steps": 4,
        "train.log_steps": 2,
        "train.keep_checkpoints": 1,
        "train.stall_seconds": 99,
    }
    loop.train(config.replace(changes), str(run))
    assert "train.steps 2 -> 4: the learning rate goes on" in caplog.text
    assert last_step(run) == 4
    assert [step for step, _ in losses(run)] == [1, 2, 4]
    assert runs.open_run(str(run)).config == config.replace(changes)
    with pytest.raises(UserError, match=r"train\.steps: 4 can only grow"):
        loop.train(config, str(run))
    info = dataset_info.load(moved)
    dataset_info.save(dataclasses.replace(info, ignore_label=254), moved)
    with pytest.raises(UserError, match=r"dataset\.json: not that of the run"):
        loop.train(config.replace(changes), str(run))


class Fail(keras.callbacks.Callback):
    """As memory that does not suffice for the first step."""

    def on_train_batch_begin(self, batch, logs=None):
        raise MemoryError


def test_a_failed_start_blocks_no_corrected_command(config, tmp_path):
    wrong = config.replace({"model.output_stride": 8, "train.ema_decay": 0.9})
    with pytest.raises(MemoryError):
        loop.train(wrong, str(tmp_path), callbacks=[Fail()])
    assert not (tmp_path / "run.json").exists()
    loop.train(config.replace({"train.steps": 1}), str(tmp_path))
    assert last_step(tmp_path) == 1


def test_a_folder_that_is_written_names_its_holder(tmp_path):
    (tmp_path / "lock").write_text(json.dumps({"pid": 1, "host": "gone"}))  # stale
    message = f"process {os.getpid()} on .* since"
    with (
        locking.locked(tmp_path),
        pytest.raises(UserError, match=message),
        locking.locked(tmp_path),
    ):
        pass
    with locking.locked(tmp_path):
        pass
