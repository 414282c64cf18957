"""MobileNetV2 (arXiv 1801.04381, table 2) up to its last bottleneck.

As in the released DeepLab models: 320 channels at the end, no 1280-channel layer.
"""

from typing import Any

import keras

from deeplab_tf.backbones import AtrousSchedule, BackboneSpec, Features
from deeplab_tf.blocks import Style, conv, depthwise

NAME = "mobilenet_v2"
EXPANSION = 6

# (channels, repeats, stride of the first), table 2; the first row does not expand.
BOTTLENECKS = (
    (16, 1, 1),
    (24, 2, 2),
    (32, 3, 2),
    (64, 4, 2),
    (96, 3, 1),
    (160, 3, 2),
    (320, 1, 1),
)
# Bottleneck whose depthwise output is the tap -> its stride.
TAPS = {2: 4, 5: 8, 12: 16}


def round_channels(channels: float, divisor: int, at_least: int | None = None) -> int:
    """The multiple of `divisor` next to `channels` and not below 0.9 times it."""
    rounded = int(channels + divisor / 2) // divisor * divisor
    rounded = max(divisor if at_least is None else at_least, rounded)
    return rounded + divisor if rounded < 0.9 * channels else rounded


def scaled_channels(channels: int, depth_multiplier: float) -> int:
    """The released rule: multiples of 8 at multiplier 1, any number elsewhere.

    So a multiplier of 0.5 has layers of 12 channels; released weights need them.
    """
    divisor = 8 if depth_multiplier == 1.0 else 1
    return round_channels(channels * depth_multiplier, divisor)


def build(
    x: Any, *, style: Style, output_stride: int, depth_multiplier: float = 1.0
) -> Features:
    """Applies MobileNetV2 to a normalised picture.

    The released layers pad SAME, which on an even map puts the zeros of a stride at
    the end: the strided layer then keeps the odd pixels, not the even ones. Features
    at two output strides agree there too, but at pixels 1, 3, 5... of the finer map.

    Args:
      x: [B, H, W, C] in [-1, 1].
      style: initialisers and normalisation.
      output_stride: 8, 16 or 32.
      depth_multiplier: factor on all channels.

    Returns:
      320 channels (at multiplier 1) and the taps: the depthwise outputs, after
      ReLU6, of bottlenecks 2, 5 and 12 with 144, 192 and 576 channels.
    """
    schedule = AtrousSchedule(output_stride)
    stride, _ = schedule.step(2)
    x = conv(
        x,
        scaled_channels(32, depth_multiplier),
        3,
        style=style,
        name=f"{NAME}.conv",
        stride=stride,
        activation="relu6",
    )
    low_level, index = {}, 0
    for channels, repeats, first_stride in BOTTLENECKS:
        for repeat in range(repeats):
            stride, rate = schedule.step(first_stride if repeat == 0 else 1)
            x, tap = _bottleneck(
                x,
                scaled_channels(channels, depth_multiplier),
                style=style,
                name=f"{NAME}.expanded_conv" + (f"_{index}" if index else ""),
                expand=index > 0,
                stride=stride,
                rate=rate,
                residual=repeat > 0,
            )
            if index in TAPS:
                low_level[TAPS[index]] = tap
            index += 1
    return Features(high_level=x, low_level=low_level)


def _bottleneck(
    x: Any,
    channels: int,
    *,
    style: Style,
    name: str,
    expand: bool,
    stride: int,
    rate: int,
    residual: bool,
) -> tuple[Any, Any]:
    """Expand, depthwise, project without activation; also the depthwise output."""
    y = x
    if expand:
        y = conv(
            x,
            round_channels(x.shape[-1] * EXPANSION, 8),
            1,
            style=style,
            name=f"{name}.expand",
            activation="relu6",
        )
    tap = depthwise(
        y,
        3,
        style=style,
        name=f"{name}.depthwise",
        stride=stride,
        rate=rate,
        activation="relu6",
    )
    y = conv(tap, channels, 1, style=style, name=f"{name}.project", activation=None)
    if residual:
        y = keras.layers.Add(name=f"{name}.add")([x, y])
    return y, tap


SPECS = {
    NAME: BackboneSpec(
        build=build,
        options=("depth_multiplier",),
        batch_norm_momentum=0.997,
        batch_norm_epsilon=1e-3,
        weight_decay=4e-5,
        source="arXiv 1801.04381; research/slim nets/mobilenet, research/deeplab",
    )
}
