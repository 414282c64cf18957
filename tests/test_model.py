"""Whole networks: counts, sizes, weights that serve every output stride."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import deeplab_tf
from deeplab_tf import model

# (trainable, with moving statistics, variables) of DeepLabv3+ with 21 classes, from
# the block tables; D88's README lists 41.06 M for Xception-65.
COUNTS = {
    "xception_41": (28_108_661, 28_241_573, 492),
    "xception_65": (41_055_413, 41_258_213, 732),
    "xception_71": (43_477_837, 43_694_413, 802),
}


def size(variables):
    return sum(int(np.prod(variable.shape)) for variable in variables)


def tiny(**options):
    defaults = {
        "backbone": "mobilenet_v2",
        "num_classes": 5,
        "depth_multiplier": 0.25,
        "aspp_channels": 16,
        "decoder_channels": 16,
    }
    return deeplab_tf.DeepLabV3Plus(**{**defaults, **options})


@pytest.mark.parametrize("backbone", COUNTS)
def test_exact_counts(backbone):
    network = deeplab_tf.DeepLabV3Plus(backbone, num_classes=21)
    counts = (
        size(network.trainable_variables),
        size(network.weights),
        len(network.weights),
    )
    assert counts == COUNTS[backbone]


@pytest.mark.parametrize("shape", [(65, 97), (64, 50)])
def test_logits_have_the_size_of_the_picture(shape):
    images = np.random.default_rng(0).uniform(0, 255, (2, *shape, 3))
    logits = tiny()(images.astype(np.float32))
    assert logits.shape == (2, *shape, 5)
    assert logits.dtype == tf.float32


def test_one_set_of_weights_serves_every_output_stride():
    networks = [tiny(output_stride=stride) for stride in (8, 16, 32)]
    listed = [
        [(weight.path, weight.shape) for weight in network.weights]
        for network in networks
    ]
    assert listed[0] == listed[1] == listed[2]


def test_random_weights_depend_on_the_seed_alone():
    weights = []
    for seed in (3, 3, 4):
        keras.utils.set_random_seed(seed)
        weights.append(tiny().get_weights())
    for first, second in zip(weights[0], weights[1], strict=True):
        np.testing.assert_array_equal(first, second)
    assert np.abs(weights[0][0] - weights[2][0]).max() > 0


def test_weight_decay_takes_ordinary_and_pointwise_kernels_only():
    names = {variable.path for variable in model.weight_decay_variables(tiny())}
    assert {
        "mobilenet_v2.conv/kernel",
        "aspp.atrous_6.pointwise/kernel",
        "logits/kernel",
    } <= names
    assert not any("depthwise" in name or "batch_norm" in name for name in names)
    assert not any(name.endswith("bias") for name in names)
