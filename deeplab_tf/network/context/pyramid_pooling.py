"""The pyramid pooling module of PSPNet (arXiv 1612.01105, section 3.2)."""

import keras

from deeplab_tf import config
from deeplab_tf.network.layers.blocks import Style, conv
from deeplab_tf.network.layers.means import GridMean
from deeplab_tf.network.layers.resize import ResizeLike

NAME = "pyramid_pooling"


def build(x: keras.KerasTensor, model: config.Model, style: Style) -> keras.KerasTensor:
    """Adds to each pixel the means over ever larger parts of the picture.

    Args:
      x: [B, h, w, C], the encoder's map.
      model: its `pyramid_bins`, of which a level n has the means of n x n equal parts,
        each of C / len(pyramid_bins) channels after its 1x1; the channels of the 3x3
        that merges x and the levels (512 in PSPNet); its dropout.
      style: initialisers and normalisation.

    Returns:
      [B, h, w, aspp_channels].
    """
    levels, bins = [x], model.pyramid_bins
    for parts in bins:
        name = f"{NAME}.bins_{parts}"
        y = GridMean(parts, name=f"{name}.mean")(x)
        y = conv(y, max(1, x.shape[-1] // len(bins)), 1, style=style, name=name)
        levels.append(ResizeLike(name=f"{name}.resize")([y, x]))
    y = keras.layers.Concatenate(name=f"{NAME}.concat")(levels)
    y = conv(y, model.aspp_channels, 3, style=style, name=f"{NAME}.projection")
    return keras.layers.Dropout(model.dropout, name=f"{NAME}.dropout")(y)
