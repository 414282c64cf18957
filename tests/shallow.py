"""A ResNet-18 of few layers, for tests that would do with any backbone.

Most of such a test is the tracing of layers. The name stays, so that runs, exports and
optimizers take it as they take the whole one, which processes that a test starts have
unless `command` starts them.
"""

import contextlib
import dataclasses
import runpy
import sys

import pytest


@contextlib.contextmanager
def resnet_18():
    """ResNet-18 has one unit a block, of 64 channels, in networks built meanwhile."""
    from deeplab_tf.network.backbones import resnet

    def unit(x, width, build=resnet._unit, **options):
        return build(x, 64, **options)

    variant = dataclasses.replace(
        resnet.VARIANTS["resnet_18"], units=(1, 1, 1, 1), taps=(1, 1, 1)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(resnet.VARIANTS, "resnet_18", variant)
        patch.setattr(resnet, "_unit", unit)
        yield


def command(script, *arguments):
    """The command line of python SCRIPT, or python -m MODULE, with this network."""
    return [sys.executable, __file__, script, *map(str, arguments)]


def main():
    from deeplab_tf import cli

    del sys.argv[0]
    cli.import_tensorflow()  # without the usual chatter
    with resnet_18():
        if sys.argv[0].endswith(".py"):
            runpy.run_path(sys.argv[0], run_name="__main__")
        else:
            runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
