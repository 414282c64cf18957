"""A ResNet-18 of few layers, for tests that would do with any backbone.

Most of a test is the tracing of layers. The name stays, so that runs, exports and
optimizers take it as they take the whole one, which processes that a test starts have.
"""

import contextlib
import dataclasses

import pytest

from deeplab_tf.network.backbones import resnet


@contextlib.contextmanager
def resnet_18():
    """ResNet-18 has one unit a block, of 64 channels, in networks built meanwhile."""

    def unit(x, width, build=resnet._unit, **options):
        return build(x, 64, **options)

    variant = dataclasses.replace(
        resnet.VARIANTS["resnet_18"], units=(1, 1, 1, 1), taps=(1, 1, 1)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(resnet.VARIANTS, "resnet_18", variant)
        patch.setattr(resnet, "_unit", unit)
        yield
