"""The experiments of benchmarks/ablation.py: what each changes of a preset."""

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """An experiment.

    Attributes:
      about: what it changes, in the table.
      settings: that differ from the preset.
      equal_time: as many steps as fit the minutes of the base, not its steps.
    """

    about: str
    settings: Mapping[str, object] = dataclasses.field(default_factory=dict)
    equal_time: bool = False


BASE = "decoder"
_PLAIN = {"model.aspp_separable": False, "model.decoder_separable": False}
# Full width: the others have no multiplier.
_WIDE = {"model.depth_multiplier": 1.0}
_PAPER = {"model.depth_multiplier": 1.0, "model.backbone": "xception_41"}
# The claims of the paper.
PAPER: Mapping[str, Row] = {
    BASE: Row(about="decoder: tap at 4, 48 channels, two 3x3"),
    "no_decoder": Row(
        about="bilinear upsampling, no decoder",
        settings={"model.decoder_strides": ()},
    ),
    "low_level_8": Row(
        about="8 low-level channels", settings={"model.low_level_channels": 8}
    ),
    "low_level_96": Row(
        about="96 low-level channels", settings={"model.low_level_channels": 96}
    ),
    "low_level_whole": Row(
        about="low-level map whole, no 1x1", settings={"model.low_level_channels": 0}
    ),
    "one_3x3": Row(
        about="one 3x3 in the decoder", settings={"model.decoder_convolutions": 1}
    ),
    "three_3x3": Row(
        about="three 3x3 in the decoder", settings={"model.decoder_convolutions": 3}
    ),
    "two_taps": Row(
        about="taps at 8 and 4", settings={"model.decoder_strides": (8, 4)}
    ),
    "ordinary": Row(about="ordinary convolutions in ASPP and decoder", settings=_PLAIN),
    "no_image_feature": Row(
        about="no image-level feature", settings={"model.image_pooling": False}
    ),
    "mobilenet_v2": Row(
        about="MobileNetV2 of full width, equal time", settings=_WIDE, equal_time=True
    ),
    "resnet_18": Row(
        about="ResNet-18, equal time",
        settings={**_WIDE, "model.backbone": "resnet_18"},
        equal_time=True,
    ),
    "xception_41": Row(
        about="Xception-41 as released, equal time", settings=_PAPER, equal_time=True
    ),
    "xception_41_paper": Row(
        about="Xception-41, ReLU after every depthwise, equal time",
        settings={**_PAPER, "model.depthwise_activation": "paper"},
        equal_time=True,
    ),
}
# What was tried for camvid_mobilenet_v2 and its like.
RECIPE: Mapping[str, Row] = {
    BASE: PAPER[BASE],
    "float32": Row(about="float32", settings={"train.precision": "float32"}),
    "no_lovasz": Row(
        about="cross entropy alone", settings={"loss.terms": "cross_entropy"}
    ),
    "no_weights": Row(
        about="no class weights", settings={"loss.class_weighting": "none"}
    ),
    "median_frequency": Row(
        about="weights by median frequency",
        settings={"loss.class_weighting": "median_frequency"},
    ),
    "rate_half": Row(
        about="half the rate", settings={"optimizer.learning_rate": 0.001}
    ),
    "rate_double": Row(
        about="double the rate", settings={"optimizer.learning_rate": 0.004}
    ),
    "sgd": Row(
        about="SGD 0.02",
        settings={
            "optimizer.name": "sgd",
            "optimizer.learning_rate": 0.02,
            "optimizer.weight_decay": None,
        },
    ),
    "unfrozen": Row(about="all layers train", settings={"train.frozen_stride": 0}),
    "frozen_batch_norm": Row(
        about="batch norm frozen", settings={"train.batch_norm": "frozen"}
    ),
    "decoder_256": Row(
        about="decoder of 256 channels", settings={"model.decoder_channels": 256}
    ),
    "scales_from_1": Row(about="scales 1 to 2", settings={"augment.min_scale": 1.0}),
    "copy_paste": Row(
        about="copy-paste into half of the images",
        settings={"augment.mixing": "copy_paste", "augment.mixing_probability": 0.5},
    ),
    "train_at_8": Row(about="output stride 8", settings={"model.output_stride": 8}),
    "averaged": Row(about="average of the weights", settings={"train.ema_decay": 0.99}),
}
ROWS: Mapping[str, Row] = {**PAPER, **RECIPE}
GROUPS: Mapping[str, Mapping[str, Row]] = {"paper": PAPER, "recipe": RECIPE}
