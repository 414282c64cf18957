"""What gathers context from the encoder's map, by name."""

from collections.abc import Callable, Mapping

import keras

from deeplab_tf import config
from deeplab_tf.network.context import aspp, dense_prediction_cell, pyramid_pooling
from deeplab_tf.network.layers.blocks import Style

# (map [B, h, w, C], settings, style) -> [B, h, w, D]
Build = Callable[[keras.KerasTensor, config.Model, Style], keras.KerasTensor]

# To add one: its file, its entry here and its name in the choices of config.Model.
MODULES: Mapping[str, Build] = {
    "aspp": aspp.build,
    "pyramid_pooling": pyramid_pooling.build,
    "dense_prediction_cell": dense_prediction_cell.build,
    "none": lambda x, model, style: x,
}
