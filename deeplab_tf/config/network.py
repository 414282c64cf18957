"""The settings of what is trained on what: model, data, augmentation."""

import dataclasses

from deeplab_tf.config.fields import (
    ALL_POSITIVE,
    BELOW_ONE,
    DIFFERENT,
    FRACTION,
    HALF_TURN,
    NOT_NEGATIVE,
    POSITIVE,
    SIZE_OR_EMPTY,
    Section,
    leaf,
    one_of,
    require,
)

BACKBONES = (
    *("mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small"),
    *("resnet_101", "resnet_101_beta", "resnet_18", "resnet_18_beta"),
    *("resnet_50", "resnet_50_beta", "xception_41", "xception_65", "xception_71"),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Model(Section):
    """The network: backbone, context module (ASPP), decoder."""

    backbone: str = leaf("mobilenet_v2", "Feature extractor.", choices=BACKBONES)
    depth_multiplier: float = leaf(1.0, "Factor on MobileNet's channels.", POSITIVE)
    output_stride: int = leaf(
        16, "Size of the input over that of the encoder's map.", one_of(8, 16, 32)
    )
    padded_size: tuple[int, ...] = leaf(
        (),
        "Height,width to which smaller pictures are padded by the mean colour, below "
        "and to the right, as the released models are evaluated; empty: none are.",
        SIZE_OR_EMPTY,
    )
    multi_grid: tuple[int, ...] = leaf(
        (), "Unit rates of the last block, as 1,2,4; empty: all 1.", ALL_POSITIVE
    )
    depthwise_activation: str = leaf(
        "released",
        "Xception: ReLU after the depthwise convolutions of the last block only, as "
        "in the released code, or after all, as in the paper.",
        choices=("released", "paper"),
    )
    normalization: str = leaf(
        "batch", "Normalisation after convolutions.", choices=("batch", "group")
    )
    group_norm_groups: int = leaf(
        32,
        "Groups of group norm; where it does not divide the channels, their greatest "
        "common divisor.",
        POSITIVE,
    )
    context: str = leaf(
        "aspp",
        "What gathers context from the encoder's map; none leaves it to the decoder.",
        choices=("aspp", "pyramid_pooling", "dense_prediction_cell", "none"),
    )
    atrous_rates: tuple[int, ...] = leaf(
        (6, 12, 18),
        "Rates of the ASPP branches at output stride 16; they are scaled by "
        "16 / output_stride. Empty: image pooling and 1x1 only.",
        DIFFERENT,
    )
    pyramid_bins: tuple[int, ...] = leaf(
        (1, 2, 3, 6),
        "Levels of pyramid pooling: a level n has n x n means.",
        DIFFERENT,
    )
    dense_prediction_cell: str = leaf(
        "", "JSON of a dense prediction cell; empty: the one found on Cityscapes."
    )
    aspp_channels: int = leaf(
        256, "Channels of each ASPP or cell branch and of the context.", POSITIVE
    )
    aspp_separable: bool = leaf(True, "Atrous separable convolutions in the ASPP.")
    image_pooling: bool = leaf(True, "The image-level feature of the ASPP.")
    image_pooling_size: tuple[int, ...] = leaf(
        (),
        "Input size (height,width) whose feature map is the pooling window; "
        "empty: the whole picture.",
        SIZE_OR_EMPTY,
    )
    dropout: float = leaf(0.1, "Dropout rate of the context module.", BELOW_ONE)
    decoder_strides: tuple[int, ...] = leaf(
        (4,),
        "Strides of the low-level features that the decoder merges, descending, "
        "as 8,4; empty: DeepLabv3, no decoder.",
        (
            "descending strides out of 16,8,4",
            lambda strides: list(strides) == [s for s in (16, 8, 4) if s in strides],
        ),
    )
    decoder_channels: int = leaf(256, "Channels of the decoder's 3x3s.", POSITIVE)
    decoder_separable: bool = leaf(True, "Separable convolutions in the decoder.")
    low_level_channels: int = leaf(
        48, "Channels of the 1x1 on the low-level features.", POSITIVE
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Data(Section):
    """Where the examples come from and at what size they are trained."""

    dataset_dir: str = leaf("", "Folder with dataset.json and its TFRecord shards.")
    train_split: str = leaf("train", "Split to train on.")
    eval_split: str = leaf("val", "Split to evaluate on during training.")
    crop_size: tuple[int, ...] = leaf(
        (513, 513),
        "Training crop, height,width; best k * output_stride + 1.",
        (
            "height,width of at least 33 pixels",
            lambda size: len(size) == 2 and min(size) >= 33,
        ),
    )
    min_resize: int = leaf(
        0,
        "Short side to which training pictures are resized before the random scale, "
        "as released for ADE20K; 0: none are.",
        NOT_NEGATIVE,
    )
    max_resize: int = leaf(
        0,
        "Long side that this must not exceed; 0: no limit.",
        NOT_NEGATIVE,
    )
    resize_factor: int = leaf(
        0,
        "Resized sides become k * factor + 1, as with the output stride; 0: any.",
        NOT_NEGATIVE,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Augment(Section):
    """Random changes to training pictures; each draw is a function of the seed."""

    min_scale: float = leaf(0.5, "Smallest factor of the random scale.", POSITIVE)
    max_scale: float = leaf(2.0, "Largest factor of the random scale.", POSITIVE)
    scale_step: float = leaf(
        0.25, "Step between the factors; 0: any factor.", NOT_NEGATIVE
    )
    flip: float = leaf(0.5, "Probability of a left-right flip.", FRACTION)
    photometric: float = leaf(
        0.0, "Strength of brightness, contrast and saturation changes.", FRACTION
    )
    rotation: float = leaf(
        0.0, "Largest angle of a random rotation, degrees to either side.", HALF_TURN
    )
    blur: float = leaf(
        0.0,
        "Largest standard deviation of a random Gaussian blur, in pixels.",
        NOT_NEGATIVE,
    )
    class_balanced_crops: float = leaf(
        0.0,
        "Share of crops placed around a pixel of a class that is drawn by its rarity.",
        FRACTION,
    )
    mixing: str = leaf(
        "none",
        "What pairs of pictures in a batch give each other: a box (cutmix), half of "
        "their classes (classmix), or a rare class, moved (copy_paste).",
        choices=("none", "cutmix", "classmix", "copy_paste"),
    )
    mixing_probability: float = leaf(
        0.5, "Probability of a picture to be given something.", FRACTION
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.min_scale <= self.max_scale,
            "augment.max_scale",
            f"at least augment.min_scale ({self.min_scale})",
            self.max_scale,
        )
