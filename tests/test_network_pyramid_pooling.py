"""Pyramid pooling against NumPy, on maps that its bins divide and do not divide."""

import numpy as np
import pytest
from head_models import STYLE, TOLERANCE, picture, wrap
from numpy_network import grid_mean, resize

from deeplab_tf.config import Model
from deeplab_tf.network.context import pyramid_pooling


@pytest.mark.parametrize("bins", [(1, 2, 3, 6), (1, 4)])
@pytest.mark.parametrize("size", [(12, 6), (7, 11), (4, 5)])
def test_pyramid_pooling_equals_numpy(size, bins):
    settings = Model(pyramid_bins=bins, aspp_channels=6)
    model, network = wrap(lambda x: pyramid_pooling.build(x, settings, STYLE), 8)
    x = picture(2, *size, 8)
    levels = [x]
    for parts in bins:
        level = network.block(grid_mean(x, parts), f"pyramid_pooling.bins_{parts}")
        assert level.shape[-1] == 8 // len(bins)
        levels.append(resize(level, size))
    merged = np.concatenate(levels, axis=-1)
    wanted = network.block(merged, "pyramid_pooling.projection")
    np.testing.assert_allclose(model(x), wanted, **TOLERANCE)
