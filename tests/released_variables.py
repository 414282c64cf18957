"""The variables of the released TF1 models, written down from the papers' tables.

Each has its released name, the path that it has here, and its shape. Nothing of the
library is used, so that the library's own tables are checked against these.
"""

import math

import numpy as np
import tensorflow as tf

CELL = "dense_prediction_cell"
NORM = ("gamma", "beta", "moving_mean", "moving_variance")


def eights(channels):
    """The nearest multiple of 8, halves up, that keeps nine tenths."""
    nearest = max(8, 8 * math.floor(channels / 8 + 0.5))
    return nearest + 8 if nearest < 0.9 * channels else nearest


class Variables(dict):
    """released name -> (our path, shape)."""

    def conv(self, theirs, ours, size, cin, cout, bias=False, norm=True):
        self[f"{theirs}/weights"] = (f"{ours}/kernel", (size, size, cin, cout))
        if bias:
            self[f"{theirs}/biases"] = (f"{ours}/bias", (cout,))
        if norm:
            self.norm(theirs, ours, cout)

    def depthwise(self, theirs, ours, size, channels):
        name = f"{theirs}/depthwise_weights"
        self[name] = (f"{ours}/kernel", (size, size, channels, 1))
        self.norm(theirs, ours, channels)

    def norm(self, theirs, ours, channels):
        for part in NORM:
            path = f"{ours}.batch_norm/{part}"
            self[f"{theirs}/BatchNorm/{part}"] = (path, (channels,))

    def separable(self, theirs, ours, cin, cout):
        self.depthwise(f"{theirs}_depthwise", f"{ours}.depthwise", 3, cin)
        self.conv(f"{theirs}_pointwise", f"{ours}.pointwise", 1, cin, cout)


def xception(out, depth):
    entry = {"71": (128, 256, 256, 728, 728)}.get(depth, (128, 256, 728))
    blocks = [(f"entry_flow/block{i}", (c,) * 3, 1) for i, c in enumerate(entry, 1)]
    blocks += [
        ("middle_flow/block1", (728,) * 3, 8 if depth == "41" else 16),
        ("exit_flow/block1", (728, 1024, 1024), 1),
        ("exit_flow/block2", (1536, 1536, 2048), 1),
    ]
    root = f"xception_{depth}"
    for i, (cin, cout) in enumerate(((3, 32), (32, 64)), 1):
        theirs = f"{root}/entry_flow/conv1_{i}"
        out.conv(theirs, theirs.replace("/", "."), 3, cin, cout)
    cin = 64
    for block, widths, units in blocks:
        for unit in range(1, units + 1):
            ours = f"{root}/{block}/unit_{unit}".replace("/", ".")
            theirs = f"{root}/{block}/unit_{unit}/xception_module"
            first = cin
            for i, width in enumerate(widths, 1):
                path = f"{ours}.separable_conv{i}"
                out.separable(f"{theirs}/separable_conv{i}", path, cin, width)
                cin = width
            if not block.startswith("middle") and block != "exit_flow/block2":
                out.conv(f"{theirs}/shortcut", f"{ours}.shortcut", 1, first, cin)
    return 2048, 256


def resnet(out, depth, beta):
    units = {"18": (2, 2, 2, 2), "50": (3, 4, 6, 3), "101": (3, 4, 23, 3)}[depth]
    small = depth == "18"
    theirs, ours = f"resnet_v1_{depth}", f"resnet_{depth}" + ("_beta" if beta else "")
    cin = 64
    if beta:
        widths, cin = ((16, 16, 32) if small else (64, 64, 128)), 3
        for i, width in enumerate(widths, 1):
            out.conv(f"{theirs}/conv1_{i}", f"{ours}.conv1_{i}", 3, cin, width)
            cin = width
    else:
        out.conv(f"{theirs}/conv1", f"{ours}.conv1", 7, 3, 64)
    for block, count in enumerate(units, 1):
        width = 64 * 2 ** (block - 1)
        for unit in range(1, count + 1):
            kind = "lite_bottleneck_v1" if small else "bottleneck_v1"
            a = f"{theirs}/block{block}/unit_{unit}/{kind}"
            b = f"{ours}.block{block}.unit_{unit}"
            rows = [(3, cin, width), (3, width, width)]
            if not small:
                rows = [
                    (1, cin, width),
                    (3, width, width),
                    (1, width, 4 * width),
                ]
            for i, row in enumerate(rows, 1):
                out.conv(f"{a}/conv{i}", f"{b}.conv{i}", *row)
            if cin != rows[-1][2]:
                out.conv(f"{a}/shortcut", f"{b}.shortcut", 1, cin, rows[-1][2])
            cin = rows[-1][2]
    return cin, 64 if small else 256


def mobilenet_v2(out, multiplier):
    def scaled(channels):  # any number of channels, but at multiplier 1
        return math.floor(channels * multiplier + 0.5)

    rows = [(1, 16, 1), (6, 24, 2), (6, 32, 3), (6, 64, 4), (6, 96, 3)]
    rows += [(6, 160, 3), (6, 320, 1)]
    out.conv("MobilenetV2/Conv", "mobilenet_v2.conv", 3, 3, scaled(32))
    cin, number, tap = scaled(32), 0, None
    for expansion, channels, repeats in rows:
        for _ in range(repeats):
            suffix = f"_{number}" if number else ""
            a = f"MobilenetV2/expanded_conv{suffix}"
            b = f"mobilenet_v2.expanded_conv{suffix}"
            wide = eights(cin * expansion) if number else cin
            if number:
                out.conv(f"{a}/expand", f"{b}.expand", 1, cin, wide)
            out.depthwise(f"{a}/depthwise", f"{b}.depthwise", 3, wide)
            out.conv(f"{a}/project", f"{b}.project", 1, wide, scaled(channels))
            tap = wide if number == 2 else tap
            cin, number = scaled(channels), number + 1
    return cin, tap


# kernel, expanded, out, squeeze-and-excite (arXiv 1905.02244, tables 1 and 2, with
# the last block halved for segmentation).
V3_LARGE = (
    "3 16 16 -; 3 64 24 -; 3 72 24 -; 5 72 40 se; 5 120 40 se; 5 120 40 se; 3 240 80 -;"
    "3 200 80 -; 3 184 80 -; 3 184 80 -; 3 480 112 se; 3 672 112 se; 5 336 80 se;"
    "5 480 80 se; 5 480 80 se"
)
V3_SMALL = (
    "3 16 16 se; 3 72 24 -; 3 88 24 -; 5 96 40 se; 5 240 40 se; 5 240 40 se;"
    "5 120 48 se; 5 144 48 se; 5 144 48 se; 5 288 48 se; 5 288 48 se"
)


def mobilenet_v3(out, size):
    table, last, tapped = (V3_LARGE, 480, 2) if size == "large" else (V3_SMALL, 288, 0)
    root = f"mobilenet_v3_{size}"
    out.conv("MobilenetV3/Conv", f"{root}.conv", 3, 3, 16)
    cin, tap = 16, None
    for number, row in enumerate(table.split(";")):
        kernel, wide, channels, squeeze = row.split()
        kernel, wide, channels = int(kernel), int(wide), int(channels)
        suffix = f"_{number}" if number else ""
        a, b = f"MobilenetV3/expanded_conv{suffix}", f"{root}.expanded_conv{suffix}"
        if wide != cin:
            out.conv(f"{a}/expand", f"{b}.expand", 1, cin, wide)
        out.depthwise(f"{a}/depthwise", f"{b}.depthwise", kernel, wide)
        if squeeze == "se":
            a_gate, b_gate = f"{a}/squeeze_excite", f"{b}.squeeze_excite"
            inner = eights(wide / 4)
            options = {"bias": True, "norm": False}
            out.conv(f"{a_gate}/Conv", f"{b_gate}.squeeze", 1, wide, inner, **options)
            out.conv(f"{a_gate}/Conv_1", f"{b_gate}.excite", 1, inner, wide, **options)
        out.conv(f"{a}/project", f"{b}.project", 1, wide, channels)
        tap = wide if number == tapped else tap
        cin = channels
    out.conv("MobilenetV3/Conv_1", f"{root}.conv_1", 1, cin, last)
    return last, tap


def backbone(out, name, multiplier=1.0):
    """Adds a backbone; returns its channels and those of its tap at stride 4."""
    family, *rest = name.split("_")
    if family == "xception":
        return xception(out, rest[0])
    if family == "resnet":
        return resnet(out, rest[0], name.endswith("beta"))
    if name == "mobilenet_v2":
        return mobilenet_v2(out, multiplier)
    return mobilenet_v3(out, rest[-1])


def head(out, cin, tap, classes, rates=(), decoder=False, separable=True, width=256):
    """ASPP, decoder at stride 4 and classifier."""
    out.conv("image_pooling", "aspp.image_pooling", 1, cin, width)
    out.conv("aspp0", "aspp.conv_1x1", 1, cin, width)
    for i, rate in enumerate(rates, 1):
        if separable:
            out.separable(f"aspp{i}", f"aspp.atrous_{rate}", cin, width)
        else:
            out.conv(f"aspp{i}", f"aspp.atrous_{rate}", 3, cin, width)
    branches = (2 + len(rates)) * width
    out.conv("concat_projection", "aspp.projection", 1, branches, width)
    if decoder:
        a, b = "decoder", "decoder.stride_4"
        out.conv(f"{a}/feature_projection0", f"{b}.low_level", 1, tap, 48)
        for i, channels in ((0, width + 48), (1, width)):
            if separable:
                theirs = f"{a}/decoder_conv{i}"
                out.separable(theirs, f"{b}.conv_{i + 1}", channels, width)
            else:
                theirs = f"{a}/decoder_conv0/decoder_conv0_{i + 1}"
                out.conv(theirs, f"{b}.conv_{i + 1}", 3, channels, width)
    classifier(out, width, classes)


def cell_head(out, cin, tap, classes, width=256):
    """Five branches of a dense prediction cell, decoder and classifier."""
    for i in range(5):
        theirs, ours = f"meta_architecture/branch{i}", f"{CELL}.branch_{i}"
        out.separable(theirs, ours, width if i else cin, width)
    theirs = "meta_architecture/concat_projection"
    out.conv(theirs, f"{CELL}.projection", 1, 5 * width, width)
    a, b = "decoder", "decoder.stride_4"
    out.conv(f"{a}/feature_projection0", f"{b}.low_level", 1, tap, 48)
    for i, channels in ((0, width + 48), (1, width)):
        out.separable(f"{a}/decoder_conv{i}", f"{b}.conv_{i + 1}", channels, width)
    classifier(out, width, classes)


def classifier(out, cin, classes):
    options = {"bias": True, "norm": False}
    out.conv("logits/semantic", "logits", 1, cin, classes, **options)


def fill(variables, seed=0):
    """Random values by released name."""
    rng = np.random.default_rng(seed)
    return {
        name: rng.random(shape, np.float32) for name, (_, shape) in variables.items()
    }


def write(prefix, tensors):
    """Writes a TF1 checkpoint: what tf.compat.v1.train.Saver's own operation writes."""
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=list(tensors),
        shape_and_slices=[""] * len(tensors),
        tensors=list(tensors.values()),
    )
    return str(prefix)
