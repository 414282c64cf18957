"""The dense prediction cell against NumPy, and what is no cell."""

import json

import numpy as np
import pytest
from head_models import STYLE, TOLERANCE, picture, wrap
from numpy_network import resize, window_mean

from deeplab_tf.config import Config, Model
from deeplab_tf.errors import UserError
from deeplab_tf.network.context import dense_prediction_cell


def expected(network, x, cell, factor, window):
    branches = []
    for index, operation in enumerate(cell):
        name = f"dense_prediction_cell.branch_{index}"
        source = operation["input"]
        y = x if source < 0 else branches[source]
        if operation["op"] == "pyramid_pooling":
            y = resize(network.block(window_mean(y, window), name), x.shape[1:3])
        elif operation["kernel"] == 1:
            y = network.block(y, name)
        else:
            rates = tuple(int(rate * factor) for rate in operation["rate"])
            y = network.separable(y, name, rate=rates)
        branches.append(y)
    merged = np.concatenate(branches, axis=-1)
    return network.block(merged, "dense_prediction_cell.projection")


@pytest.mark.parametrize("output_stride", [8, 16])
def test_published_cell_equals_numpy(output_stride):
    settings = Model(output_stride=output_stride, aspp_channels=6)
    model, network = wrap(lambda x: dense_prediction_cell.build(x, settings, STYLE), 5)
    x = picture(1, 20, 23, 5)  # larger than any rate of output stride 16
    cell = [
        {"op": "conv", "kernel": 3, "rate": rate, "input": source}
        for rate, source in (
            ([1, 6], -1),
            ([18, 15], 0),
            ([6, 3], 1),
            ([1, 1], 0),
            ([6, 21], 0),
        )
    ]
    wanted = expected(network, x, cell, 16 / output_stride, None)
    np.testing.assert_allclose(model(x), wanted, **TOLERANCE)


def test_cell_with_pooling_and_1x1_equals_numpy():
    cell = [
        {"op": "conv", "kernel": 1, "input": -1},
        {"op": "pyramid_pooling", "grid_size": [2, 1], "input": 0},
    ]
    settings = Model(
        dense_prediction_cell=json.dumps(cell),
        aspp_channels=6,
        image_pooling_size=(129, 97),
    )
    model, network = wrap(lambda x: dense_prediction_cell.build(x, settings, STYLE), 5)
    x = picture(2, 9, 8, 5)
    window = (128 // 32 + 1, 96 // 16 + 1)
    wanted = expected(network, x, cell, 1, window)
    np.testing.assert_allclose(model(x), wanted, **TOLERANCE)


@pytest.mark.parametrize(
    "cell",
    [
        "[",
        "{}",
        '[{"op": "conv", "kernel": 1, "input": -1}]',
        '[{"op": "conv", "kernel": 1, "input": 0}, {"op": "conv", "kernel": 1}]',
        '[{"op": "conv", "kernel": 5, "rate": [1, 1], "input": -1}, {}]',
        '[{"op": "conv", "kernel": 3, "rate": [0, 1], "input": -1}, {}]',
        '[{"op": "pool", "input": -1}, {}]',
    ],
)
def test_what_is_no_cell_is_refused_by_name(cell):
    with pytest.raises(UserError, match=r"model\.dense_prediction_cell"):
        Config().replace({"model.dense_prediction_cell": cell})


def test_the_text_of_its_json_is_read_as_before():
    text = json.dumps(
        [
            {"op": "conv", "kernel": [3, 3], "rate": [1, 6], "input": -1},
            {"op": "pyramid_pooling", "grid_size": [1, 1], "input": 0},
        ]
    )
    config = Config().replace({"model.dense_prediction_cell": text})
    written = config.to_dict()["model"]["dense_prediction_cell"]
    assert written[0] == {"op": "conv", "kernel": 3, "rate": [1, 6], "input": -1}
    assert Config().replace({"model.dense_prediction_cell": written}) == config
    assert Config().replace({"model.dense_prediction_cell": ""}) == Config()


def test_a_grid_needs_the_size_that_it_divides():
    cell = '[{"op": "pyramid_pooling", "grid_size": [2, 2], "input": -1}, '
    cell += '{"op": "conv", "kernel": 1, "input": -1}]'
    settings = Model(dense_prediction_cell=cell)
    with pytest.raises(UserError, match=r"model\.image_pooling_size"):
        wrap(lambda x: dense_prediction_cell.build(x, settings, STYLE), 4)
