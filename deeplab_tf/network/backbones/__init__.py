"""The backbones by name, and what every backbone declares about itself.

To add one: write its file with a `SPECS` table and a `build` function, and name it
in `MODULES`. Importing this package loads no TensorFlow; a backbone's own file is
imported when it is asked for.
"""

import dataclasses
import importlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from deeplab_tf.errors import unknown

if TYPE_CHECKING:
    import keras

# Name of the backbone -> file in this folder that holds it.
MODULES: Mapping[str, str] = {
    "mobilenet_v2": "mobilenet_v2",
    "mobilenet_v3_large": "mobilenet_v3",
    "mobilenet_v3_small": "mobilenet_v3",
    "resnet_18": "resnet",
    "resnet_18_beta": "resnet",
    "resnet_50": "resnet",
    "resnet_50_beta": "resnet",
    "resnet_101": "resnet",
    "resnet_101_beta": "resnet",
    "xception_41": "xception",
    "xception_65": "xception",
    "xception_71": "xception",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Features:
    """What the head takes from a backbone.

    Attributes:
      high_level: the map at the output stride, [B, H / stride, W / stride, C].
      low_level: stride -> a map for the decoder, 4, 8 and 16. Where the output
        stride is smaller than the key the map has the output stride.
    """

    high_level: "keras.KerasTensor"
    low_level: Mapping[int, "keras.KerasTensor"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class BackboneSpec:
    """What belongs to a backbone's weights and must not drift from them.

    Attributes:
      build: function (x, model, style) -> `Features`; x is the normalised picture,
        float [B, H, W, C], model the settings that name this backbone, style a
        `blocks.Style`.
      options: the fields of config.Model that belong to some backbones only and that
        `build` heeds.
      taps: stride -> channels of the map for the decoder, at depth multiplier 1.
      mean, scale: the network sees (x - mean) * scale for x in [0, 255], RGB.
      batch_norm_momentum: decay of the moving statistics in the released training.
      batch_norm_epsilon: added to the variance.
      kernel, depthwise: initialisers, as in `blocks.Style`.
      weight_decay: the released setting; the loss term is weight_decay / 2 * sum w^2.
      source: paper and released code.
    """

    build: Callable[..., Features]
    options: tuple[str, ...]
    taps: Mapping[int, int]
    mean: tuple[float, float, float] = (127.5, 127.5, 127.5)
    scale: float = 1 / 127.5
    batch_norm_momentum: float
    batch_norm_epsilon: float
    kernel: float | str = 0.09
    depthwise: float | str = 0.09
    weight_decay: float
    source: str


class AtrousSchedule:
    """Turns strides into rates once the output stride is reached.

    A backbone asks for each strided layer in turn. Up to the output stride a layer
    keeps its stride; from there on it loses it, and all layers after it are spread by
    the strides lost so far, so that they see the pixels they would have seen.
    """

    def __init__(self, output_stride: int) -> None:
        self._output_stride = output_stride
        self._stride = 1
        self._rate = 1

    def step(self, stride: int) -> tuple[int, int]:
        """(stride, rate) of the next layer, whose nominal stride is given."""
        if self._stride < self._output_stride:
            self._stride *= stride
            return stride, 1
        rate = self._rate
        self._rate *= stride
        return 1, rate


def get_spec(name: str) -> BackboneSpec:
    """Returns the spec of a listed backbone; raises UserError for another name."""
    if name not in MODULES:
        raise unknown("backbone", name, MODULES)
    module = importlib.import_module(f"{__name__}.{MODULES[name]}")
    return module.SPECS[name]
