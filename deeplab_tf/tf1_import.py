"""Turns a released TF1 model into a run folder."""

import pathlib
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from deeplab_tf import files, released_data, tf1_checkpoint, tf1_names, tf1_recognition
from deeplab_tf import run as runs
from deeplab_tf.config import Config
from deeplab_tf.data import info as dataset_info
from deeplab_tf.data.info import DatasetInfo
from deeplab_tf.errors import UserError
from deeplab_tf.model import build_model
from deeplab_tf.run import Run
from deeplab_tf.tf1_checkpoint import Released

_LISTED = 10  # names in a message


def fetch(source: str) -> Released:
    """Reads a released model from a file or from the zoo."""
    return tf1_checkpoint.read(source)


def import_model(released: Released, run_dir: str, given: Mapping[str, Any]) -> Run:
    """Writes a run folder with the released weights.

    Args:
      released: its variables.
      run_dir: the folder; must not hold a run.
      given: dotted leaves of Config that override what was recognised.

    Raises:
      UserError: the model is none that can be imported, its variables are not those
        of the network, or the folder holds a run.
    """
    path = pathlib.Path(run_dir)
    if (path / runs.RUN_FILE).exists():
        raise UserError(f"{path}: holds a run already; take another --run_dir.")
    config, info = settings(released, given)
    network = build_model(config.model, info.num_classes)
    assign(network, config, released)
    provenance = runs.provenance(tf.distribute.get_strategy())
    provenance["imported"] = {"source": released.source, "ignored": released.ignored}
    run = Run(path, config, info, provenance)
    best = tf.train.CheckpointManager(runs.weights(network), path / "best", 1)
    best.save(0)
    files.write_json(path / runs.RUN_FILE, run.to_dict())
    return run


def settings(
    released: Released, given: Mapping[str, Any]
) -> tuple[Config, DatasetInfo]:
    """The config of the released model, and its data set."""
    tensors, source = released.tensors, released.source
    fields = tf1_recognition.recognize(tensors, source)
    if not tf1_recognition.has_head(tensors):
        raise UserError(
            f"{source}: holds the backbone {fields['backbone']} alone; train from it "
            f"with --train.init_checkpoint={source}."
        )
    changes = {f"model.{name}": value for name, value in fields.items()}
    classes = tf1_recognition.num_classes(tensors)
    info = released_data.guess(classes)
    folder = given.get("data.dataset_dir")
    if folder:
        info = dataset_info.load(folder)
    if info.num_classes != classes:
        raise UserError(
            f"{source}: has {classes} classes, but the data set {info.name!r} in "
            f"--data.dataset_dir has {info.num_classes}."
        )
    return Config().replace(changes | dict(given)), info


def assign(network: keras.Model, config: Config, released: Released) -> None:
    """Copies every variable; each must be there, of its shape, and no other.

    Raises:
      UserError: lists the variables that are missing, left over or of another shape.
    """
    variables = tf1_names.released_variables(network, config.model)
    tensors = released.tensors
    problems = [f"lacks {name}" for name in variables if name not in tensors]
    problems += [f"has {name} besides" for name in tensors if name not in variables]
    problems += [
        f"{name} is {list(tensors[name].shape)} instead of {list(variable.shape)}"
        for name, variable in variables.items()
        if name in tensors and tensors[name].shape != tuple(variable.shape)
    ]
    if problems:
        more = len(problems) - _LISTED
        raise UserError(
            f"{released.source}: is not the {config.model.backbone} network that its "
            f"names tell: {'; '.join(problems[:_LISTED])}"
            + (f"; and {more} more." if more > 0 else ".")
        )
    for name, variable in variables.items():
        variable.assign(tensors[name])


def describe(released: Released, run: Run) -> str:
    """What was recognised, loaded and left out, in a few lines."""
    reasons: dict[str, int] = {}
    for reason in released.ignored.values():
        reasons[reason] = reasons.get(reason, 0) + 1
    model = run.config.model
    lines = [
        f"{released.source}: {len(released.tensors)} variables loaded",
        *(f"  {count} left out: {reason}" for reason, count in reasons.items()),
        f"  data set {run.info.name}, {run.info.num_classes} classes",
        *(f"  {line}" for line in Config().difference(run.config)),
        f"  output stride {model.output_stride}",
    ]
    return "\n".join(lines)
