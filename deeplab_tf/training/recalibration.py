"""Batch norm statistics from many batches at fixed weights."""

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from deeplab_tf import cli, files, runs
from deeplab_tf.data import reading
from deeplab_tf.errors import UserError
from deeplab_tf.evaluation import evaluate
from deeplab_tf.inference.predictor import make_predictor
from deeplab_tf.network import backbones
from deeplab_tf.network.deeplab import build_model
from deeplab_tf.runs import Run, saving
from deeplab_tf.training import locking


def recalibrate(run: Run, dataset_dir: str, batches: int) -> tuple[float, float]:
    """Estimates the statistics of a run's best weights and keeps them if better.

    Args:
      run: the run.
      dataset_dir: its shards.
      batches: how many training batches to take them from.

    Returns:
      mIoU on the run's eval split before and after.
    """
    if run.config.train.quantize != "none":
        raise UserError(
            f"{run.path}: was trained with train.quantize=int8, so its batch norm is "
            "part of the kernels; recalibrate the float run before."
        )
    files.check_writable(run.path / "best", "its weights are to be replaced.")
    config = run.config.replace({"data.dataset_dir": dataset_dir})
    run = dataclasses.replace(run, config=config)
    model = runs.load_model(run)
    before = _miou(run, model)
    estimate_statistics(run, model, batches)
    after = _miou(run, model)
    if after > before:
        path = saving.weights_path(run.path, "best")
        step = int(path.rsplit("-", 1)[1])
        with locking.locked(run.path):
            saving.save_best(run.path, model, step)
    return before, after


def estimate_statistics(run: Run, model: keras.Model, batches: int) -> None:
    """Sets the model's moving statistics to those of that many training batches.

    The mean is the mean of the batches' means; the variance that of all their pixels:
    the mean of the variances and the variance of the means.
    """
    probe = build_model(
        run.config.model,
        run.info.num_classes,
        channels=run.info.channels,
        batch_norm_momentum=0.0,  # the moving statistics are those of the last batch
    )
    probe.set_weights(model.get_weights())
    forward = tf.function(lambda image: probe(image, training=True))
    fill = backbones.get_spec(run.config.model.backbone).mean
    crops = reading.read_crops(run.config, run.info, batches, fill=fill)
    means: dict[str, np.ndarray] = {}
    squares: dict[str, np.ndarray] = {}
    for batch in cli.bar(crops, "statistics", batches, "batch"):
        forward(batch["image"])
        for mean, variance in _statistics(probe):
            value = mean.numpy().astype(np.float64)
            means[mean.path] = means.get(mean.path, 0) + value / batches
            square = (variance.numpy() + value**2) / batches
            squares[mean.path] = squares.get(mean.path, 0) + square
    for mean, variance in _statistics(model):
        mean.assign(means[mean.path])
        variance.assign(np.maximum(squares[mean.path] - means[mean.path] ** 2, 0))


def _statistics(model: keras.Model) -> list[tuple[keras.Variable, keras.Variable]]:
    return [
        (layer.moving_mean, layer.moving_variance)
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    ]


def _miou(run: Run, model: keras.Model) -> float:
    data = run.config.data
    result = evaluate.evaluate(
        make_predictor(model), data.dataset_dir, run.info, data.eval_split
    )
    if result["miou"] is None:
        raise UserError(f"split {data.eval_split!r}: no pixel is labelled.")
    return result["miou"]
