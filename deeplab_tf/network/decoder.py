"""The decoder of DeepLabv3+ (arXiv 1802.02611, section 3.1 and tables 1 and 2)."""

from collections.abc import Mapping
from typing import Any

import keras

from deeplab_tf.network.layers.blocks import Style, conv, separable
from deeplab_tf.network.layers.resize import ResizeLike

NAME = "decoder"


def build(
    x: Any,
    low_level: Mapping[int, Any],
    *,
    style: Style,
    strides: tuple[int, ...] = (4,),
    channels: int = 256,
    low_level_channels: int = 48,
    separable_conv: bool = True,
) -> Any:
    """Brings the encoder's map up to the boundaries that the low-level map still has.

    Args:
      x: [B, h, w, C], the context module's map.
      low_level: the backbone's maps by stride.
      style: initialisers and normalisation.
      strides: of the low-level maps to merge, descending, one stage each.
      channels: of the two 3x3 convolutions of a stage, and of the result.
      low_level_channels: to which a 1x1 reduces the low-level map, so that it does
        not outweigh the encoder's.
      separable_conv: separable 3x3s.

    Returns:
      [B, H, W, channels] at the last stride.
    """
    for stride in strides:
        name = f"{NAME}.stride_{stride}"
        low = conv(
            low_level[stride],
            low_level_channels,
            1,
            style=style,
            name=f"{name}.low_level",
        )
        x = ResizeLike(name=f"{name}.resize")([x, low])
        x = keras.layers.Concatenate(name=f"{name}.concat")([x, low])
        for i in (1, 2):
            path = f"{name}.conv_{i}"
            if separable_conv:
                x = separable(x, channels, style=style, name=path)
            else:
                x = conv(x, channels, 3, style=style, name=path)
    return x
