"""The settings of what is trained on what: model, data, augmentation."""

import json
import typing
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)

from deeplab_tf.config.fields import (
    COMMA_LIST,
    BelowOne,
    DifferentInts,
    Fraction,
    PositiveInts,
    SizeOrEmpty,
    checked,
    leaf,
    read,
    require,
    rule,
)
from deeplab_tf.errors import UserError

Backbone = Literal[
    "mobilenet_v2",
    "mobilenet_v3_large",
    "mobilenet_v3_small",
    "resnet_101",
    "resnet_101_beta",
    "resnet_18",
    "resnet_18_beta",
    "resnet_50",
    "resnet_50_beta",
    "xception_41",
    "xception_65",
    "xception_71",
]
BACKBONES: tuple[str, ...] = typing.get_args(Backbone)
_Pair = Annotated[tuple[PositiveInt, PositiveInt], COMMA_LIST]
_Kernel = Annotated[
    Literal[1, 3], BeforeValidator(lambda k: k[0] if k in ([1, 1], [3, 3]) else k)
]
_Input = Annotated[int, Field(ge=-1)]


@checked
class Convolution:
    """A branch of a dense prediction cell.

    Attributes:
      op: which of the two kinds of branch it is.
      input: number of an earlier branch; -1: the encoder's map.
      kernel: height and width; with 3 it is separable.
      rate: down and across, at output stride 16.
    """

    op: Literal["conv"]
    input: _Input
    kernel: _Kernel
    rate: _Pair = (1, 1)


@checked
class Pooling:
    """A branch of a dense prediction cell: means over the parts of a grid.

    Attributes:
      op: which of the two kinds of branch it is.
      input: number of an earlier branch; -1: the encoder's map.
      grid_size: rows and columns.
    """

    op: Literal["pyramid_pooling"]
    input: _Input
    grid_size: _Pair


_Branches = tuple[Annotated[Convolution | Pooling, Field(discriminator="op")], ...]


def _read_cell(value: object) -> object:
    """The branches; they may be the text of their JSON, as flags and old files do."""
    name = "model.dense_prediction_cell"
    if isinstance(value, str):
        try:
            value = json.loads(value or "[]")
        except ValueError as error:
            raise UserError(f"{name} must be JSON: {error}.") from None
    branches: tuple[Any, ...] = read(_Branches, value, name=name)
    require(len(branches) != 1, name, "a list of at least two branches", value)
    for index, branch in enumerate(branches):
        allowed = f"the number of an earlier branch, or -1 (branch {index})"
        require(branch.input < index, f"{name}.{index}.input", allowed, branch.input)
    return branches


@checked
class Model:
    """The network: backbone, context module (ASPP), decoder."""

    backbone: Backbone = leaf("mobilenet_v2", "Feature extractor.", main=True)
    depth_multiplier: PositiveFloat = leaf(1.0, "Factor on MobileNet's channels.")
    output_stride: Annotated[int, rule("8, 16, 32", (8, 16, 32).__contains__)] = leaf(
        16, "Size of the input over that of the encoder's map.", main=True
    )
    input_scale: Annotated[
        float,
        Field(ge=0.25, le=4),
        rule("a number of two decimals", lambda scale: round(scale, 2) == scale),
    ] = leaf(
        1.0,
        "Factor by which the network resizes its picture, and its logits back: above "
        "1 it sees thin and small things better, below 1 large pictures cost less. "
        "Crops are of pictures so resized.",
    )
    padded_size: SizeOrEmpty = leaf(
        (),
        "Height,width to which smaller pictures are padded by the mean colour, below "
        "and to the right, as the released models are evaluated; empty: none are.",
    )
    multi_grid: PositiveInts = leaf(
        (), "Unit rates of the last block, as 1,2,4; empty: all 1."
    )
    depthwise_activation: Literal["released", "paper"] = leaf(
        "released",
        "Xception: ReLU after the depthwise convolutions of the last block only, as "
        "in the released code, or after all, as in the paper.",
    )
    normalization: Literal["batch", "group"] = leaf(
        "batch", "Normalisation after convolutions."
    )
    group_norm_groups: PositiveInt = leaf(
        32,
        "Groups of group norm; where it does not divide the channels, their greatest "
        "common divisor.",
    )
    context: Literal["aspp", "pyramid_pooling", "dense_prediction_cell", "none"] = leaf(
        "aspp",
        "What gathers context from the encoder's map; none leaves it to the decoder.",
    )
    atrous_rates: DifferentInts = leaf(
        (6, 12, 18),
        "Rates of the ASPP branches at output stride 16; they are scaled by "
        "16 / output_stride. Empty: image pooling and 1x1 only.",
    )
    pyramid_bins: DifferentInts = leaf(
        (1, 2, 3, 6), "Levels of pyramid pooling: a level n has n x n means."
    )
    dense_prediction_cell: Annotated[
        tuple[Convolution | Pooling, ...], BeforeValidator(_read_cell)
    ] = leaf(
        (),
        "Branches of a dense prediction cell, as JSON; empty: the one found on "
        "Cityscapes.",
    )
    aspp_channels: PositiveInt = leaf(
        256, "Channels of each ASPP or cell branch and of the context."
    )
    aspp_separable: bool = leaf(True, "Atrous separable convolutions in the ASPP.")
    image_pooling: bool = leaf(True, "The image-level feature of the ASPP.")
    image_pooling_size: SizeOrEmpty = leaf(
        (),
        "Input size (height,width) whose feature map is the pooling window; "
        "empty: the whole picture.",
    )
    dropout: BelowOne = leaf(0.1, "Dropout rate of the context module.")
    decoder_strides: Annotated[
        PositiveInts,
        rule(
            "descending strides out of 16,8,4",
            lambda strides: list(strides) == [s for s in (16, 8, 4) if s in strides],
        ),
    ] = leaf(
        (4,),
        "Strides of the low-level features that the decoder merges, descending, "
        "as 8,4; empty: DeepLabv3, no decoder.",
    )
    decoder_channels: PositiveInt = leaf(256, "Channels of the decoder's 3x3s.")
    decoder_separable: bool = leaf(True, "Separable convolutions in the decoder.")
    decoder_convolutions: PositiveInt = leaf(
        2, "3x3 convolutions of each stage of the decoder."
    )
    low_level_channels: NonNegativeInt = leaf(
        48, "Channels of the 1x1 on the low-level features; 0: they are taken whole."
    )


@checked
class Data:
    """Where the examples come from and at what size they are trained."""

    dataset_dir: str = leaf(
        "",
        "Folder with dataset.json and its TFRecord shards.",
        may_change=True,
        main=True,
    )
    train_split: str = leaf("train", "Split to train on.")
    eval_split: str = leaf("val", "Split to evaluate on during training.")
    crop_size: Annotated[
        PositiveInts,
        rule(
            "height,width of at least 33 pixels",
            lambda size: len(size) == 2 and min(size) >= 33,
        ),
    ] = leaf(
        (513, 513),
        "Training crop, height,width; best k * output_stride + 1.",
        main=True,
    )
    min_resize: NonNegativeInt = leaf(
        0,
        "Short side to which training pictures are resized before the random scale, "
        "as released for ADE20K; 0: none are.",
    )
    max_resize: NonNegativeInt = leaf(
        0, "Long side that this must not exceed; 0: no limit."
    )
    resize_factor: NonNegativeInt = leaf(
        0, "Resized sides become k * factor + 1, as with the output stride; 0: any."
    )

    def __post_init__(self) -> None:
        for name in ("max_resize", "resize_factor"):
            value = getattr(self, name)
            require(
                bool(self.min_resize) or not value,
                f"data.{name}",
                "0 where data.min_resize is 0",
                value,
            )
        require(
            not self.max_resize or self.max_resize >= self.min_resize,
            "data.max_resize",
            f"0 or at least data.min_resize ({self.min_resize})",
            self.max_resize,
        )


@checked
class Augment:
    """Random changes to training pictures; each draw is a function of the seed."""

    min_scale: PositiveFloat = leaf(0.5, "Smallest factor of the random scale.")
    max_scale: PositiveFloat = leaf(2.0, "Largest factor of the random scale.")
    scale_step: NonNegativeFloat = leaf(
        0.25, "Step between the factors; 0: any factor."
    )
    flip: Fraction = leaf(0.5, "Probability of a left-right flip.")
    photometric: Fraction = leaf(
        0.0, "Strength of brightness, contrast and saturation changes."
    )
    rotation: Annotated[float, Field(ge=0, le=180)] = leaf(
        0.0, "Largest angle of a random rotation, degrees to either side."
    )
    blur: NonNegativeFloat = leaf(
        0.0, "Largest standard deviation of a random Gaussian blur, in pixels."
    )
    class_balanced_crops: Fraction = leaf(
        0.0,
        "Share of crops placed around a pixel of a class that is drawn by its rarity.",
    )
    mixing: Literal["none", "cutmix", "classmix", "copy_paste"] = leaf(
        "none",
        "What pairs of pictures in a batch give each other: a box (cutmix), half of "
        "their classes (classmix), or a rare class, moved (copy_paste).",
    )
    mixing_probability: Fraction = leaf(
        0.5, "Probability of a picture to be given something."
    )

    def __post_init__(self) -> None:
        require(
            self.min_scale <= self.max_scale,
            "augment.max_scale",
            f"at least augment.min_scale ({self.min_scale})",
            self.max_scale,
        )
