"""Atrous spatial pyramid pooling (DeepLabv3, arXiv 1706.05587, section 3.3)."""

from typing import Any

import keras

from deeplab_tf.network.layers.blocks import Style, conv, scale_rate, separable
from deeplab_tf.network.layers.means import WindowMean
from deeplab_tf.network.layers.resize import ResizeLike

NAME = "aspp"
IMAGE_POOLING = f"{NAME}.image_pooling.mean"  # the layer that sees all of a picture


def build(
    x: Any,
    *,
    style: Style,
    output_stride: int,
    rates: tuple[int, ...] = (6, 12, 18),
    channels: int = 256,
    separable_conv: bool = True,
    image_pooling: bool = True,
    image_pooling_size: tuple[int, ...] = (),
    dropout: float = 0.1,
) -> Any:
    """Looks at the map through several fields of view and merges what they see.

    Args:
      x: [B, h, w, C], the encoder's map.
      style: initialisers and normalisation.
      output_stride: of x.
      rates: of the atrous branches at output stride 16; scaled by 16 / output_stride.
        A branch is named by this number at every output stride.
      channels: of each branch and of the result.
      separable_conv: atrous separable convolutions, as in DeepLabv3+.
      image_pooling: a branch with the mean over the picture.
      image_pooling_size: (height, width) of a picture whose map is the window of that
        mean, which then slides over larger maps; empty: the whole picture.
      dropout: share of the result's values set to zero in training.

    Returns:
      [B, h, w, channels].
    """
    branches = []
    if image_pooling:
        window = tuple((side - 1) // output_stride + 1 for side in image_pooling_size)
        branches.append(_image_feature(x, channels, window, style))
    branches.append(conv(x, channels, 1, style=style, name=f"{NAME}.conv_1x1"))
    for rate in rates:
        name, scaled = f"{NAME}.atrous_{rate}", scale_rate(rate, output_stride)
        if separable_conv:
            branch = separable(x, channels, style=style, name=name, rate=scaled)
        else:
            branch = conv(x, channels, 3, style=style, name=name, rate=scaled)
        branches.append(branch)
    y = branches[0]
    if len(branches) > 1:
        y = keras.layers.Concatenate(name=f"{NAME}.concat")(branches)
    y = conv(y, channels, 1, style=style, name=f"{NAME}.projection")
    return keras.layers.Dropout(dropout, name=f"{NAME}.dropout")(y)


def _image_feature(x: Any, channels: int, window: tuple[int, ...], style: Style) -> Any:
    """Mean over the picture or a window, 1x1, back to the size of x."""
    name = f"{NAME}.image_pooling"
    if window:
        y = WindowMean(window, name=IMAGE_POOLING)(x)
    else:
        y = keras.layers.GlobalAveragePooling2D(keepdims=True, name=IMAGE_POOLING)(x)
    y = conv(y, channels, 1, style=style, name=name)
    return ResizeLike(name=f"{name}.resize")([y, x])
