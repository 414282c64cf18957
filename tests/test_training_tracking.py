"""What MLflow and Weights & Biases are told, by their own stores."""

import json
import struct
import sys

import keras
import pytest
import tiny_dataset
from training_runs import SMALL, last_step, metrics

from deeplab_tf.config import Config
from deeplab_tf.data.dataset_info import DatasetInfo
from deeplab_tf.errors import UserError
from deeplab_tf.runs import Run
from deeplab_tf.training import loop
from deeplab_tf.training.tracking import Tracking

pytestmark = pytest.mark.usefixtures("shallow_resnet")

SHORT = {
    **SMALL,
    "data.crop_size": (33, 33),
    "train.steps": 4,
    "train.checkpoint_steps": 1,
    "train.eval_steps": 2,
}
CLASSES = ("ground", "red", "blue")
INFO = DatasetInfo(name="tiny", class_names=CLASSES)


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    tiny_dataset.write(folder)
    return Config().replace({**SHORT, "data.dataset_dir": str(folder)})


class At(keras.callbacks.Callback):
    """Does something after a step."""

    def __init__(self, step, what):
        super().__init__()
        self.step, self.what = step, what

    def on_train_batch_end(self, batch, logs=None):
        if batch + 1 == self.step:
            self.what()


def interrupt():
    raise KeyboardInterrupt


@pytest.fixture
def store(tmp_path, monkeypatch):
    """MLflow's database in a file."""
    mlflow = pytest.importorskip("mlflow", reason="mlflow is missing")
    monkeypatch.chdir(tmp_path)  # its artefacts lie in ./mlruns
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    return mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")


def only_run(store):
    (experiment,) = store.search_experiments()
    (found,) = store.search_runs([experiment.experiment_id])
    return found


def test_mlflow_has_what_metrics_jsonl_has_also_of_a_resumed_run(
    config, store, tmp_path
):
    config = config.replace({"train.callbacks": ("mlflow",)})
    folder = tmp_path / "street"
    with pytest.raises(KeyboardInterrupt):
        loop.train(config, str(folder), callbacks=[At(3, interrupt)])
    assert only_run(store).info.status == "KILLED"
    result = loop.train(config, str(folder))
    found = only_run(store)  # the same
    assert (found.info.status, found.info.run_name) == ("FINISHED", "street")
    params = found.data.params
    assert (params["dataset"], params["train.batch_size"]) == ("tiny", "4")
    assert set(params) == {"dataset", *config.leaves()}
    lines = metrics(folder)
    for group, key in (("train", "loss"), ("train", "learning_rate"), ("val", "miou")):
        told = store.get_metric_history(found.info.run_id, f"{group}/{key}")
        expected = [(line["step"], line[key]) for line in lines if key in line]
        assert sorted({(one.step, one.value) for one in told}) == expected
    known = {f"val_iou/{c}" for c in CLASSES if result["per_class_iou"][c] is not None}
    assert known <= set(found.data.metrics)
    kept = {one.path for one in store.list_artifacts(found.info.run_id)}
    assert kept == {"eval", "metrics.jsonl", "run.json"}
    path = store.download_artifacts(found.info.run_id, "eval/val.json", str(tmp_path))
    with open(path) as file:
        assert json.load(file)["confusion_matrix"] == result["confusion_matrix"]


def test_a_tracker_that_fails_ends_no_training(config, store, tmp_path, caplog):
    """Its record was deleted meanwhile, as when a server or a disk is gone."""
    config = config.replace({"train.callbacks": ("mlflow",)})

    def delete():
        store.delete_run(only_run(store).info.run_id)

    folder = tmp_path / "street"
    assert loop.train(config, str(folder), callbacks=[At(2, delete)])["split"] == "val"
    assert last_step(folder) == 4
    (said,) = [one.getMessage() for one in caplog.records]
    assert said.startswith("train.callbacks=mlflow failed and is told nothing more")


def test_one_that_cannot_be_reached_is_warned_of_once(config, store, tmp_path, caplog):
    config = config.replace({"train.callbacks": ("mlflow",)})
    (tmp_path / "trackers.json").write_text('{"mlflow": "gone"}')
    told = Tracking(Run(tmp_path, config, INFO, {}))
    told.log(1, {"train/loss": 0.5})
    told.end(None)
    (said,) = [one.getMessage() for one in caplog.records]
    assert "Run with id=gone not found" in said
    content = json.loads((tmp_path / "trackers.json").read_text())
    assert content == {"mlflow": "gone"}


def records(path):
    """What a .wandb file holds: records in blocks of 32 KiB, as LevelDB writes logs."""
    from wandb.proto import wandb_internal_pb2

    data, place, parts = path.read_bytes(), 7, b""
    while place + 7 <= len(data):
        length, kind = struct.unpack_from("<HB", data, place + 4)
        parts += data[place + 7 : place + 7 + length]
        place += 7 + length
        if 32768 - place % 32768 < 7:
            place += -place % 32768
        if kind in (1, 4):  # whole, or the last part
            yield wandb_internal_pb2.Record.FromString(parts)
            parts = b""


def test_wandb_has_what_metrics_jsonl_has(config, tmp_path, monkeypatch):
    """In its offline mode, which `wandb sync` sends on."""
    pytest.importorskip("wandb", reason="wandb is missing")
    monkeypatch.setenv("WANDB_MODE", "offline")
    for name in ("WANDB_DIR", "WANDB_DATA_DIR", "WANDB_CACHE_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    settings = {"train.callbacks": ("wandb",), "train.steps": 2}
    loop.train(config.replace(settings), str(tmp_path / "street"))
    (path,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    by_kind = {}
    for one in records(path):
        kind = one.WhichOneof("record_type")
        by_kind.setdefault(kind, []).append(getattr(one, kind))
    (begun,), (artifact,) = by_kind["run"], by_kind["artifact"]
    known = json.loads((tmp_path / "street" / "trackers.json").read_text())
    assert (begun.display_name, known) == ("street", {"wandb": begun.run_id})
    values = {}
    for item in [item for one in by_kind["history"] for item in one.item]:
        values.setdefault(item.nested_key[0], []).append(json.loads(item.value_json))
    assert values["_step"] == [1, 2]
    lines = metrics(tmp_path / "street")
    for group, key in (("train", "loss"), ("val", "miou")):
        expected = [line[key] for line in lines if key in line]
        assert values[f"{group}/{key}"] == expected
    told = {
        item.key: item.value_json for one in by_kind["config"] for item in one.update
    }
    assert {"dataset", *config.leaves()} <= set(told)
    assert json.loads(told["train.batch_size"]) == 4
    kept = {item.path for item in artifact.manifest.contents}
    assert kept == {"eval/val.json", "metrics.jsonl", "run.json"}


def test_a_missing_package_is_told_before_the_first_step(config, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    config = config.replace({"train.callbacks": ("wandb",)})
    with pytest.raises(UserError, match=r"callbacks=wandb .*pip install 'deeplab-tf\["):
        loop.train(config, str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("text", ["comet", "mlflow,mlflow"])
def test_other_trackers_are_refused(text):
    with pytest.raises(UserError, match=r"train\.callbacks"):
        Config().replace({"train.callbacks": text}, strict=False)
