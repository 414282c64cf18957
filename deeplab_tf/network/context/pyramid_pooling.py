"""The pyramid pooling module of PSPNet (arXiv 1612.01105, section 3.2)."""

from typing import Any

import keras

from deeplab_tf.network.layers.blocks import Style, conv
from deeplab_tf.network.layers.means import GridMean
from deeplab_tf.network.layers.resize import ResizeLike

NAME = "pyramid_pooling"


def build(
    x: Any,
    *,
    style: Style,
    bins: tuple[int, ...] = (1, 2, 3, 6),
    channels: int = 256,
    dropout: float = 0.1,
) -> Any:
    """Adds to each pixel the means over ever larger parts of the picture.

    Args:
      x: [B, h, w, C], the encoder's map.
      style: initialisers and normalisation.
      bins: a level n has the means of n x n equal parts, each of C / len(bins)
        channels after its 1x1.
      channels: of the 3x3 that merges x and the levels (512 in PSPNet).
      dropout: share of the result's values set to zero in training.

    Returns:
      [B, h, w, channels].
    """
    levels = [x]
    for parts in bins:
        name = f"{NAME}.bins_{parts}"
        y = GridMean(parts, name=f"{name}.mean")(x)
        y = conv(y, max(1, x.shape[-1] // len(bins)), 1, style=style, name=name)
        levels.append(ResizeLike(name=f"{name}.resize")([y, x]))
    y = keras.layers.Concatenate(name=f"{NAME}.concat")(levels)
    y = conv(y, channels, 3, style=style, name=f"{NAME}.projection")
    return keras.layers.Dropout(dropout, name=f"{NAME}.dropout")(y)
