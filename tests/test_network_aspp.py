"""ASPP, each option, against NumPy."""

import numpy as np
import pytest
from head_models import STYLE, TOLERANCE, picture, wrap
from numpy_network import resize, window_mean

from deeplab_tf.config import Model
from deeplab_tf.network.context import aspp


def expected(network, x, rates, *, separable, window):
    branches = []
    if window is not None:
        pooled = window_mean(x, window)
        pooled = network.block(pooled, "aspp.image_pooling")
        branches.append(resize(pooled, x.shape[1:3]))
    branches.append(network.block(x, "aspp.conv_1x1"))
    for name, rate in rates.items():
        convolve = network.separable if separable else network.block
        branches.append(convolve(x, f"aspp.atrous_{name}", rate=rate))
    return network.block(np.concatenate(branches, axis=-1), "aspp.projection")


@pytest.mark.parametrize(
    ("options", "rates", "window"),
    [
        ({}, {6: 6, 12: 12, 18: 18}, (9, 7)),
        ({"output_stride": 8}, {6: 12, 12: 24, 18: 36}, (9, 7)),
        ({"output_stride": 32}, {6: 3, 12: 6, 18: 9}, (9, 7)),
        ({"atrous_rates": (2, 3, 4, 24)}, {2: 2, 3: 3, 4: 4, 24: 24}, (9, 7)),
        ({"atrous_rates": ()}, {}, (9, 7)),
        ({"aspp_separable": False}, {6: 6, 12: 12, 18: 18}, (9, 7)),
        ({"image_pooling": False}, {6: 6, 12: 12, 18: 18}, None),
        ({"image_pooling_size": (97, 65)}, {6: 6, 12: 12, 18: 18}, (7, 5)),
        ({"image_pooling_size": (513, 65)}, {6: 6, 12: 12, 18: 18}, (9, 5)),
        ({"image_pooling_size": (96, 64)}, {6: 6, 12: 12, 18: 18}, (6, 4)),
    ],
)
def test_aspp_equals_numpy(options, rates, window):
    settings = Model(aspp_channels=6, **options)
    model, network = wrap(lambda x: aspp.build(x, settings, STYLE), 5)
    x = picture(2, 9, 7, 5)
    separable = options.get("aspp_separable", True)
    wanted = expected(network, x, rates, separable=separable, window=window)
    np.testing.assert_allclose(model(x), wanted, **TOLERANCE)
