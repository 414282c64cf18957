"""The decoder, each option, against NumPy."""

import numpy as np
import pytest
from head_models import STYLE, TOLERANCE, picture, wrap
from numpy_network import resize

from deeplab_tf.config import Model
from deeplab_tf.network import decoder


@pytest.mark.parametrize("separable", [True, False])
@pytest.mark.parametrize(
    ("strides", "convolutions", "reduced"),
    [((4,), 2, 3), ((8, 4), 2, 3), ((4,), 1, 0), ((4,), 3, 3)],
)
def test_decoder_equals_numpy(strides, convolutions, reduced, separable):
    settings = Model(
        decoder_strides=strides,
        decoder_channels=7,
        decoder_convolutions=convolutions,
        low_level_channels=reduced,
        decoder_separable=separable,
    )

    def build(x, *low_level):
        maps = dict(zip((8, 4), low_level, strict=True))
        return decoder.build(x, maps, settings, STYLE)

    model, network = wrap(build, 6, 4, 5)
    maps = {8: picture(2, 5, 6, 4, seed=2), 4: picture(2, 9, 11, 5, seed=3)}
    x = picture(2, 3, 3, 6)
    wanted = x
    for stride in strides:
        name = f"decoder.stride_{stride}"
        low = maps[stride]
        if reduced:
            low = network.block(low, f"{name}.low_level")
        wanted = np.concatenate([resize(wanted, low.shape[1:3]), low], axis=-1)
        convolve = network.separable if separable else network.block
        for i in range(1, convolutions + 1):
            wanted = convolve(wanted, f"{name}.conv_{i}")
    np.testing.assert_allclose(model([x, maps[8], maps[4]]), wanted, **TOLERANCE)
