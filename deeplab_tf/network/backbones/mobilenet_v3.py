"""MobileNetV3 (arXiv 1905.02244, tables 1 and 2) in its segmentation form.

That form halves the last block: 80 instead of 160 channels (large), 48 instead of 96
(small), and the 1x1 after it.
"""

import dataclasses
import functools

import keras

from deeplab_tf import config
from deeplab_tf.network.backbones import AtrousSchedule, BackboneSpec, Features
from deeplab_tf.network.backbones.inverted_residual import bottleneck, round_channels
from deeplab_tf.network.layers.blocks import Style, conv


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of the paper's table: one bottleneck at depth multiplier 1."""

    size: int
    expanded: int
    channels: int
    squeeze: bool
    activation: str
    stride: int


LARGE = (
    Row(3, 16, 16, False, "relu", 1),
    Row(3, 64, 24, False, "relu", 2),
    Row(3, 72, 24, False, "relu", 1),
    Row(5, 72, 40, True, "relu", 2),
    Row(5, 120, 40, True, "relu", 1),
    Row(5, 120, 40, True, "relu", 1),
    Row(3, 240, 80, False, "hard_swish", 2),
    Row(3, 200, 80, False, "hard_swish", 1),
    Row(3, 184, 80, False, "hard_swish", 1),
    Row(3, 184, 80, False, "hard_swish", 1),
    Row(3, 480, 112, True, "hard_swish", 1),
    Row(3, 672, 112, True, "hard_swish", 1),
    Row(5, 336, 80, True, "hard_swish", 2),
    Row(5, 480, 80, True, "hard_swish", 1),
    Row(5, 480, 80, True, "hard_swish", 1),
)
SMALL = (
    Row(3, 16, 16, True, "relu", 2),
    Row(3, 72, 24, False, "relu", 2),
    Row(3, 88, 24, False, "relu", 1),
    Row(5, 96, 40, True, "hard_swish", 2),
    Row(5, 240, 40, True, "hard_swish", 1),
    Row(5, 240, 40, True, "hard_swish", 1),
    Row(5, 120, 48, True, "hard_swish", 1),
    Row(5, 144, 48, True, "hard_swish", 1),
    Row(5, 144, 48, True, "hard_swish", 2),
    Row(5, 288, 48, True, "hard_swish", 1),
    Row(5, 288, 48, True, "hard_swish", 1),
)
# Name -> (rows, channels of the last 1x1, {row whose depthwise is the tap: stride}).
VARIANTS = {
    "mobilenet_v3_large": (LARGE, 480, {2: 4, 5: 8, 11: 16}),
    "mobilenet_v3_small": (SMALL, 288, {0: 4, 2: 8, 7: 16}),
}


def build(x: keras.KerasTensor, model: config.Model, style: Style) -> Features:
    """Applies MobileNetV3 to a normalised picture.

    Its squeeze-and-excite gates take the mean over the map, and a finer map has
    another mean: behind the first gate that follows a lost stride, features of two
    output strides agree only as far as those means do. SAME padding shifts them on
    even maps besides, as in `mobilenet_v2`.

    The released small network gains a residual connection where its last stride is
    lost, as 48 channels meet 48; here the connections are those of output stride
    32, for which it was released, at every output stride.

    Args:
      x: [B, H, W, C] in [-1, 1].
      model: the variant, which is also the first part of every layer's name, its
        output stride, and its depth multiplier: a factor on all channels, which are
        rounded to multiples of 8.
      style: initialisers and normalisation.

    Returns:
      480 or 288 channels, and the taps: the depthwise outputs of rows 3, 6 and 12
      (large) or 1, 3 and 8 (small), before their squeeze-and-excite.
    """
    name, multiplier = model.backbone, model.depth_multiplier
    rows, last_channels, taps = VARIANTS[name]

    def scaled(channels: int) -> int:
        return round_channels(channels * multiplier)

    schedule = AtrousSchedule(model.output_stride)
    swish = functools.partial(conv, style=style, activation="hard_swish")
    stride, _ = schedule.step(2)
    x = swish(x, scaled(16), 3, name=f"{name}.conv", stride=stride)
    low_level, nominal_in = {}, 16
    for index, row in enumerate(rows):
        stride, rate = schedule.step(row.stride)
        expands = row.expanded > nominal_in
        factor = row.expanded / nominal_in
        x, tap = bottleneck(
            x,
            scaled(row.channels),
            style=style,
            name=f"{name}.expanded_conv" + (f"_{index}" if index else ""),
            expanded=round_channels(x.shape[-1] * factor) if expands else None,
            stride=stride,
            rate=rate,
            residual=row.stride == 1 and row.channels == nominal_in,
            activation=row.activation,
            size=row.size,
            squeeze=row.squeeze,
        )
        nominal_in = row.channels
        if index in taps:
            low_level[taps[index]] = tap
    x = swish(x, scaled(last_channels), 1, name=f"{name}.conv_1")
    return Features(high_level=x, low_level=low_level)


SPECS = {
    name: BackboneSpec(
        build=build,
        options=("depth_multiplier",),
        taps={stride: rows[index].expanded for index, stride in taps.items()},
        batch_norm_momentum=0.997,
        batch_norm_epsilon=1e-3,
        weight_decay=4e-5,
        source="arXiv 1905.02244; released code: core/feature_extractor.py",
    )
    for name, (rows, _, taps) in VARIANTS.items()
}
