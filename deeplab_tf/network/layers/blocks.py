"""The vocabulary of the networks: convolution, normalisation, activation as a block.

The functions apply layers of a functional model. A block's name is the path of its
convolution, with dots, as Keras refuses slashes: `aspp.atrous_6.depthwise` is followed
by `aspp.atrous_6.depthwise.batch_norm` and `aspp.atrous_6.depthwise.relu`.
"""

import dataclasses
import math

import keras

from deeplab_tf.network.layers.batch_norm import BatchNormalization
from deeplab_tf.network.layers.depthwise import AtrousDepthwiseConv2D


@dataclasses.dataclass(frozen=True, kw_only=True)
class Style:
    """How the convolutions of one part of a network are initialised and normalised.

    Attributes:
      momentum, epsilon: of batch norm.
      frozen: batch norm uses and keeps its moving statistics in training.
      groups: 0 for batch norm; else group norm of about this many groups, the
        greatest number that divides both it and the channels.
      kernel, depthwise, pointwise: the initialiser of ordinary kernels, of depthwise
        ones, and of the 1x1 of separable convolutions: a standard deviation (normal,
        cut at two of them) or the name of a Keras initialiser.
    """

    momentum: float
    epsilon: float
    frozen: bool = False
    groups: int = 0
    kernel: float | str = "glorot_uniform"
    depthwise: float | str = 0.33
    pointwise: float | str = 0.06


def initializer(spread: float | str) -> keras.initializers.Initializer:
    """A new initialiser; one shared by two layers would give them equal values."""
    if isinstance(spread, str):
        return keras.initializers.get({"class_name": spread, "config": {}})
    return keras.initializers.TruncatedNormal(stddev=spread)


def normalize(x: keras.KerasTensor, style: Style, name: str) -> keras.KerasTensor:
    """Batch norm, or group norm where the style says so, after the block `name`."""
    if style.groups:
        return keras.layers.GroupNormalization(
            math.gcd(style.groups, x.shape[-1]),
            epsilon=style.epsilon,
            name=f"{name}.group_norm",
        )(x)
    return BatchNormalization(
        momentum=style.momentum,
        epsilon=style.epsilon,
        frozen=style.frozen,
        name=f"{name}.batch_norm",
    )(x)


def activate(
    x: keras.KerasTensor, activation: str | None, name: str
) -> keras.KerasTensor:
    """The activation as a layer `name`.`activation`; None: x itself."""
    if activation is None:
        return x
    return keras.layers.Activation(activation, name=f"{name}.{activation}")(x)


def scale_rate(rate: int, output_stride: int) -> int:
    """A rate of output stride 16 at another one: the same distance in the picture."""
    return max(1, rate * 16 // output_stride)


def pad(
    x: keras.KerasTensor, size: int, stride: int, name: str
) -> tuple[keras.KerasTensor, str]:
    """Symmetric zeros before a strided convolution, whose padding is returned too.

    TensorFlow's SAME pads an even map only at its end when it strides, so that the
    pixels kept differ from those kept of an odd map. The released Xception and
    ResNet pad both sides instead.
    """
    if stride == 1 or size == 1:
        return x, "same"
    x = keras.layers.ZeroPadding2D(size // 2, name=f"{name}.pad")(x)
    return x, "valid"


def conv(
    x: keras.KerasTensor,
    channels: int,
    size: int,
    *,
    style: Style,
    name: str,
    stride: int = 1,
    rate: int | tuple[int, int] = 1,
    activation: str | None = "relu",
    explicit_padding: bool = False,
    spread: float | str | None = None,
) -> keras.KerasTensor:
    """Convolution without bias, normalisation, activation.

    Args:
      x: [B, H, W, C].
      channels: of the result [B, ceil(H / stride), ceil(W / stride), channels].
      size: height and width of the kernel.
      style: initialiser and normalisation.
      name: of the convolution; the layers after it are named from it.
      stride, rate: at most one of them above 1; two rates are down and across.
      activation: a Keras activation, or None.
      explicit_padding: pads both sides before a stride, see `pad`.
      spread: an initialiser other than `style.kernel`.
    """
    padding = "same"
    if explicit_padding:
        x, padding = pad(x, size, stride, name)
    x = keras.layers.Conv2D(
        channels,
        size,
        strides=stride,
        dilation_rate=rate,
        padding=padding,
        use_bias=False,
        kernel_initializer=initializer(style.kernel if spread is None else spread),
        name=name,
    )(x)
    return activate(normalize(x, style, name), activation, name)


def depthwise(
    x: keras.KerasTensor,
    size: int,
    *,
    style: Style,
    name: str,
    stride: int = 1,
    rate: int | tuple[int, int] = 1,
    activation: str | None = "relu",
    explicit_padding: bool = False,
) -> keras.KerasTensor:
    """Depthwise convolution, normalisation, activation; arguments as in `conv`."""
    padding = "same"
    if explicit_padding:
        x, padding = pad(x, size, stride, name)
    x = AtrousDepthwiseConv2D(
        size,
        strides=stride,
        dilation_rate=rate,
        padding=padding,
        use_bias=False,
        depthwise_initializer=initializer(style.depthwise),
        name=name,
    )(x)
    return activate(normalize(x, style, name), activation, name)


def separable(
    x: keras.KerasTensor,
    channels: int,
    *,
    style: Style,
    name: str,
    stride: int = 1,
    rate: int | tuple[int, int] = 1,
    activation: str | None = "relu",
    depthwise_activation: str | None = "relu",
    explicit_padding: bool = False,
) -> keras.KerasTensor:
    """`name`.depthwise (3x3, atrous) and `name`.pointwise (1x1), each normalised."""
    x = depthwise(
        x,
        3,
        style=style,
        name=f"{name}.depthwise",
        stride=stride,
        rate=rate,
        activation=depthwise_activation,
        explicit_padding=explicit_padding,
    )
    return conv(
        x,
        channels,
        1,
        style=style,
        name=f"{name}.pointwise",
        activation=activation,
        spread=style.pointwise,
    )
