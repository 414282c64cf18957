"""Parameters and multiply-adds of every backbone at every output stride.

    python benchmarks/model_cost.py [--json]

DeepLabv3+ with 21 classes (19 for the Cityscapes size), and below it the published
figures beside ours. Nothing is timed.
"""

import argparse
import json
from typing import Any

from deeplab_tf import DeepLabV3Plus
from deeplab_tf.network import backbones, cost

SIZES = ((513, 513), (1025, 2049))

V3 = {"decoder_strides": ()}
MOBILE = {**V3, "atrous_rates": ()}  # image pooling and 1x1 only
RESNET = {"aspp_separable": False, "decoder_separable": False}

# (backbone, options, classes, size, published 10^9 multiply-adds, where).
PUBLISHED: tuple[tuple[str, dict[str, Any], int, tuple[int, int], float, str], ...] = (
    ("xception_65", {}, 21, SIZES[0], 54.17, "v3+ paper, table 5; model zoo"),
    ("xception_65", {"output_stride": 8}, 21, SIZES[0], 177.10, "v3+ paper, table 5"),
    ("xception_65", {}, 19, SIZES[1], 418.64, "model zoo"),
    (
        "xception_71",
        {"context": "dense_prediction_cell"},
        19,
        SIZES[1],
        502.07,
        "model zoo",
    ),
    ("mobilenet_v2", MOBILE, 21, SIZES[0], 2.75, "model zoo"),
    ("mobilenet_v2", MOBILE, 19, SIZES[1], 21.27, "model zoo"),
    (
        "mobilenet_v2",
        {**MOBILE, "depth_multiplier": 0.5},
        21,
        SIZES[0],
        0.88,
        "model zoo",
    ),
    (
        "mobilenet_v2",
        {**MOBILE, "depth_multiplier": 0.5, "output_stride": 8},
        21,
        SIZES[0],
        2.84,
        "model zoo",
    ),
    ("resnet_101_beta", {**RESNET, **V3}, 21, SIZES[0], 81.02, "v3+ paper, table 3"),
    ("resnet_101_beta", RESNET, 21, SIZES[0], 101.28, "v3+ paper, table 3"),
)


def measure(backbone: str, output_stride: int) -> dict[str, Any]:
    model = DeepLabV3Plus(backbone, num_classes=21, output_stride=output_stride)
    return {
        "backbone": backbone,
        "output_stride": output_stride,
        "trainable": cost.parameters(model.trainable_variables),
        "total": cost.parameters(model.weights),
        "variables": len(model.weights),
        **{
            f"multiply_adds_{height}x{width}": cost.multiply_adds(model, height, width)
            for height, width in SIZES
        },
    }


def compare(
    backbone: str,
    options: dict[str, Any],
    classes: int,
    size: tuple[int, int],
    published: float,
    source: str,
) -> dict[str, Any]:
    model = DeepLabV3Plus(backbone, num_classes=classes, **options)
    ours = cost.multiply_adds(model, *size) / 1e9
    return {
        "backbone": backbone,
        "options": options,
        "size": size,
        "ours": round(ours, 3),
        "published": published,
        "difference_percent": round(100 * (ours / published - 1), 2),
        "source": source,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON instead")
    arguments = parser.parse_args()
    rows = [measure(name, s) for name in sorted(backbones.MODULES) for s in (8, 16, 32)]
    published = [compare(*case) for case in PUBLISHED]
    if arguments.json:
        print(json.dumps({"models": rows, "published": published}, indent=1))
        return
    print(
        "backbone           | OS |  trainable |      total | vars"
        " |  513x513 | 1025x2049"
    )
    for row in rows:
        small, large = (row[f"multiply_adds_{h}x{w}"] / 1e9 for h, w in SIZES)
        print(
            f"{row['backbone']:18} | {row['output_stride']:2} | {row['trainable']:10,}"
            f" | {row['total']:10,} | {row['variables']:4} | {small:6.2f} B"
            f" | {large:7.2f} B"
        )
    print(
        "\npublished figure   |    size   |     ours | published | difference | source"
    )
    for row in published:
        size = "x".join(map(str, row["size"]))
        print(
            f"{row['backbone']:18} | {size:9} | {row['ours']:6.2f} B"
            f" | {row['published']:7.2f} B | {row['difference_percent']:+8.2f} %"
            f" | {row['source']}; {row['options'] or 'defaults'}"
        )


if __name__ == "__main__":
    main()
