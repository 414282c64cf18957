"""The dense prediction cell (arXiv 1809.04184), read from its published JSON."""

import json
from typing import Any

import keras

from deeplab_tf import config
from deeplab_tf.errors import UserError
from deeplab_tf.network.layers.blocks import Style, conv, scale_rate, separable
from deeplab_tf.network.layers.means import WindowMean
from deeplab_tf.network.layers.resize import ResizeLike

NAME = "dense_prediction_cell"

# The best cell found on Cityscapes: a chain and a fan of atrous convolutions.
CITYSCAPES = """[
  {"op": "conv", "kernel": 3, "rate": [1, 6], "input": -1},
  {"op": "conv", "kernel": 3, "rate": [18, 15], "input": 0},
  {"op": "conv", "kernel": 3, "rate": [6, 3], "input": 1},
  {"op": "conv", "kernel": 3, "rate": [1, 1], "input": 0},
  {"op": "conv", "kernel": 3, "rate": [6, 21], "input": 0}
]"""


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
      UserError: the JSON is not a cell.
    """
    channels, output_stride = model.aspp_channels, model.output_stride
    branches: list[keras.KerasTensor] = []
    for index, operation in enumerate(parse(model.dense_prediction_cell or CITYSCAPES)):
        name = f"{NAME}.branch_{index}"
        source = operation["input"]
        y = x if source < 0 else branches[source]
        if operation["op"] == "pyramid_pooling":
            window = _window(operation["grid_size"], model)
            pooled = WindowMean(window, name=f"{name}.mean")(y)
            pooled = conv(pooled, channels, 1, style=style, name=name)
            y = ResizeLike(name=f"{name}.resize")([pooled, y])
        elif operation["kernel"] in (1, [1, 1]):
            y = conv(y, channels, 1, style=style, name=name)
        else:
            down, across = (scale_rate(r, output_stride) for r in operation["rate"])
            y = separable(y, channels, style=style, name=name, rate=(down, across))
        branches.append(y)
    y = keras.layers.Concatenate(name=f"{NAME}.concat")(branches)
    y = keras.layers.Dropout(model.dropout, name=f"{NAME}.dropout")(y)
    return conv(y, channels, 1, style=style, name=f"{NAME}.projection")


def _window(grid: list[int], model: config.Model) -> tuple[int, ...]:
    """Pixels of the map that a part of the grid covers; empty: the whole map."""
    image_size = model.image_pooling_size
    if not image_size and grid != [1, 1]:
        raise UserError(
            "model.image_pooling_size must be given for a dense prediction cell with "
            f"grid_size {grid}, as its parts are those of a picture of that size."
        )
    return tuple(
        (side - 1) // (model.output_stride * parts) + 1
        for side, parts in zip(image_size, grid, strict=False)
    )


def parse(cell: str) -> list[dict[str, Any]]:
    """Reads a cell's JSON.

    A branch is {"op": "conv", "kernel": 1 or 3, "rate": [down, across], "input": i}
    or {"op": "pyramid_pooling", "grid_size": [rows, columns], "input": i}, where i is
    an earlier branch or -1 for the encoder's map.

    Raises:
      UserError: which branch is wrong, and what is allowed.
    """
    try:
        branches = json.loads(cell)
    except json.JSONDecodeError as error:
        raise UserError(
            f"model.dense_prediction_cell must be JSON: {error}; received {cell!r}."
        ) from None
    if not isinstance(branches, list) or len(branches) < 2:
        raise UserError(
            "model.dense_prediction_cell must be a list of at least two branches; "
            f"received {cell!r}."
        )
    for index, branch in enumerate(branches):
        if not _is_branch(branch, index):
            raise UserError(
                f"model.dense_prediction_cell: branch {index} must have op conv with "
                "kernel 1 or 3 and two positive rates, or op pyramid_pooling with two "
                f"positive grid_size, and input from -1 to {index - 1}; "
                f"received {branch!r}."
            )
    return branches


def _is_branch(branch: Any, index: int) -> bool:
    if not isinstance(branch, dict) or branch.get("input") not in range(-1, index):
        return False
    if branch.get("op") == "pyramid_pooling":
        return _is_pair(branch.get("grid_size"))
    kernel = branch.get("kernel")
    return branch.get("op") == "conv" and (
        kernel in (1, [1, 1])
        or (kernel in (3, [3, 3]) and _is_pair(branch.get("rate")))
    )


def _is_pair(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(type(part) is int and part > 0 for part in value)
    )
