"""Turns a released TF1 model into a run folder."""

import dataclasses
import pathlib
from collections.abc import Iterable

import keras
import numpy as np
import tensorflow as tf

from deeplab_tf import runs
from deeplab_tf.config import Config
from deeplab_tf.data import dataset_info
from deeplab_tf.data.dataset_info import DatasetInfo
from deeplab_tf.errors import UserError
from deeplab_tf.files import Values
from deeplab_tf.network.deeplab import build_model
from deeplab_tf.released import (
    checkpoints,
    class_lists,
    recognition,
    variable_names,
    verification,
    zoo,
)
from deeplab_tf.released.checkpoints import Released
from deeplab_tf.released.frozen_graph import FrozenGraph
from deeplab_tf.released.verification import Comparison
from deeplab_tf.runs import Run, provenance, saving

_LISTED = 10  # names in a message


def fetch(source: str) -> Released:
    """Reads a released model from a file or, as zoo:NAME, from the zoo.

    Raises:
      UserError: there is none, or it cannot be read.
    """
    if not source.startswith(zoo.PREFIX):
        return checkpoints.read(source)
    released = checkpoints.read(str(zoo.fetch(source)))
    settings = {**released.settings, **zoo.get(source).settings}
    return dataclasses.replace(released, source=source, settings=settings)


def import_model(released: Released, run_dir: str, given: Values) -> Run:
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
    origin = provenance.of_process(tf.distribute.get_strategy())
    origin["imported"] = {"source": released.source, "ignored": released.ignored}
    run = Run(path, config, info, origin)
    saving.save_best(path, network, 0)
    runs.save(run)
    return run


def settings(released: Released, given: Values) -> tuple[Config, DatasetInfo]:
    """The config of the released model, and its data set."""
    tensors, source = released.tensors, released.source
    fields = recognition.recognize(tensors, source)
    if not recognition.has_head(tensors):
        raise UserError(
            f"{source}: holds the backbone {fields['backbone']} alone; train from it "
            f"with --train.init_checkpoint={source}."
        )
    classes = recognition.num_classes(tensors)
    changes = {
        "model.padded_size": class_lists.padded_size(classes),
        **{f"model.{name}": value for name, value in fields.items()},
        **released.settings,
        **given,
    }
    info = class_lists.guess(classes)
    folder = given.get("data.dataset_dir")
    if folder:
        info = dataset_info.load(folder)
    if info.num_classes != classes:
        raise UserError(
            f"{source}: has {classes} classes, but the data set {info.name!r} in "
            f"--data.dataset_dir has {info.num_classes}."
        )
    return Config().replace(changes), info


def assign(network: keras.Model, config: Config, released: Released) -> None:
    """Copies every variable; each must be there, of its shape, and no other.

    Raises:
      UserError: lists the variables that are missing, left over or of another shape.
    """
    variables = variable_names.released_variables(network, config.model)
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


def verify(run: Run, graph_path: str, pictures: Iterable[np.ndarray]) -> Comparison:
    """Compares an imported run with the frozen graph that was released with it.

    Our network takes the output stride and the padding of the graph for this.

    Raises:
      UserError: the file is no such graph, or there are no pictures for it.
    """
    graph = FrozenGraph(checkpoints.read_graph(graph_path), graph_path)
    model = dataclasses.replace(run.config.model, **graph.settings())
    network = build_model(model, run.info.num_classes)
    saving.restore_weights(network, saving.weights_path(run.path, "best"))
    return verification.compare(graph, network, model, pictures)


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
