"""Whole networks: counts, sizes, options, and the ways in which they are used."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import shallow
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from tensorflow.python.framework.convert_to_constants import (
    convert_variables_to_constants_v2,
)

import deeplab_tf
from deeplab_tf.errors import UserError
from deeplab_tf.network import backbones, cost, deeplab
from deeplab_tf.network.backbones import mobilenet_v3
from deeplab_tf.network.layers import batch_norm, depthwise
from deeplab_tf.network.layers.resize import resize

# (trainable, with moving statistics, variables) of DeepLabv3+ with 21 classes. The
# Xceptions are from their block tables; D88's README lists 41.06 M for Xception-65.
COUNTS = {
    "mobilenet_v2": (2_725_573, 2_764_357, 327),
    "mobilenet_v3_large": (2_499_669, 2_525_637, 334),
    "mobilenet_v3_small": (1_256_277, 1_271_685, 278),
    "resnet_18": (12_338_629, 12_356_613, 172),
    "resnet_18_beta": (12_320_309, 12_338_421, 187),
    "resnet_50": (26_696_133, 26_766_853, 337),
    "resnet_50_beta": (26_819_909, 26_891_013, 347),
    "resnet_101": (45_688_261, 45_811_205, 592),
    "resnet_101_beta": (45_812_037, 45_935_365, 602),
    "xception_41": (28_108_661, 28_241_573, 492),
    "xception_65": (41_055_413, 41_258_213, 732),
    "xception_71": (43_477_837, 43_694_413, 802),
}
# Parameters of torchvision's classifiers less their last layer, 1000 classes and bias.
TORCHVISION = {
    "resnet_18": 11_689_512 - 1000 * (512 + 1),
    "resnet_50": 25_557_032 - 1000 * (2048 + 1),
    "resnet_101": 44_549_160 - 1000 * (2048 + 1),
}
TINY = {
    "backbone": "mobilenet_v2",
    "num_classes": 5,
    "depth_multiplier": 0.25,
    "aspp_channels": 16,
    "decoder_channels": 16,
}


def tiny(**options):
    return deeplab_tf.DeepLabV3Plus(**{**TINY, **options})


def few_layers(**options):
    """The tiny network on the backbone that is traced soonest."""
    with shallow.resnet_18():
        return tiny(backbone="resnet_18", depth_multiplier=1.0, **options)


def pictures(*shape, seed=0):
    values = np.random.default_rng(seed).uniform(0, 255, shape)
    return values.astype(np.float32)


def relative_error(actual, expected):
    actual, expected = np.asarray(actual), np.asarray(expected)
    return np.abs(actual - expected).max() / np.abs(expected).max()


def test_every_listed_backbone_is_counted():
    assert set(COUNTS) == set(backbones.MODULES)


@pytest.mark.parametrize("backbone", COUNTS)
def test_exact_counts(backbone):
    network = deeplab_tf.DeepLabV3Plus(backbone, num_classes=21)
    counts = (
        cost.parameters(network.trainable_variables),
        cost.parameters(network.weights),
        len(network.weights),
    )
    assert counts == COUNTS[backbone]
    own = [v for v in network.trainable_variables if v.path.startswith(f"{backbone}.")]
    if backbone in TORCHVISION:
        assert cost.parameters(own) == TORCHVISION[backbone]
    if backbone in mobilenet_v3.VARIANTS:
        assert cost.parameters(own) == mobilenet_v3_parameters(backbone)


def mobilenet_v3_parameters(name):
    """From the rows of the paper's table, batch norm two a channel."""
    rows, last, _ = mobilenet_v3.VARIANTS[name]
    total, channels = 3 * 3 * 3 * 16 + 2 * 16, 16
    for row in rows:
        inner = row.expanded
        if inner != channels:
            total += channels * inner + 2 * inner
        total += row.size**2 * inner + 2 * inner
        if row.squeeze:  # a quarter, in multiples of 8, not below 0.9 of it
            squeezed = max(8, int(inner / 4 + 4) // 8 * 8)
            squeezed += 8 if squeezed < 0.9 * inner / 4 else 0
            total += 2 * inner * squeezed + squeezed + inner
        total += inner * row.channels + 2 * row.channels
        channels = row.channels
    return total + channels * last + 2 * last


def test_mobilenet_v2_has_the_tensors_of_the_released_checkpoints(shared_dir):
    folder = shared_dir / "weights" / "tf1_checkpoints"
    for checkpoint, multiplier in (
        ("deeplabv3_mnv2_pascal_trainval", 1.0),
        ("deeplabv3_mnv2_dm05_pascal_trainaug", 0.5),
    ):
        index = next((folder / checkpoint).glob("*.index"))
        released = [
            tuple(shape)
            for name, shape in tf.train.list_variables(str(index.with_suffix("")))
            if "Momentum" not in name and name != "global_step"
        ]
        network = deeplab_tf.DeepLabV3Plus(
            "mobilenet_v2",
            num_classes=21,
            depth_multiplier=multiplier,
            atrous_rates=(),
            decoder_strides=(),
        )
        ours = [tuple(weight.shape) for weight in network.weights]
        assert sorted(ours) == sorted(released)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"output_stride": 8, "decoder_strides": (16, 8, 4)},
        {"decoder_strides": ()},
        {"context": "pyramid_pooling"},
        {"context": "dense_prediction_cell"},
        {"context": "none"},
        {"normalization": "group"},
        {"image_pooling_size": (65, 65)},
        {"input_scale": 1.5, "padded_size": (129, 129)},
        {"input_scale": 0.33},
        {"backbone": "mobilenet_v3_small"},
    ],
)
def test_logits_have_the_size_of_the_picture(options):
    network = tiny(**options)
    for size in ((65, 97), (64, 50)):
        logits = network(pictures(2, *size, 3))
        assert logits.shape == (2, *size, 5)
        assert logits.dtype == tf.float32
        assert np.isfinite(logits).all()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"context": "dense_prediction_cell", "decoder_strides": (8, 4)},
        {"backbone": "mobilenet_v3_small"},
        {"backbone": "resnet_18", "depth_multiplier": 1.0},
        {"backbone": "xception_41", "depth_multiplier": 1.0},
    ],
)
def test_one_set_of_weights_serves_every_output_stride(options):
    networks = [tiny(output_stride=stride, **options) for stride in (8, 16, 32)]
    listed = [
        [(weight.path, weight.shape) for weight in network.weights]
        for network in networks
    ]
    assert listed[0] == listed[1] == listed[2]


@pytest.mark.parametrize("scale", [0.5, 1.5])
@pytest.mark.parametrize("size", [(65, 97), (64, 50)])
def test_a_scaled_input_is_a_resized_picture(scale, size):
    network, scaled = few_layers(), few_layers(input_scale=scale)
    scaled.set_weights(network.get_weights())
    images = pictures(1, *size, 3)
    zoomed = [int((side - 1) * scale + 0.5) + 1 for side in size]
    expected = resize(network(resize(images, zoomed)), size)
    np.testing.assert_allclose(scaled(images), expected, atol=1e-4)
    # In training crops come as the network sees them.
    zoom = scaled.get_layer("zoom")
    np.testing.assert_array_equal(zoom(images, training=True), images)
    # Sizes that are known only later are rounded alike.
    np.testing.assert_allclose(
        tf.function(scaled, input_signature=[tf.TensorSpec([1, None, None, 3])])(
            images
        ),
        expected,
        atol=1e-4,
    )


def test_random_weights_depend_on_the_seed_alone():
    weights = []
    for seed in (3, 3, 4):
        keras.utils.set_random_seed(seed)
        weights.append(few_layers().get_weights())
    for first, second in zip(weights[0], weights[1], strict=True):
        np.testing.assert_array_equal(first, second)
    assert np.abs(weights[0][0] - weights[2][0]).max() > 0


@pytest.mark.parametrize(
    ("backbone", "expected"),
    [
        ("mobilenet_v2", lambda x: x * 2 / 255 - 1),
        ("resnet_18", lambda x: x - [123.15, 115.90, 103.06]),
        ("resnet_18_beta", lambda x: x * 2 / 255 - 1),
    ],
)
def test_normalization_is_inside(backbone, expected):
    network = deeplab_tf.DeepLabV3Plus(backbone, num_classes=2)
    images = pictures(1, 5, 4, 3)
    layer = network.get_layer("normalization")
    np.testing.assert_allclose(layer(images), expected(images), atol=1e-4)


def test_grey_is_centred_by_the_mean_of_the_means():
    model = deeplab_tf.DeepLabV3Plus("resnet_18", num_classes=2, channels=1)
    layer = model.get_layer("normalization")
    mean = (123.15 + 115.90 + 103.06) / 3
    np.testing.assert_allclose(layer(np.full((1, 2, 2, 1), mean)), 0, atol=1e-4)


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_any_number_of_channels(channels):
    network = tiny(channels=channels)
    assert network(pictures(1, 33, 40, channels)).shape == (1, 33, 40, 5)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 13])
def test_first_kernel_answers_alike_to_grey_of_any_channels(channels):
    kernel = np.random.default_rng(0).normal(size=(3, 3, 3, 8)).astype(np.float32)
    fitted = deeplab.fit_input_channels(kernel, channels)
    assert fitted.shape == (3, 3, channels, 8)
    np.testing.assert_allclose(fitted.sum(2), kernel.sum(2), rtol=1e-4, atol=1e-5)
    if channels >= 3:
        np.testing.assert_allclose(fitted[:, :, :3], kernel * 3 / channels, rtol=1e-6)


def test_weight_decay_takes_ordinary_and_pointwise_kernels_only():
    names = {variable.path for variable in deeplab.weight_decay_variables(tiny())}
    assert {
        "mobilenet_v2.conv/kernel",
        "aspp.atrous_6.pointwise/kernel",
        "decoder.stride_4.low_level/kernel",
        "logits/kernel",
    } <= names
    assert not any("depthwise" in name or "batch_norm" in name for name in names)
    assert not any(name.endswith("bias") for name in names)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"backbone": "xception_65"}, "model.depth_multiplier"),
        ({"multi_grid": (1, 2, 4)}, "model.multi_grid"),
        ({"depthwise_activation": "paper"}, "model.depthwise_activation"),
        ({"atrous_rates": (6, 6)}, "model.atrous_rates"),
        ({"colour": 1}, "model.colour"),
        ({"backbone": "xception_66"}, "xception_65"),
    ],
)
def test_a_wrong_option_is_named(options, named):
    with pytest.raises(UserError, match=named):
        tiny(**options)


def test_paper_activation_adds_no_variable_and_changes_the_function():
    networks = [
        deeplab_tf.DeepLabV3Plus(
            "xception_41", num_classes=2, depthwise_activation=text
        )
        for text in ("released", "paper")
    ]
    released, paper = networks
    assert len(released.weights) == len(paper.weights)
    paper.set_weights(released.get_weights())
    x = pictures(1, 33, 33, 3)
    assert relative_error(released(x), paper(x)) > 1e-3
    relus = [sum("relu" in layer.name for layer in net.layers) for net in networks]
    # 3 in each module of entry, middle and the first exit block, and the head's.
    assert relus[1] - relus[0] == 3 * (3 + 8 + 1)


def cross_entropy(network, images, labels, training):
    logits = network(images, training=training)
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)


def few_losses(network, steps=4):
    images = pictures(2, 33, 49, 3)
    labels = tf.fill((2, 33, 49), 1)
    optimizer = keras.optimizers.SGD(0.05, momentum=0.9)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(cross_entropy(network, images, labels, True))
        variables = network.trainable_variables
        optimizer.apply(tape.gradient(loss, variables), variables)
        return loss

    return [float(step()) for _ in range(steps)]


def test_bfloat16_trains_close_to_float32():
    losses = []
    for policy in ("float32", "mixed_bfloat16"):
        keras.config.set_dtype_policy(policy)
        try:
            keras.utils.set_random_seed(1)
            network = few_layers(dropout=0.0)
            assert network.get_layer("aspp.projection").compute_dtype == policy[-8:]
        finally:
            keras.config.set_dtype_policy("float32")
        losses.append(few_losses(network))
    full, half = losses
    assert full[-1] < full[0] - 0.01
    np.testing.assert_allclose(half, full, rtol=0.02)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_the_classifiers_bias_counts_every_pixel(policy):
    """A sum over 8,450 cells in bfloat16 ends at 256 times what is added."""
    keras.config.set_dtype_policy(policy)
    try:
        network = few_layers(dropout=0.0)
    finally:
        keras.config.set_dtype_policy("float32")
    network.get_layer("logits").kernel.assign(
        tf.zeros_like(network.get_layer("logits").kernel)
    )
    images = pictures(2, 257, 257, 3)
    labels = tf.ones(images.shape[:3], tf.int32)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(cross_entropy(network, images, labels, True))
    gradient = tape.gradient(loss, network.get_layer("logits").bias.value)
    # Of even odds: what is predicted less what is there, on average.
    np.testing.assert_allclose(gradient, [0.2, -0.8, 0.2, 0.2, 0.2], atol=1e-3)


def test_frozen_batch_norm_keeps_its_statistics_and_trains_the_rest():
    network = few_layers(freeze_batch_norm=True)
    before = {weight.path: weight.numpy() for weight in network.weights}
    few_losses(network, steps=2)
    moved = {w.path for w in network.weights if (w.numpy() != before[w.path]).any()}
    assert "decoder.stride_4.conv_2.pointwise.batch_norm/beta" in moved
    assert not any("moving" in path for path in moved)


def test_what_a_tap_is_computed_from_can_be_frozen():
    network = few_layers(frozen_stride=4)
    before = {weight.path: weight.numpy() for weight in network.weights}
    few_losses(network, steps=2)
    moved = {w.path for w in network.weights if (w.numpy() != before[w.path]).any()}
    assert "logits/kernel" in moved
    deeper = {path.split(".")[1] for path in moved if path.startswith("resnet_18")}
    assert deeper == {"block2", "block3", "block4"}


def test_batch_norm_momentum_is_released_or_one_number():
    released = {
        layer.name: layer.momentum
        for layer in tiny().layers
        if isinstance(layer, batch_norm.BatchNormalization)
    }
    assert released["mobilenet_v2.conv.batch_norm"] == 0.997
    assert released["aspp.projection.batch_norm"] == 0.9997
    given = tiny(batch_norm_momentum=0.5).layers
    momenta = {layer.momentum for layer in given if hasattr(layer, "momentum")}
    assert momenta == {0.5}


def test_compile_and_fit():
    network = few_layers()
    network.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    assert network.jit_compile == bool(tf.config.list_physical_devices("GPU"))
    images = pictures(4, 33, 33, 3)
    history = network.fit(images, images[..., 0] // 52, batch_size=2, verbose=0)
    assert np.isfinite(history.history["loss"][0])


@pytest.mark.parametrize(
    "imports", ["deeplab_tf.network, keras", "keras, deeplab_tf.network"]
)
def test_keras_file_loads_without_custom_objects(tmp_path, imports):
    network = few_layers(context="pyramid_pooling", image_pooling_size=(33, 33))
    images = pictures(1, 33, 47, 3)
    network.save(tmp_path / "model.keras")
    np.save(tmp_path / "images.npy", images)
    script = (
        f"import {imports}, numpy\n"
        "loaded = keras.saving.load_model('model.keras')\n"
        "numpy.save('logits.npy', loaded(numpy.load('images.npy')))\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)
    np.testing.assert_allclose(
        np.load(tmp_path / "logits.npy"), network(images), atol=1e-5
    )


@pytest.mark.parametrize("options", [{}, {"output_stride": 8, "input_scale": 1.5}])
def test_tflite_has_one_depthwise_operation_a_layer(options):
    network = tiny(**options)
    images = pictures(1, 65, 97, 3)
    function = tf.function(lambda x: network(x, training=False))
    concrete = function.get_concrete_function(tf.TensorSpec(images.shape))
    frozen = convert_variables_to_constants_v2(concrete)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen])
    interpreter = Interpreter(model_content=converter.convert())
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], images)
    interpreter.invoke()
    logits = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    assert relative_error(logits, network(images)) < 1e-5
    names = [operation["op_name"] for operation in interpreter._get_ops_details()]
    wanted = sum(
        isinstance(layer, depthwise.AtrousDepthwiseConv2D) for layer in network.layers
    )
    assert names.count("DEPTHWISE_CONV_2D") == wanted
    assert not any("SPACE" in name or name.startswith("Flex") for name in names)
