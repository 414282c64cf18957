"""The inverted residual bottleneck of MobileNetV2 and V3."""

import keras

from deeplab_tf.network.layers.blocks import Style, conv, depthwise, initializer

SQUEEZE_FACTOR = 4  # MobileNetV3: channels inside squeeze-and-excite are a quarter


def round_channels(channels: float, divisor: int = 8) -> int:
    """The multiple of `divisor` next to `channels`, not below 0.9 times it."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


def bottleneck(
    x: keras.KerasTensor,
    channels: int,
    *,
    style: Style,
    name: str,
    expanded: int | None,
    stride: int,
    rate: int,
    residual: bool,
    activation: str,
    size: int = 3,
    squeeze: bool = False,
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Expand by a 1x1, filter by a depthwise, project by a 1x1 without activation.

    Args:
      x: [B, H, W, C].
      channels: of the result.
      style: initialisers and normalisation.
      name: path; its layers are `.expand`, `.depthwise` and `.project`.
      expanded: channels between; None: no expansion.
      stride, rate: of the depthwise, at most one of them above 1.
      residual: adds x. It follows from the nominal stride, so that it does not
        depend on the output stride.
      activation: after the first two convolutions.
      size: of the depthwise kernel.
      squeeze: squeeze-and-excite before the projection.

    Returns:
      The result, and the depthwise output (after its activation, before the
      squeeze), which the decoder may tap.
    """
    y = x
    if expanded is not None:
        y = conv(
            x, expanded, 1, style=style, name=f"{name}.expand", activation=activation
        )
    tap = y = depthwise(
        y,
        size,
        style=style,
        name=f"{name}.depthwise",
        stride=stride,
        rate=rate,
        activation=activation,
    )
    if squeeze:
        y = squeeze_excite(y, style, f"{name}.squeeze_excite")
    y = conv(y, channels, 1, style=style, name=f"{name}.project", activation=None)
    if residual:
        y = keras.layers.Add(name=f"{name}.add")([x, y])
    return y, tap


def squeeze_excite(x: keras.KerasTensor, style: Style, name: str) -> keras.KerasTensor:
    """Scales each channel by a gate that the picture's mean decides (two 1x1)."""
    channels = x.shape[-1]
    gate = keras.layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}.mean")(x)
    for part, width, activation in (
        ("squeeze", round_channels(channels / SQUEEZE_FACTOR), "relu"),
        ("excite", channels, "hard_sigmoid"),
    ):
        gate = keras.layers.Conv2D(
            width,
            1,
            activation=activation,
            kernel_initializer=initializer(style.kernel),
            name=f"{name}.{part}",
        )(gate)
    return keras.layers.Multiply(name=f"{name}.scale")([x, gate])
