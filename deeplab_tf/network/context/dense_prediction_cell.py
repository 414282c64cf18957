"""The dense prediction cell (arXiv 1809.04184)."""

import keras

from deeplab_tf import config
from deeplab_tf.config.network import Convolution, Pooling
from deeplab_tf.errors import UserError
from deeplab_tf.network.layers.blocks import Style, conv, scale_rate, separable
from deeplab_tf.network.layers.means import WindowMean
from deeplab_tf.network.layers.resize import ResizeLike

NAME = "dense_prediction_cell"

# The best cell found on Cityscapes: a chain and a fan of atrous convolutions.
CITYSCAPES = tuple(
    Convolution(op="conv", kernel=3, rate=rate, input=source)
    for rate, source in (
        ((1, 6), -1),
        ((18, 15), 0),
        ((6, 3), 1),
        ((1, 1), 0),
        ((6, 21), 0),
    )
)


def build(x: keras.KerasTensor, model: config.Model, style: Style) -> keras.KerasTensor:
    """Applies the cell's branches, each to the map or to an earlier branch.

    Args:
      x: [B, h, w, C], the encoder's map.
      model: its `dense_prediction_cell`, whose rates are those of output stride 16,
        scaled; its `image_pooling_size`, of the picture whose map a pyramid_pooling
        branch divides by its grid; its dropout, of the concatenated values before the
        projection.
      style: initialisers and normalisation.

    Returns:
      [B, h, w, aspp_channels].

    Raises:
      UserError: a grid lacks the size that it divides.
    """
    channels, output_stride = model.aspp_channels, model.output_stride
    branches: list[keras.KerasTensor] = []
    for index, branch in enumerate(model.dense_prediction_cell or CITYSCAPES):
        name = f"{NAME}.branch_{index}"
        y = x if branch.input < 0 else branches[branch.input]
        if isinstance(branch, Pooling):
            window = _window(branch.grid_size, model)
            pooled = WindowMean(window, name=f"{name}.mean")(y)
            pooled = conv(pooled, channels, 1, style=style, name=name)
            y = ResizeLike(name=f"{name}.resize")([pooled, y])
        elif branch.kernel == 1:
            y = conv(y, channels, 1, style=style, name=name)
        else:
            down, across = (scale_rate(r, output_stride) for r in branch.rate)
            y = separable(y, channels, style=style, name=name, rate=(down, across))
        branches.append(y)
    y = keras.layers.Concatenate(name=f"{NAME}.concat")(branches)
    y = keras.layers.Dropout(model.dropout, name=f"{NAME}.dropout")(y)
    return conv(y, channels, 1, style=style, name=f"{NAME}.projection")


def _window(grid: tuple[int, int], model: config.Model) -> tuple[int, ...]:
    """Pixels of the map that a part of the grid covers; empty: the whole map."""
    image_size = model.image_pooling_size
    if not image_size and grid != (1, 1):
        raise UserError(
            "model.image_pooling_size must be given for a dense prediction cell with "
            f"grid_size {grid}, as its parts are those of a picture of that size."
        )
    return tuple(
        (side - 1) // (model.output_stride * parts) + 1
        for side, parts in zip(image_size, grid, strict=False)
    )
