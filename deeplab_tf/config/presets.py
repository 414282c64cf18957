"""Recipes by name: `--preset=NAME` sets what the recipe says and nothing else."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from deeplab_tf.config import Config
from deeplab_tf.errors import unknown


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preset:
    """A recipe.

    Attributes:
      settings: dotted leaves of Config that differ from the defaults.
      about: what it is for and where it comes from.
      expects: data set, mIoU on its val split, and the time that it takes on what.
    """

    settings: Mapping[str, Any]
    about: str
    expects: str


PRESETS: Mapping[str, Preset] = {
    "demo": Preset(
        settings={
            "model.depth_multiplier": 0.5,
            "model.aspp_channels": 64,
            "model.decoder_channels": 64,
            "model.atrous_rates": (2, 4, 6),
            "data.crop_size": (129, 129),
            "augment.min_scale": 0.75,
            "augment.max_scale": 1.5,
            "optimizer.name": "adamw",
            "optimizer.learning_rate": 0.004,
            "optimizer.weight_decay": 0.01,
            "optimizer.warmup_steps": 50,
            "train.steps": 2000,
            "train.batch_size": 8,
            "train.eval_steps": 500,
        },
        about="A narrow MobileNetV2 DeepLabv3+ from scratch, for the shapes data set.",
        expects="shapes val 0.89 in four minutes on two CPU cores (make demo)",
    ),
    "voc_xception_65": Preset(
        settings={
            "model.backbone": "xception_65",
            "train.batch_norm_momentum": 0.9997,
            "train.steps": 30_000,
            "train.batch_size": 16,
            "optimizer.learning_rate": 0.007,
        },
        about="PASCAL VOC 2012 trainaug (Chen et al. 2018, section 4).",
        expects="val 0.7993 in the paper, from ImageNet weights (table 5)",
    ),
    "cityscapes_xception_65": Preset(
        settings={
            "model.backbone": "xception_65",
            "train.batch_norm_momentum": 0.9997,
            "data.crop_size": (769, 769),
            "train.steps": 90_000,
            "train.batch_size": 16,
        },
        about="Cityscapes train_fine (Chen et al. 2018, section 4.3).",
        expects="val 0.7879 in the paper, from ImageNet weights (table 7)",
    ),
    "ade20k_xception_65": Preset(
        settings={
            "model.backbone": "xception_65",
            "train.batch_norm_momentum": 0.9997,
            "train.steps": 150_000,
            "train.batch_size": 16,
        },
        about="ADE20K (the released code's guide, 513 pixels).",
        expects="val 0.4565 for the released weights with scales and flip at stride 8",
    ),
}


def get(name: str) -> Config:
    """The preset's config; raises UserError for a name that is not listed."""
    if name not in PRESETS:
        raise unknown("preset", name, PRESETS)
    return Config().replace(PRESETS[name].settings)


def describe() -> str:
    """One sentence a preset, for --help."""
    lines = (
        f"{name}: {preset.about} Expects: {preset.expects}."
        for name, preset in PRESETS.items()
    )
    return "Recipe to start from. " + " ".join(lines)
