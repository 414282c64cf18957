"""The run folder: what a run was given, and the weights that came of it.

run.json           config, data set and provenance: all that recreates the run
checkpoints/       the latest training states, for resuming
best/              the weights of the best evaluation so far
metrics.jsonl      one line a logged step or evaluation
events/            the same for TensorBoard, and pictures
post_mortem/       what was known of steps whose loss was not finite
eval/<split>.json  what the eval command found
"""

import dataclasses
import pathlib
import platform
import subprocess
import sys
import time
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import deeplab_tf
from deeplab_tf import files
from deeplab_tf.config import Config
from deeplab_tf.data import dataset_info
from deeplab_tf.data.dataset_info import DatasetInfo
from deeplab_tf.errors import UserError
from deeplab_tf.network.deeplab import build_model
from deeplab_tf.network.quantized import quantize

RUN_FILE = "run.json"


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
    provenance: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
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


def start_run(
    run_dir: str, config: Config, info: DatasetInfo, strategy: tf.distribute.Strategy
) -> Run:
    """Opens the run folder to go on with it, or makes it.

    Raises:
      UserError: the folder holds a run of another config or data set.
    """
    path = pathlib.Path(run_dir)
    if (path / RUN_FILE).exists():
        run = open_run(run_dir)
        different = run.config.difference(config)
        if run.info != info:
            different.append("dataset.json: not that of the run")
        if different:
            raise UserError(
                f"{path / RUN_FILE} holds another run; take another --run_dir or its "
                f"settings. It differs in {'; '.join(different)}."
            )
        return run
    run = Run(path, config, info, provenance(strategy))
    files.write_json(path / RUN_FILE, run.to_dict())
    return run


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


def provenance(strategy: tf.distribute.Strategy) -> dict[str, Any]:
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
    """The checkpoint's prefix in the run folder, as tf.train.Checkpoint reads it."""
    folders = {"best": ("best", "checkpoints"), "latest": ("checkpoints",)}[checkpoint]
    for folder in folders:
        path = tf.train.latest_checkpoint(run_path / folder)
        if path is not None:
            return path
    raise UserError(f"{run_path}: holds no checkpoint yet; train first.")


def restore_weights(model: keras.Model, path: str) -> None:
    """Restores all weights of the model from a checkpoint of `weights`.

    Raises:
      UserError: the file is damaged or lacks a weight of the model.
    """
    try:
        status = weights(model).read(path)
        status.assert_existing_objects_matched()
        status.expect_partial()
    except (tf.errors.OpError, AssertionError, ValueError, IndexError) as error:
        first_line = str(error).strip().split("\n")[0]
        raise UserError(
            f"{path}: is damaged or of another model: {first_line}"
        ) from None


def _git_revision() -> str | None:
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40"]
    folder = pathlib.Path(__file__).parent
    try:
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    except OSError:
        return None
    return result.stdout.strip() or None
