"""MobileNetV2 (arXiv 1801.04381, table 2) up to its last bottleneck.

As in the released DeepLab models: 320 channels at the end, no 1280-channel layer.
"""

import functools

import keras

from deeplab_tf import config
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


def build(x: keras.KerasTensor, model: config.Model, style: Style) -> Features:
    """Applies MobileNetV2 to a normalised picture.

    The released layers pad SAME, which on an even map puts the zeros of a stride at
    the end: the strided layer then keeps the odd pixels, not the even ones. So
    features of two output strides agree at pixels 0, 2, 4... of the finer map where
    the map before the stride is odd, and at pixels 1, 3, 5... where it is even.

    Args:
      x: [B, H, W, C] in [-1, 1].
      model: its output stride and its depth multiplier, a factor on all channels.
      style: initialisers and normalisation.

    Returns:
      320 channels (at multiplier 1) and the taps: the depthwise outputs, after
      ReLU6, of bottlenecks 2, 5 and 12 with 144, 192 and 576 channels.
    """
    schedule = AtrousSchedule(model.output_stride)
    scaled = functools.partial(scaled_channels, depth_multiplier=model.depth_multiplier)
    stride, _ = schedule.step(2)
    x = conv(
        x,
        scaled(32),
        3,
        style=style,
        name=f"{NAME}.conv",
        stride=stride,
        activation="relu6",
    )
    low_level: dict[int, keras.KerasTensor] = {}
    index = 0
    for channels, repeats, first_stride in BOTTLENECKS:
        for repeat in range(repeats):
            nominal_stride = first_stride if repeat == 0 else 1
            stride, rate = schedule.step(nominal_stride)
            x, tap = bottleneck(
                x,
                scaled(channels),
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
        taps={4: 144, 8: 192, 16: 576},
        batch_norm_momentum=0.997,
        batch_norm_epsilon=1e-3,
        weight_decay=4e-5,
        source="arXiv 1801.04381; released code: slim nets/mobilenet",
    )
}
