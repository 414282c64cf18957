"""MobileNetV2 (arXiv 1801.04381, table 2) up to its last bottleneck.

As in the released DeepLab models: 320 channels at the end, no 1280-channel layer.
"""

from typing import Any

from deeplab_tf.network.backbones import AtrousSchedule, BackboneSpec, Features
from deeplab_tf.network.backbones.inverted_residual import bottleneck, round_channels
from deeplab_tf.network.layers.blocks import Style, conv

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
    the end: the strided layer then keeps the odd pixels, not the even ones. So
    features of two output strides agree at pixels 0, 2, 4... of the finer map where
    the map before the stride is odd, and at pixels 1, 3, 5... where it is even.

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
    channels = scaled_channels(32, depth_multiplier)
    x = conv(
        x,
        channels,
        3,
        style=style,
        name=f"{NAME}.conv",
        stride=stride,
        activation="relu6",
    )
    low_level: dict[int, Any] = {}
    index = 0
    for channels, repeats, first_stride in BOTTLENECKS:
        for repeat in range(repeats):
            nominal_stride = first_stride if repeat == 0 else 1
            stride, rate = schedule.step(nominal_stride)
            x, tap = bottleneck(
                x,
                scaled_channels(channels, depth_multiplier),
                style=style,
                name=f"{NAME}.expanded_conv" + (f"_{index}" if index else ""),
                expanded=round_channels(x.shape[-1] * EXPANSION) if index else None,
                stride=stride,
                rate=rate,
                residual=repeat > 0,
                activation="relu6",
            )
            if index in TAPS:
                low_level[TAPS[index]] = tap
            index += 1
    return Features(high_level=x, low_level=low_level)


SPECS = {
    NAME: BackboneSpec(
        build=build,
        options=("depth_multiplier",),
        batch_norm_momentum=0.997,
        batch_norm_epsilon=1e-3,
        weight_decay=4e-5,
        source="arXiv 1801.04381; released code: slim nets/mobilenet",
    )
}
