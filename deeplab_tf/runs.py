"""The run folder: what a run was given, and the weights that came of it.

run.json           config, data set and provenance: all that recreates the run; written
                   once the first step is done
lock               held by the process that trains, which it names
checkpoints/       the latest training states, for resuming
best/              the weights of the best evaluation so far
metrics.jsonl      one line a logged step or evaluation
events/            the same for TensorBoard, and pictures
post_mortem/       what was known of steps whose loss was not finite
trackers.json      the ids of the run in MLflow and Weights & Biases, where it is told
eval/<split>.json  what the eval command found
"""

import dataclasses
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import time

import keras
import numpy as np
import tensorflow as tf

import deeplab_tf
from deeplab_tf import files
from deeplab_tf.config import AUTO, Config
from deeplab_tf.data import dataset_info
from deeplab_tf.data.dataset_info import DatasetInfo
from deeplab_tf.errors import UserError
from deeplab_tf.files import Json
from deeplab_tf.network.deeplab import build_model
from deeplab_tf.network.quantized import quantize

RUN_FILE = "run.json"
_WRITTEN_DOWN = ("train.init_checkpoint", "train.precision")
# What TensorFlow raises for a full disk, a quota, or a limit on the size of a file.
_DISK_ERRORS = (
    tf.errors.ResourceExhaustedError,
    tf.errors.OutOfRangeError,
    tf.errors.UnknownError,
)
_CHECKPOINT = re.compile(r"ckpt-(\d+)\.index")
_HALF_WRITTEN = re.compile(r"ckpt-\d+_temp|checkpoint\.tmp|\.checkpoint\.writing-")


@dataclasses.dataclass(frozen=True)
class Run:
    """A run folder that holds a run.json.

    Attributes:
      path: the folder.
      config: as the run was given it.
      info: of the data set that it was trained on.
      provenance: versions, revision, command, devices, strategy, start.
    """

    path: pathlib.Path
    config: Config
    info: DatasetInfo
    provenance: Json

    def to_dict(self) -> Json:
        """What run.json holds, and every exported file."""
        return {
            "config": self.config.to_dict(),
            "dataset": self.info.to_dict(),
            "provenance": self.provenance,
        }


def open_run(run_dir: str) -> Run:
    """Opens a run folder.

    Raises:
      UserError: there is no run.json, or it cannot be read.
    """
    path = pathlib.Path(run_dir) / RUN_FILE
    content = files.read_json(path, "give the folder that train wrote as --run_dir.")
    try:
        return Run(
            path=path.parent,
            config=Config.from_dict(content["config"], str(path)),
            info=DatasetInfo.from_dict(content["dataset"], str(path)),
            provenance=content["provenance"],
        )
    except (KeyError, TypeError) as error:
        raise UserError(f"{path}: is no run.json of this program ({error}).") from None


def as_begun(config: Config, run_dir: str) -> Config:
    """The config in which `auto` is what the run that goes on there began with.

    Of the settings that a new run writes down as what they stood for.
    """
    if not (pathlib.Path(run_dir) / RUN_FILE).exists():
        return config
    given, begun = config.leaves(), open_run(run_dir).config.leaves()
    return config.replace({n: begun[n] for n in _WRITTEN_DOWN if given[n] == AUTO})


def start_run(
    run_dir: str, config: Config, info: DatasetInfo, strategy: tf.distribute.Strategy
) -> Run:
    """Opens the run folder to go on with it, or says what it will be.

    Nothing is written: see `save`.

    Args:
      run_dir: the folder.
      config: the run's. Of a run that goes on it may differ in what changes no result,
        in the folder of the same shards, and in `train.steps`, which may grow.
      info: of its data set.
      strategy: for the provenance of a new run.

    Raises:
      UserError: the folder holds a run of another config or data set.
    """
    path = pathlib.Path(run_dir)
    if not (path / RUN_FILE).exists():
        return Run(path, config, info, provenance(strategy))
    run = open_run(run_dir)
    goes_on = run.config.with_changeable(config)
    different = goes_on.difference(config)
    if config.train.steps < run.config.train.steps:
        different.append(f"train.steps: {run.config.train.steps} can only grow")
    if run.info != info:
        different.append("dataset.json: not that of the run")
    if different:
        raise UserError(
            f"{path / RUN_FILE} holds another run; take another --run_dir or its "
            f"settings, or --restart to delete it. It differs in "
            f"{'; '.join(different)}."
        )
    return dataclasses.replace(run, config=goes_on)


def save(run: Run) -> None:
    """Writes run.json, whole or not at all."""
    files.write_json(run.path / RUN_FILE, run.to_dict())


def clear(run_dir: str) -> None:
    """Deletes what a training wrote into its folder, and nothing else."""
    path = pathlib.Path(run_dir)
    for name in (RUN_FILE, "metrics.jsonl", "initialization.json", "trackers.json"):
        (path / name).unlink(missing_ok=True)
    for name in ("checkpoints", "best", "events", "post_mortem", "eval"):
        shutil.rmtree(path / name, ignore_errors=True)


def dataset(run: Run, dataset_dir: str | None = None) -> tuple[str, DatasetInfo]:
    """The folder of the shards and its dataset.json.

    Args:
      run: the run.
      dataset_dir: another folder than the run was trained on, or None.

    Raises:
      UserError: there is no dataset.json, or its classes are not the run's.
    """
    folder = dataset_dir or run.config.data.dataset_dir
    info = dataset_info.load(folder)
    if info.class_names != run.info.class_names or info.channels != run.info.channels:
        raise UserError(
            f"{folder}: its classes or channels are not those of {run.path}: "
            f"{list(info.class_names)} instead of {list(run.info.class_names)}."
        )
    return folder, info


def provenance(strategy: tf.distribute.Strategy) -> Json:
    """Versions, revision, command, devices and strategy of this process."""
    return {
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": sys.argv,
        "deeplab_tf": deeplab_tf.__version__,
        "git_revision": _git_revision(),
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
        "devices": [device.name for device in tf.config.list_logical_devices()],
        "strategy": type(strategy).__name__,
        "num_replicas": strategy.num_replicas_in_sync,
    }


def weights(model: keras.Model) -> tf.train.Checkpoint:
    """The weights as a checkpoint that names each by its path in the model."""
    return tf.train.Checkpoint(**{"weights": {v.path: v.value for v in model.weights}})


def load_model(
    run: Run, *, output_stride: int | None = None, checkpoint: str = "best"
) -> keras.Model:
    """Builds the run's model with its trained weights.

    Args:
      run: the run.
      output_stride: another than trained at; the weights fit every one.
      checkpoint: "best" (the latest where there was no evaluation) or "latest".

    Raises:
      UserError: the run holds no weights yet.
    """
    options = run.config.model
    if output_stride is not None:
        options = dataclasses.replace(options, output_stride=output_stride)
    path = weights_path(run.path, checkpoint)
    model = build_model(options, run.info.num_classes, channels=run.info.channels)
    if run.config.train.quantize != "none":
        model = quantize.quantize(model)
    restore_weights(model, path)
    return model


def weights_path(run_path: pathlib.Path, checkpoint: str) -> str:
    """The checkpoint's prefix in the run folder, as `restore_weights` reads it."""
    folders = {"best": ("best", "checkpoints"), "latest": ("checkpoints",)}[checkpoint]
    for folder in folders:
        for path in checkpoint_paths(run_path / folder):
            return path
    raise UserError(f"{run_path}: holds no checkpoint yet; train first.")


def checkpoint_paths(folder: pathlib.Path) -> list[str]:
    """Prefixes of the checkpoints in a folder, the newest first.

    By their names: the file `checkpoint`, where TensorFlow looks, may be lost or lie.
    """
    found = [_CHECKPOINT.fullmatch(path.name) for path in _entries(folder)]
    steps = sorted({int(match[1]) for match in found if match}, reverse=True)
    return [str(folder / f"ckpt-{step}") for step in steps]


def _entries(folder: pathlib.Path) -> list[pathlib.Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def for_tensorflow(path: str) -> str:
    """A checkpoint's prefix in letters that TensorFlow takes as they are."""
    folder, name = os.path.split(path)
    return os.path.join(files.without_wildcards(folder), name)


def write_checkpoint(
    checkpoint: tf.train.Checkpoint, folder: pathlib.Path, step: int, keep: int
) -> None:
    """Writes a checkpoint, and deletes those before but for the last `keep` - 1.

    Raises:
      UserError: the disk is full; what was written before is kept.
    """
    path = folder / f"ckpt-{step}"
    try:
        checkpoint.write(for_tensorflow(str(path)))
    except _DISK_ERRORS as error:
        remove_half_written(folder)
        raise UserError(
            f"{path}: cannot be written ({str(error).splitlines()[0]}); what was "
            "written before is kept. Make space and give the same command again."
        ) from None
    paths = checkpoint_paths(folder)
    upto = paths[paths.index(str(path)) :]
    for old in upto[keep:]:
        name = os.path.basename(old)
        for file in _entries(folder):
            if file.name.partition(".")[0] == name:
                file.unlink()
    lines = [
        f'all_model_checkpoint_paths: "{os.path.basename(p)}"' for p in upto[:keep]
    ]
    # For tf.train.latest_checkpoint; nothing here reads it.
    with files.replacing(folder / "checkpoint") as temporary:
        latest = f'model_checkpoint_path: "ckpt-{step}"'
        temporary.write_text("\n".join([latest, *lines[::-1]]) + "\n")


def remove_half_written(folder: pathlib.Path) -> None:
    """Removes what killed processes left of checkpoints; only one may write there."""
    for path in _entries(folder):
        if _HALF_WRITTEN.match(path.name):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def save_best(run_path: pathlib.Path, model: keras.Model, step: int) -> None:
    """Writes the weights of the best evaluation, of the only step that is kept."""
    write_checkpoint(weights(model), run_path / "best", step, keep=1)


def restore_weights(model: keras.Model, path: str) -> None:
    """Restores all weights of the model from a checkpoint of `weights`.

    Raises:
      UserError: the file is damaged or lacks a weight of the model.
    """
    try:
        status = weights(model).read(for_tensorflow(path))
        status.assert_existing_objects_matched()
        status.expect_partial()
    except (tf.errors.OpError, AssertionError, ValueError, IndexError) as error:
        first_line = str(error).strip().split("\n")[0]
        raise UserError(
            f"{path}: is damaged or of another model: {first_line}"
        ) from None


def _git_revision() -> str | None:
    """The commit of this code, with "-dirty" where files differ from it."""
    # `git describe --dirty` takes the checkout's lock, whatever it is told.
    options = ["--porcelain=v2", "--branch", "--untracked-files=no"]
    command = ["git", "--no-optional-locks", "status", *options]
    folder = pathlib.Path(__file__).parent
    try:
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    except OSError:
        return None
    found = re.match(r"# branch\.oid ([0-9a-f]{40,})$", result.stdout, re.M)
    is_dirty = re.search("^[^#]", result.stdout, re.M)
    return found and found[1] + ("-dirty" if is_dirty else "")
