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
import pathlib
import shutil

import keras
import tensorflow as tf

from deeplab_tf import files
from deeplab_tf.config import AUTO, Config
from deeplab_tf.data import dataset_info
from deeplab_tf.data.dataset_info import DatasetInfo
from deeplab_tf.errors import UserError
from deeplab_tf.files import Json
from deeplab_tf.network.deeplab import build_model
from deeplab_tf.network.quantized import quantize
from deeplab_tf.runs import provenance, saving

RUN_FILE = "run.json"
_WRITTEN_DOWN = ("train.init_checkpoint", "train.precision")


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
    given = config.leaves()
    asked = [name for name in _WRITTEN_DOWN if given[name] == AUTO]
    if not asked or not (pathlib.Path(run_dir) / RUN_FILE).exists():
        return config
    begun = open_run(run_dir).config.leaves()
    return config.replace({name: begun[name] for name in asked})


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
        return Run(path, config, info, provenance.of_process(strategy))
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
    path = saving.weights_path(run.path, checkpoint)
    model = build_model(options, run.info.num_classes, channels=run.info.channels)
    if run.config.train.quantize != "none":
        model = quantize.quantize(model)
    saving.restore_weights(model, path)
    return model
