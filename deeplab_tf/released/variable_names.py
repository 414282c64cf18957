"""The names that the released TF1 code gave to the variables of our layers.

A layer's name is translated by the rules of its part of the network; the variable's
own name depends on the kind of layer alone. Layouts are equal, so values are copied
as they are.
"""

import re
from collections.abc import Mapping

import keras

from deeplab_tf.config import Model

# Kind of layer -> {our variable: the released one, below the layer's scope}.
_CONV = {"kernel": "weights", "bias": "biases"}
_DEPTHWISE = {"kernel": "depthwise_weights"}
_NORM = {
    name: f"BatchNorm/{name}"
    for name in ("gamma", "beta", "moving_mean", "moving_variance")
}

# Backbone -> scope of the released network.
SCOPES: Mapping[str, str] = {
    "mobilenet_v2": "MobilenetV2",
    "mobilenet_v3_large": "MobilenetV3",
    "mobilenet_v3_small": "MobilenetV3",
    "resnet_18": "resnet_v1_18",
    "resnet_18_beta": "resnet_v1_18",
    "resnet_50": "resnet_v1_50",
    "resnet_50_beta": "resnet_v1_50",
    "resnet_101": "resnet_v1_101",
    "resnet_101_beta": "resnet_v1_101",
    "xception_41": "xception_41",
    "xception_65": "xception_65",
    "xception_71": "xception_71",
}

Rules = tuple[tuple[str, str], ...]  # (pattern, replacement), applied in order

# Replacements inside a backbone, in order, on the name behind the backbone's own.
_MOBILENET = (
    (r"^conv", "Conv"),
    (r"squeeze_excite\.squeeze$", "squeeze_excite.Conv"),
    (r"squeeze_excite\.excite$", "squeeze_excite.Conv_1"),
)
_XCEPTION = (
    (r"\.(depthwise|pointwise)$", r"_\1"),
    (r"(unit_\d+)\.", r"\1.xception_module."),
)
_HEAD = (
    (r"^aspp\.image_pooling$", "image_pooling"),
    (r"^aspp\.conv_1x1$", "aspp0"),
    (r"^aspp\.projection$", "concat_projection"),
    (r"^dense_prediction_cell\.branch_", "meta_architecture.branch"),
    (r"^dense_prediction_cell\.projection$", "meta_architecture.concat_projection"),
    (r"\.(depthwise|pointwise)$", r"_\1"),
    (r"^logits$", "logits.semantic"),
)


def released_variables(network: keras.Model, model: Model) -> dict[str, keras.Variable]:
    """Released name -> variable, for every variable of the network, in its order."""
    return {
        f"{scope(_block(layer.name), model)}/{_parts(layer)[variable.name]}": variable
        for layer in network.layers
        for variable in layer.weights
    }


def scope(block: str, model: Model) -> str:
    """The released scope of a block, named as in `blocks`."""
    first, _, rest = block.partition(".")
    if first == model.backbone:
        return f"{SCOPES[first]}/{_replace(rest, _backbone_rules(first))}"
    rules: Rules = _HEAD
    if first == "aspp":
        branches = {f"aspp.atrous_{r}": i for i, r in enumerate(model.atrous_rates, 1)}
        for name, number in branches.items():
            rules = ((rf"^{re.escape(name)}(?=\.|$)", f"aspp{number}"), *rules)
    if first == "decoder":
        rules = (*_decoder_rules(model), *rules)
    return _replace(block, rules)


def _backbone_rules(backbone: str) -> Rules:
    if backbone.startswith("xception"):
        return _XCEPTION
    if backbone.startswith("resnet"):
        unit = "lite_bottleneck_v1" if "_18" in backbone else "bottleneck_v1"
        return ((r"(unit_\d+)\.", rf"\1.{unit}."),)
    return _MOBILENET


def _decoder_rules(model: Model) -> Rules:
    """The stages are numbered, and the first one's number is not written.

    Separable convolutions have a scope each; plain ones are repetitions in one scope.
    """
    rules: list[tuple[str, str]] = []
    for stage, stride in enumerate(model.decoder_strides):
        suffix = f"_{stage}" if stage else ""
        prefix = rf"^decoder\.stride_{stride}\."
        rules.append((prefix + "low_level$", f"decoder.feature_projection0{suffix}"))
        for number in (1, 2):
            repeated = f"decoder_conv0{suffix}"
            theirs = f"{repeated}.{repeated}_{number}"
            if model.decoder_separable:
                theirs = f"decoder_conv{number - 1}{suffix}"
            rules.append((f"{prefix}conv_{number}", f"decoder.{theirs}"))
    return tuple(rules)


def _replace(name: str, rules: Rules) -> str:
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name.replace(".", "/")


def _block(layer: str) -> str:
    return layer.removesuffix(".batch_norm")


def _parts(layer: keras.layers.Layer) -> Mapping[str, str]:
    if isinstance(layer, keras.layers.BatchNormalization):
        return _NORM
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return _DEPTHWISE
    return _CONV
