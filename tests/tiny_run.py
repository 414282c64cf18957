"""A run folder with a narrow model of random weights, for tests of what reads runs."""

import os

import keras
import numpy as np
import tensorflow as tf
import tiny_dataset

from deeplab_tf import runs
from deeplab_tf.config import Config
from deeplab_tf.network.deeplab import build_model
from deeplab_tf.runs import saving

NARROW = {
    "model.depth_multiplier": 0.25,
    "model.aspp_channels": 16,
    "model.decoder_channels": 16,
    "model.low_level_channels": 8,
    "model.atrous_rates": (2, 3),
}
# The fewest layers to trace.
FEW_LAYERS = {"model.backbone": "resnet_18", "model.depth_multiplier": 1.0}


def randomize_norms(model, rng):
    """Batch norm as after training, not the identity."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            shape = layer.moving_mean.shape
            layer.gamma.assign(rng.uniform(0.5, 1.5, shape))
            layer.beta.assign(rng.normal(0, 0.3, shape))
            layer.moving_mean.assign(rng.normal(0, 0.1, shape))
            layer.moving_variance.assign(rng.uniform(0.5, 2, shape))


def randomize(model, seed=0):
    """Random batch norm, and logits of which every class wins somewhere."""
    randomize_norms(model, np.random.default_rng(seed))
    logits = np.asarray(model(np.float32(pictures(65, 97)), training=False))
    mean, spread = logits.mean((0, 1, 2)), logits.std((0, 1, 2))
    final = model.get_layer("logits")
    final.kernel.assign(final.kernel / spread)
    final.bias.assign((final.bias - mean) / spread)


def write(folder, settings=None, seed=0):
    """Writes data, run.json and weights below `folder`; returns the run's path."""
    data_dir, run_dir = folder / "data", folder / "run"
    data_dir.mkdir(parents=True)
    info = tiny_dataset.write(data_dir, seed=seed)
    config = Config().replace(
        {**NARROW, "data.dataset_dir": os.fspath(data_dir), **(settings or {})}
    )
    run = runs.start_run(os.fspath(run_dir), config, info, tf.distribute.get_strategy())
    keras.utils.set_random_seed(seed)
    model = build_model(config.model, info.num_classes, channels=info.channels)
    randomize(model, seed)
    saving.save_best(run.path, model, 1)
    runs.save(run)
    return run.path


def pictures(height, width, count=1, seed=1):
    """uint8 [count, height, width, 3]: smooth, as photographs are."""
    coarse = np.random.default_rng(seed).uniform(0, 255, (count, 5, 4, 3))
    smooth = tf.image.resize(coarse, [height, width], "bicubic").numpy()
    return np.uint8(np.clip(smooth, 0, 255))
