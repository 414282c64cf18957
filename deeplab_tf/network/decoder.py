"""The decoder of DeepLabv3+ (arXiv 1802.02611, section 3.1 and tables 1 and 2)."""

from collections.abc import Mapping

import keras

from deeplab_tf import config
from deeplab_tf.network.layers.blocks import Style, conv, separable
from deeplab_tf.network.layers.resize import ResizeLike

NAME = "decoder"


def build(
    x: keras.KerasTensor,
    low_level: Mapping[int, keras.KerasTensor],
    model: config.Model,
    style: Style,
) -> keras.KerasTensor:
    """Brings the encoder's map up to the boundaries that the low-level map still has.

    Args:
      x: [B, h, w, C], the context module's map.
      low_level: the backbone's maps by stride.
      model: its `decoder_strides`, one stage each; the number and channels of the 3x3
        convolutions of a stage, and whether they are separable; `low_level_channels`,
        to which a 1x1 reduces the low-level map, so that it does not outweigh the
        encoder's (0: no 1x1).
      style: initialisers and normalisation.

    Returns:
      [B, H, W, decoder_channels] at the last stride; x itself where there is none.
    """
    channels = model.decoder_channels
    for stride in model.decoder_strides:
        name = f"{NAME}.stride_{stride}"
        low = low_level[stride]
        if model.low_level_channels:
            path = f"{name}.low_level"
            low = conv(low, model.low_level_channels, 1, style=style, name=path)
        x = ResizeLike(name=f"{name}.resize")([x, low])
        x = keras.layers.Concatenate(name=f"{name}.concat")([x, low])
        for i in range(1, model.decoder_convolutions + 1):
            path = f"{name}.conv_{i}"
            if model.decoder_separable:
                x = separable(x, channels, style=style, name=path)
            else:
                x = conv(x, channels, 3, style=style, name=path)
    return x
