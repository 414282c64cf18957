"""Multiply-adds against published figures and a count by hand."""

import model_cost
import pytest

from deeplab_tf import DeepLabV3Plus
from deeplab_tf.network import cost


def published_by_the_zoo():
    return [case for case in model_cost.PUBLISHED if "resnet" not in case[0]]


@pytest.mark.parametrize("case", published_by_the_zoo())
def test_multiply_adds_are_the_published_ones(case):
    row = model_cost.compare(*case)
    assert abs(row["difference_percent"]) < 0.5


def test_head_counted_by_hand():
    network = DeepLabV3Plus(
        "mobilenet_v2", num_classes=5, atrous_rates=(), decoder_strides=()
    )
    more_classes = DeepLabV3Plus(
        "mobilenet_v2", num_classes=7, atrous_rates=(), decoder_strides=()
    )
    height, width = 65, 97
    at_16 = 5 * 7
    added = 2 * (at_16 * 256 + height * width * 3)  # 1x1 on 256 channels, resize
    difference = cost.multiply_adds(more_classes, height, width) - cost.multiply_adds(
        network, height, width
    )
    assert difference == added


def test_paper_activation_costs_no_multiply_adds():
    released, paper = (
        DeepLabV3Plus("xception_41", num_classes=2, depthwise_activation=text)
        for text in ("released", "paper")
    )
    counts = [cost.multiply_adds(network, 129, 129) for network in (released, paper)]
    assert counts[0] == counts[1]
