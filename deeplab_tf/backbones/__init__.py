"""The backbones by name, and what every backbone declares about itself.

To add one: write its file with a `SPECS` table and a `build` function, and name it
in `MODULES`. Importing this package loads no TensorFlow; a backbone's own file is
imported when it is asked for.
"""

import dataclasses
import importlib
from collections.abc import Callable, Mapping
from typing import Any

from deeplab_tf.errors import unknown

# Name of the backbone -> file in this folder that holds it.
MODULES: Mapping[str, str] = {
    "mobilenet_v2": "mobilenet_v2",
    "xception_65": "xception",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class BackboneSpec:
    """What belongs to a backbone's weights and must not drift from them.

    Attributes:
      build: function (x, *, output_stride, depth_multiplier, multi_grid) ->
        `Features`; x is the normalised picture, float [B, H, W, C].
      mean, scale: the network sees (x - mean) * scale for x in [0, 255], RGB.
      batch_norm_momentum: decay of the moving statistics in the released training.
      batch_norm_epsilon: added to the variance.
      weight_decay: the released setting; the loss term is weight_decay / 2 * sum w^2.
      source: paper and released code.
    """

    build: Callable[..., Any]
    mean: tuple[float, float, float]
    scale: float
    batch_norm_momentum: float
    batch_norm_epsilon: float
    weight_decay: float
    source: str


def get_spec(name: str) -> BackboneSpec:
    """Returns the spec of a listed backbone; raises UserError for another name."""
    if name not in MODULES:
        raise unknown("backbone", name, MODULES)
    module = importlib.import_module(f"{__name__}.{MODULES[name]}")
    return module.SPECS[name]
