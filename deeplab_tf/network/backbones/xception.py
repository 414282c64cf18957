"""The modified aligned Xception of the DeepLabv3+ paper (section 3.2, figure 4).

All max pooling is strided separable convolution, and batch norm follows every
depthwise convolution. The paper also puts a ReLU there; the released code has it in
the last block alone (`depthwise_activation`). Both have the same variables,
multiply-adds (Xception-65 DeepLabv3+, 513x513: 54.1 billion at output stride 16,
176.9 at 8) and receptive field: 1915 pixels for Xception-65, 1147 for 41 and 1987
for 71, at every output stride.

Counts, strides and taps are those of the released code. Layer names are its scopes,
with dots and without its `xception_module`; the two halves of its
`separable_conv1_depthwise` are joined by a dot here, too.
"""

import dataclasses

import keras

from deeplab_tf import config
from deeplab_tf.errors import UserError
from deeplab_tf.network.backbones import AtrousSchedule, BackboneSpec, Features
from deeplab_tf.network.layers.blocks import Style, conv, separable


@dataclasses.dataclass(frozen=True, kw_only=True)
class Block:
    """A row of the block table: `units` modules of three separable convolutions.

    Attributes:
      name: path inside the network.
      channels: of the three convolutions.
      stride: of the last unit's third convolution.
      units: how many modules in a row.
      skip: "conv" (strided 1x1 with batch norm), "sum" (identity) or "none".
      inner_relu: ReLU after each depthwise and pointwise, none in front; else one
        in front of each depthwise.
      multi_grid: whether the block takes the unit rates.
    """

    name: str
    channels: tuple[int, int, int]
    stride: int = 1
    units: int = 1
    skip: str = "conv"
    inner_relu: bool = False
    multi_grid: bool = False


def _blocks(entry: tuple[tuple[int, int], ...], middle_units: int) -> tuple[Block, ...]:
    """The block table from the entry flow's (channels, stride) and the middle."""
    return (
        *(
            Block(name=f"entry_flow.block{i}", channels=(width,) * 3, stride=stride)
            for i, (width, stride) in enumerate(entry, 1)
        ),
        Block(
            name="middle_flow.block1",
            channels=(728, 728, 728),
            units=middle_units,
            skip="sum",
        ),
        Block(name="exit_flow.block1", channels=(728, 1024, 1024), stride=2),
        Block(
            name="exit_flow.block2",
            channels=(1536, 1536, 2048),
            skip="none",
            inner_relu=True,
            multi_grid=True,
        ),
    )


_ENTRY = ((128, 2), (256, 2), (728, 2))
_DEEPER_ENTRY = ((128, 2), (256, 1), (256, 2), (728, 1), (728, 2))

_TAPS = {"entry_flow.block2": 4, "entry_flow.block3": 8, "exit_flow.block1": 16}
_DEEPER_TAPS = {"entry_flow.block3": 4, "entry_flow.block5": 8, "exit_flow.block1": 16}

# Name -> (blocks, {block whose second pointwise is the low-level tap: its stride}).
VARIANTS = {
    "xception_41": (_blocks(_ENTRY, 8), _TAPS),
    "xception_65": (_blocks(_ENTRY, 16), _TAPS),
    "xception_71": (_blocks(_DEEPER_ENTRY, 16), _DEEPER_TAPS),
}


def build(x: keras.KerasTensor, model: config.Model, style: Style) -> Features:
    """Applies Xception to a normalised picture.

    Strides are padded on both sides, so features of any two output strides agree
    where they coincide, at even sizes as at odd ones.

    Args:
      x: [B, H, W, C] in [-1, 1].
      model: the variant, which is also the first part of every layer's name, its
        output stride; `multi_grid`, three unit rates of the last block or none; its
        `depthwise_activation`, which for "paper" is after every depthwise.
      style: initialisers and normalisation.

    Returns:
      2048 channels at the output stride, and the taps: after the batch norm and
      before the ReLU of a block's second pointwise.
    """
    name, grid = model.backbone, _multi_grid(model)
    blocks, taps = VARIANTS[name]
    schedule = AtrousSchedule(model.output_stride)
    x = _stem(x, name, style, schedule)
    low_level = {}
    for block in blocks:
        for unit in range(1, block.units + 1):
            stride, rate = schedule.step(block.stride if unit == block.units else 1)
            x, tap = _module(
                x,
                block,
                style=style,
                name=f"{name}.{block.name}.unit_{unit}",
                stride=stride,
                rates=tuple(
                    rate * factor for factor in (grid if block.multi_grid else (1,) * 3)
                ),
                relu_between=model.depthwise_activation == "paper",
            )
        if block.name in taps:
            low_level[taps[block.name]] = tap
    return Features(high_level=x, low_level=low_level)


def _multi_grid(model: config.Model) -> tuple[int, ...]:
    """The unit rates of the last block."""
    if len(model.multi_grid) not in (0, 3):
        raise UserError(
            f"model.multi_grid must have 3 rates for {model.backbone}, one a "
            f"convolution of its last block; received {list(model.multi_grid)}."
        )
    return model.multi_grid or (1, 1, 1)


def _stem(
    x: keras.KerasTensor, name: str, style: Style, schedule: AtrousSchedule
) -> keras.KerasTensor:
    """Stride 2: two 3x3 convolutions."""
    stride, _ = schedule.step(2)
    x = conv(
        x,
        32,
        3,
        style=style,
        name=f"{name}.entry_flow.conv1_1",
        stride=stride,
        explicit_padding=True,
    )
    return conv(x, 64, 3, style=style, name=f"{name}.entry_flow.conv1_2")


def _module(
    x: keras.KerasTensor,
    block: Block,
    *,
    style: Style,
    name: str,
    stride: int,
    rates: tuple[int, ...],
    relu_between: bool,
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Three separable convolutions and the skip; also the second's result."""
    residual, outputs = x, []
    inner = "relu" if block.inner_relu else None
    for i, (channels, rate) in enumerate(zip(block.channels, rates, strict=True), 1):
        path = f"{name}.separable_conv{i}"
        if not block.inner_relu:
            residual = keras.layers.Activation("relu", name=f"{path}.relu")(residual)
        residual = separable(
            residual,
            channels,
            style=style,
            name=path,
            stride=stride if i == 3 else 1,
            rate=rate,
            activation=inner,
            depthwise_activation="relu" if relu_between else inner,
            explicit_padding=True,
        )
        outputs.append(residual)
    if block.skip == "none":
        return residual, outputs[1]
    if block.skip == "conv":
        x = conv(
            x,
            block.channels[-1],
            1,
            style=style,
            name=f"{name}.shortcut",
            stride=stride,
            activation=None,
        )
    return keras.layers.Add(name=f"{name}.add")([residual, x]), outputs[1]


SPECS = {
    name: BackboneSpec(
        build=build,
        options=("multi_grid", "depthwise_activation"),
        taps={
            taps[block.name]: block.channels[1]
            for block in blocks
            if block.name in taps
        },
        batch_norm_momentum=0.9997,
        batch_norm_epsilon=1e-3,
        weight_decay=4e-5,
        source="arXiv 1802.02611, section 3.2; research/deeplab core/xception.py",
    )
    for name, (blocks, taps) in VARIANTS.items()
}
