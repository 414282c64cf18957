"""What a released model is, read from the names and shapes of its variables."""

import re
from collections.abc import Mapping

import numpy as np

from deeplab_tf.config import Model
from deeplab_tf.errors import UserError
from deeplab_tf.files import Json
from deeplab_tf.network import backbones
from deeplab_tf.network.backbones.mobilenet_v2 import BOTTLENECKS
from deeplab_tf.released import variable_names

Tensors = Mapping[str, np.ndarray]

LOGITS = "logits/semantic"
# At output stride 16, by their number; the variables do not tell the rates.
_RATES: Mapping[int, tuple[int, ...]] = {0: (), 3: (6, 12, 18)}
# Channels at multiplier 1 of a layer that is wide enough to tell the multiplier.
_WIDTHS = {
    "mobilenet_v2": ("MobilenetV2/expanded_conv_16/project", BOTTLENECKS[-1][0]),
    "mobilenet_v3_large": ("MobilenetV3/Conv_1", 480),
    "mobilenet_v3_small": ("MobilenetV3/Conv_1", 288),
}
# Unit rates that the released ResNet beta weights expect (the code's own advice).
_BETA_GRID = (1, 2, 4)


def recognize(tensors: Tensors, source: str) -> Json:
    """The fields of config.Model that the variables tell.

    What they do not tell has the value of the released recipes: atrous rates by
    their number, unit rates 1, 2, 4 for the deeper ResNet betas, the published dense
    prediction cell.

    Args:
      tensors: released name -> value.
      source: the file's name, for messages.

    Raises:
      UserError: it is none of the networks here.
    """
    fields = recognize_backbone(tensors, source)
    if not has_head(tensors):
        return fields
    if any(name.startswith("meta_architecture/") for name in tensors):
        fields |= {"context": "dense_prediction_cell", "atrous_rates": ()}
        fields["aspp_channels"] = _channels(tensors, "meta_architecture/branch0")
        fields["image_pooling"] = False
    elif "concat_projection/weights" in tensors:
        fields |= _aspp(tensors, source)
    else:
        raise UserError(
            f"{source}: its head has no concat_projection, so it is neither the ASPP "
            "nor the dense prediction cell that can be imported; its backbone alone "
            "can be, by --train.init_checkpoint."
        )
    return fields | _decoder(tensors, Model(**fields), source)


def has_head(tensors: Tensors) -> bool:
    """Whether there is a classifier of pixels, not a backbone alone."""
    return f"{LOGITS}/weights" in tensors


def num_classes(tensors: Tensors) -> int:
    """Outputs of the classifier."""
    return tensors[f"{LOGITS}/weights"].shape[-1]


def recognize_backbone(tensors: Tensors, source: str) -> Json:
    """`backbone` and what belongs to it.

    Raises:
      UserError: none of the backbones' scopes is there.
    """
    scopes = {name.split("/")[0] for name in tensors}
    found = [
        name for name in backbones.MODULES if variable_names.SCOPES[name] in scopes
    ]
    if "MobilenetV3" in scopes:
        large = any("/expanded_conv_14/" in name for name in tensors)
        found = ["mobilenet_v3_large" if large else "mobilenet_v3_small"]
    if any(name.startswith("resnet_v1") for name in scopes):
        beta = any("/conv1_1/" in name for name in tensors)
        found = [name for name in found if name.endswith("_beta") == beta]
    if len(found) != 1:
        raise UserError(
            f"{source}: is no released DeepLab model or backbone; allowed scopes: "
            f"{', '.join(sorted(set(variable_names.SCOPES.values())))}; received "
            f"{', '.join(sorted(scopes)[:8]) or 'no variables'}."
        )
    fields: Json = {"backbone": found[0]}
    if found[0] in _WIDTHS:
        layer, width = _WIDTHS[found[0]]
        if f"{layer}/weights" not in tensors:
            raise UserError(f"{source}: lacks {layer}/weights.")
        channels = tensors[f"{layer}/weights"].shape[-1]
        fields["depth_multiplier"] = round(channels / width, 4)
    if found[0] in ("resnet_50_beta", "resnet_101_beta"):
        fields["multi_grid"] = _BETA_GRID
    return fields


def _aspp(tensors: Tensors, source: str) -> Json:
    numbers = {
        int(match[1])
        for match in (re.match(r"aspp(\d+)[_/]", name) for name in tensors)
        if match
    }
    branches = len(numbers - {0})
    if branches not in _RATES:
        raise UserError(
            f"{source}: has {branches} atrous branches; the released models have 0 or "
            "3, at rates 6, 12, 18."
        )
    fields = {
        "aspp_channels": tensors["concat_projection/weights"].shape[-1],
        "atrous_rates": _RATES[branches],
        "image_pooling": "image_pooling/weights" in tensors,
    }
    if branches:
        fields["aspp_separable"] = "aspp1_depthwise/depthwise_weights" in tensors
    return fields


def _decoder(tensors: Tensors, model: Model, source: str) -> Json:
    names = [name for name in tensors if name.startswith("decoder/feature_projection")]
    projections = sorted(name for name in names if name.endswith("/weights"))
    if not projections:
        return {"decoder_strides": ()}
    taps = backbones.get_spec(model.backbone).taps
    strides = []
    for name in projections:
        width = tensors[name].shape[2] / model.depth_multiplier
        stride = min(taps, key=lambda stride: abs(taps[stride] - width))
        # Where the multiplier is not 1, channels are rounded, by a fifth at most.
        slack = 0.0 if model.depth_multiplier == 1.0 else width / 5
        if abs(taps[stride] - width) > slack:
            raise UserError(
                f"{source}: {name} takes {tensors[name].shape[2]} channels, but the "
                f"taps of {model.backbone} have {dict(taps)}."
            )
        strides.append(stride)
    separable = "decoder/decoder_conv0_depthwise/depthwise_weights" in tensors
    return {
        "decoder_strides": tuple(strides),
        "decoder_channels": _channels(
            tensors, "decoder/decoder_conv0", "decoder/decoder_conv0/decoder_conv0_1"
        ),
        "decoder_separable": separable,
        "low_level_channels": tensors[projections[0]].shape[-1],
    }


def _channels(tensors: Tensors, *scopes: str) -> int:
    """Channels of the first convolution there, separable or not; 256 without one."""
    for scope in scopes:
        for name in (f"{scope}_pointwise/weights", f"{scope}/weights"):
            if name in tensors:
                return tensors[name].shape[-1]
    return 256
