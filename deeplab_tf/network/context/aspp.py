"""Atrous spatial pyramid pooling (DeepLabv3, arXiv 1706.05587, section 3.3)."""

import keras

from deeplab_tf import config
from deeplab_tf.network.layers.blocks import Style, conv, scale_rate, separable
from deeplab_tf.network.layers.means import WindowMean
from deeplab_tf.network.layers.resize import ResizeLike

NAME = "aspp"
IMAGE_POOLING = f"{NAME}.image_pooling.mean"  # the layer that sees all of a picture


def build(x: keras.KerasTensor, model: config.Model, style: Style) -> keras.KerasTensor:
    """Looks at the map through several fields of view and merges what they see.

    Args:
      x: [B, h, w, C], the encoder's map.
      model: its rates, `aspp_` fields, image pooling and dropout. A branch is named by
        its rate at output stride 16, whatever the output stride. The window of an
        `image_pooling_size` slides over maps that are larger.
      style: initialisers and normalisation.

    Returns:
      [B, h, w, aspp_channels].
    """
    channels, branches = model.aspp_channels, []
    if model.image_pooling:
        branches.append(_image_feature(x, model, style))
    branches.append(conv(x, channels, 1, style=style, name=f"{NAME}.conv_1x1"))
    for rate in model.atrous_rates:
        name, scaled = f"{NAME}.atrous_{rate}", scale_rate(rate, model.output_stride)
        if model.aspp_separable:
            branch = separable(x, channels, style=style, name=name, rate=scaled)
        else:
            branch = conv(x, channels, 3, style=style, name=name, rate=scaled)
        branches.append(branch)
    y = branches[0]
    if len(branches) > 1:
        y = keras.layers.Concatenate(name=f"{NAME}.concat")(branches)
    y = conv(y, channels, 1, style=style, name=f"{NAME}.projection")
    return keras.layers.Dropout(model.dropout, name=f"{NAME}.dropout")(y)


def _image_feature(
    x: keras.KerasTensor, model: config.Model, style: Style
) -> keras.KerasTensor:
    """Mean over the picture or a window, 1x1, back to the size of x."""
    name = f"{NAME}.image_pooling"
    window = tuple(
        (side - 1) // model.output_stride + 1 for side in model.image_pooling_size
    )
    if window:
        y = WindowMean(window, name=IMAGE_POOLING)(x)
    else:
        y = keras.layers.GlobalAveragePooling2D(keepdims=True, name=IMAGE_POOLING)(x)
    y = conv(y, model.aspp_channels, 1, style=style, name=name)
    return ResizeLike(name=f"{name}.resize")([y, x])
