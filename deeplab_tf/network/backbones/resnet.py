"""ResNet v1 (arXiv 1512.03385) as DeepLab uses it, and its beta stem.

The stride of a block sits on its last unit, so that a block's other units still see
the finer map. `beta` replaces the 7x7 stem by three 3x3 convolutions.
"""

import dataclasses
from collections.abc import Mapping

import keras

from deeplab_tf import config
from deeplab_tf.errors import UserError
from deeplab_tf.network.backbones import AtrousSchedule, BackboneSpec, Features
from deeplab_tf.network.layers.blocks import Style, conv


@dataclasses.dataclass(frozen=True, kw_only=True)
class Variant:
    """What tells one ResNet from another.

    Attributes:
      units: of the four blocks.
      bottleneck: three convolutions a unit, four times the channels; else two.
      stem: channels of the three 3x3 convolutions of a beta stem; empty: 7x7.
      taps: in blocks 1, 2 and 3, the unit whose residual the decoder may tap.
    """

    units: tuple[int, int, int, int]
    bottleneck: bool
    stem: tuple[int, ...]
    taps: tuple[int, int, int]


_BETA = (64, 64, 128)
_Three = tuple[int, int, int]
_Depth = tuple[tuple[int, int, int, int], bool, _Three, _Three]
_DEPTHS: Mapping[str, _Depth] = {
    "resnet_18": ((2, 2, 2, 2), False, (16, 16, 32), (1, 1, 1)),
    "resnet_50": ((3, 4, 6, 3), True, _BETA, (2, 3, 5)),
    "resnet_101": ((3, 4, 23, 3), True, _BETA, (2, 3, 22)),
}
VARIANTS = {
    name + suffix: Variant(
        units=units, bottleneck=bottleneck, stem=stem if suffix else (), taps=taps
    )
    for name, (units, bottleneck, stem, taps) in _DEPTHS.items()
    for suffix in ("", "_beta")
}


def build(x: keras.KerasTensor, model: config.Model, style: Style) -> Features:
    """Applies a ResNet to a normalised picture.

    Strides are padded on both sides and skips keep the even pixels, so features of
    any two output strides agree where they coincide, at even sizes as at odd ones.

    Args:
      x: [B, H, W, C], normalised as the variant's spec says.
      model: the variant, which is also the first part of every layer's name, its
        output stride; `multi_grid`, unit rates of the last block, one a unit, or none.
        The released beta checkpoints expect 1, 2, 4.
      style: initialisers and normalisation.

    Returns:
      2048 channels (512: ResNet-18) at the output stride, and the taps: the last
      convolution of a unit, after its batch norm and before the sum.
    """
    name, multi_grid = model.backbone, model.multi_grid
    variant = VARIANTS[name]
    if multi_grid and len(multi_grid) != variant.units[3]:
        raise UserError(
            f"model.multi_grid must have {variant.units[3]} rates for {name}, one a "
            f"unit of its last block; received {list(multi_grid)}."
        )
    schedule = AtrousSchedule(model.output_stride)
    x = _stem(x, name, variant, style, schedule)
    low_level = {}
    for block, units in enumerate(variant.units, 1):
        grid = multi_grid if block == 4 and multi_grid else (1,) * units
        for unit in range(1, units + 1):
            is_last = unit == units and block < 4
            stride, rate = schedule.step(2 if is_last else 1)
            x, tap = _unit(
                x,
                64 * 2 ** (block - 1),
                style=style,
                name=f"{name}.block{block}.unit_{unit}",
                bottleneck=variant.bottleneck,
                stride=stride,
                rate=rate * grid[unit - 1],
            )
            if block < 4 and unit == variant.taps[block - 1]:
                low_level[2 ** (block + 1)] = tap
    return Features(high_level=x, low_level=low_level)


def _stem(
    x: keras.KerasTensor,
    name: str,
    variant: Variant,
    style: Style,
    schedule: AtrousSchedule,
) -> keras.KerasTensor:
    """Stride 4: 7x7, or three 3x3, then max pooling."""
    stride, _ = schedule.step(2)
    layers = [(f"conv1_{i}", width, 3) for i, width in enumerate(variant.stem, 1)]
    for path, width, size in layers or [("conv1", 64, 7)]:
        x = conv(
            x,
            width,
            size,
            style=style,
            name=f"{name}.{path}",
            stride=stride,
            explicit_padding=True,
        )
        stride = 1
    stride, _ = schedule.step(2)
    return keras.layers.MaxPooling2D(3, stride, "same", name=f"{name}.pool1")(x)


def _unit(
    x: keras.KerasTensor,
    width: int,
    *,
    style: Style,
    name: str,
    bottleneck: bool,
    stride: int,
    rate: int,
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """ReLU(skip + residual), and the residual; the stride is on the last 3x3."""
    rows = [(width, 3), (width, 3)]  # (channels, size) of each convolution
    if bottleneck:
        rows = [(width, 1), (width, 3), (4 * width, 1)]
    channels = rows[-1][0]
    strided = 1  # index of the convolution with the stride, in both kinds of unit
    residual = x
    for i, (filters, size) in enumerate(rows):
        residual = conv(
            residual,
            filters,
            size,
            style=style,
            name=f"{name}.conv{i + 1}",
            stride=stride if i == strided else 1,
            rate=rate if size > 1 else 1,
            activation=None if i == len(rows) - 1 else "relu",
            explicit_padding=True,
        )
    skip = _skip(x, channels, style=style, name=f"{name}.shortcut", stride=stride)
    total = keras.layers.Add(name=f"{name}.add")([skip, residual])
    return keras.layers.Activation("relu", name=f"{name}.relu")(total), residual


def _skip(
    x: keras.KerasTensor, channels: int, *, style: Style, name: str, stride: int
) -> keras.KerasTensor:
    """Identity where the channels allow, at every stride-th pixel; else a 1x1."""
    if x.shape[-1] != channels:
        return conv(
            x, channels, 1, style=style, name=name, stride=stride, activation=None
        )
    if stride == 1:
        return x
    return keras.layers.MaxPooling2D(1, stride, "same", name=name)(x)


_IMAGENET_MEAN = (123.15, 115.90, 103.06)
SPECS = {
    name: BackboneSpec(
        build=build,
        options=("multi_grid",),
        taps={
            4 * 2**block: 64 * 2**block * (4 if variant.bottleneck else 1)
            for block in range(3)
        },
        mean=(127.5, 127.5, 127.5) if variant.stem else _IMAGENET_MEAN,
        scale=1 / 127.5 if variant.stem else 1.0,
        batch_norm_momentum=0.95,
        batch_norm_epsilon=1e-5,
        kernel="HeNormal",
        weight_decay=1e-4,
        source="arXiv 1512.03385; released code: core/resnet_v1_beta.py",
    )
    for name, variant in VARIANTS.items()
}
