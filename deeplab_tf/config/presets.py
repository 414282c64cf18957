"""Recipes by name: `--preset=NAME` sets what the recipe says and nothing else."""

import dataclasses
from collections.abc import Mapping

from deeplab_tf.config import Config
from deeplab_tf.errors import unknown


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preset:
    """A recipe.

    Attributes:
      dataset: the name in datasets/convert.py of what it is for.
      settings: dotted leaves of Config that differ from the defaults.
      about: what it is for and where it comes from.
      expects: mIoU on the val split, where it was measured, and the time that it takes
        on what; or that nobody has trained it here.
    """

    dataset: str
    settings: Mapping[str, object]
    about: str
    expects: str


# What the paper's recipes share. Splits are those that datasets/convert.py writes.
_XCEPTION_65: Mapping[str, object] = {
    "model.backbone": "xception_65",
    "model.output_stride": 16,
    "data.train_split": "train",
    "data.eval_split": "val",
    "optimizer.learning_rate": 0.007,
    "optimizer.bias_factor": 2.0,
    "train.init_checkpoint": "zoo:xception_65_imagenet",
    "train.batch_norm_momentum": 0.9997,
    "train.batch_size": 16,
}
_NOT_HERE = "Not trained here"
# What the help says of them all.
WEIGHTS = (
    "Those of Xception-65 are of Chen et al. 2018 and begin with "
    "zoo:xception_65_imagenet, a download of 447 MB; without it "
    "(--train.init_checkpoint=) they begin at random, for which nothing is published."
)

PRESETS: Mapping[str, Preset] = {
    "demo": Preset(
        dataset="shapes",
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
        expects="val 0.89 in four minutes on two CPU cores (make demo)",
    ),
    "camvid_mobilenet_v2": Preset(
        dataset="camvid",
        settings={
            "model.input_scale": 1.5,
            "model.atrous_rates": (2, 4, 8),
            "data.crop_size": (321, 321),
            "augment.max_scale": 1.25,
            "augment.photometric": 0.3,
            "augment.class_balanced_crops": 0.3,
            "loss.terms": {"cross_entropy": 1.0, "lovasz": 0.5},
            "loss.class_weighting": "inverse_root",
            "loss.class_weights_end": 0.25,
            "optimizer.name": "adamw",
            "optimizer.learning_rate": 0.002,
            "optimizer.weight_decay": 0.01,
            "optimizer.warmup_steps": 100,
            "train.steps": 1700,
            "train.batch_size": 8,
            "train.eval_steps": 850,
            "train.frozen_stride": 4,
            "train.precision": "auto",
            "train.init_checkpoint": "zoo:mobilenetv2_coco_voc_trainval",
        },
        about="CamVid's 367 images of 480x360, from weights of PASCAL VOC, on CPUs.",
        expects="val 0.738 (three seeds) in about an hour on one CPU core with "
        "bfloat16; docs/results.md",
    ),
    "voc_xception_65": Preset(
        dataset="voc2012",
        settings={
            **_XCEPTION_65,
            "model.padded_size": (513, 513),
            "data.crop_size": (513, 513),
            "train.steps": 30_000,
        },
        about="PASCAL VOC 2012 (section 4), on the 1,464 images of train. The paper "
        "trains on 10,582: give --data.train_split=trainaug where "
        "datasets/convert.py --splits=trainaug,val had SBD's list and labels.",
        expects="val 0.7979 in the paper (table 5, the decoder of separable "
        "convolutions, output stride 16), from trainaug; 0.8139 with eval "
        f"--output_stride=8 --flip --scales=0.5,0.75,1,1.25,1.5,1.75. {_NOT_HERE}",
    ),
    "cityscapes_xception_65": Preset(
        dataset="cityscapes",
        settings={
            **_XCEPTION_65,
            "data.crop_size": (769, 769),
            "train.steps": 90_000,
        },
        about="Cityscapes, the fine labels of train (section 4.3).",
        expects="val 0.7879 in the paper (table 7, decoder and image pooling, output "
        "stride 16) and for the released weights; those reach 0.8042 with eval "
        f"--output_stride=8 --flip --scales=0.75,1,1.25. {_NOT_HERE}",
    ),
    "ade20k_xception_65": Preset(
        dataset="ade20k",
        settings={
            **_XCEPTION_65,
            "model.padded_size": (513, 513),
            "data.crop_size": (513, 513),
            "data.min_resize": 513,
            "data.max_resize": 513,
            "data.resize_factor": 16,
            "train.steps": 150_000,
        },
        about="ADE20K with images resized to 513 pixels (the released code's guide).",
        expects="val 0.4565 for the released weights at output stride 8 with scales "
        "0.5 to 1.75 and flip. They were measured on images of 513 pixels; eval here "
        f"takes each at its own size. {_NOT_HERE}",
    ),
}


def get(name: str) -> Config:
    """The preset's config; raises UserError for a name that is not listed."""
    if name not in PRESETS:
        raise unknown("preset", name, PRESETS)
    return Config().replace(PRESETS[name].settings)


def describe() -> str:
    """One line a preset, for --help."""
    lines = (
        f"{name}: {preset.about} Expects: {preset.expects}."
        for name, preset in PRESETS.items()
    )
    return "\n".join([f"Recipe to start from. {WEIGHTS}", *lines])
