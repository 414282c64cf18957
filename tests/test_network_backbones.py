"""Every listed backbone: taps, atrous consistency; its units against NumPy."""

import collections

import keras
import numpy as np
import pytest
from head_models import STYLE, TOLERANCE, picture, wrap
from numpy_network import ACTIVATIONS, randomize

from deeplab_tf.config import Model
from deeplab_tf.errors import UserError
from deeplab_tf.network import backbones
from deeplab_tf.network.backbones import AtrousSchedule, resnet, xception
from deeplab_tf.network.backbones.inverted_residual import bottleneck

# Channels of the map at the output stride and of the taps at 4, 8 and 16.
CHANNELS = {
    "mobilenet_v2": (320, 144, 192, 576),
    "mobilenet_v3_large": (480, 72, 120, 672),
    "mobilenet_v3_small": (288, 16, 88, 144),
    "resnet_18": (512, 64, 128, 256),
    "resnet_18_beta": (512, 64, 128, 256),
    "resnet_50": (2048, 256, 512, 1024),
    "resnet_50_beta": (2048, 256, 512, 1024),
    "resnet_101": (2048, 256, 512, 1024),
    "resnet_101_beta": (2048, 256, 512, 1024),
    "xception_41": (2048, 256, 728, 1024),
    "xception_65": (2048, 256, 728, 1024),
    "xception_71": (2048, 256, 728, 1024),
}


def features(name, output_stride, **options):
    """A Keras model that gives the high-level map and the taps at 4, 8, 16."""
    image = keras.Input((None, None, 3))
    settings = Model(backbone=name, output_stride=output_stride, **options)
    found = backbones.get_spec(name).build(image, settings, STYLE)
    taps = [found.low_level[stride] for stride in (4, 8, 16)]
    return keras.Model(image, [found.high_level, *taps])


@pytest.mark.parametrize("name", backbones.MODULES)
def test_taps_are_declared(name):
    assert CHANNELS[name][1:] == tuple(
        backbones.get_spec(name).taps[stride] for stride in (4, 8, 16)
    )


def test_taps_of_mobilenet_v2_are_the_released_ones():
    """layer_4, layer_7, layer_14 of slim, which counts from the first convolution."""
    taps = features("mobilenet_v2", 16).outputs[1:]
    assert [tap._keras_history.operation.name.split(".")[1] for tap in taps] == [
        "expanded_conv_2",
        "expanded_conv_5",
        "expanded_conv_12",
    ]


@pytest.mark.parametrize("output_stride", [8, 16, 32])
def test_schedule_spends_strides_and_then_rates(output_stride):
    schedule = AtrousSchedule(output_stride)
    steps = [schedule.step(stride) for stride in (2, 1, 2, 2, 1, 2, 1, 2, 1)]
    assert (
        steps
        == {
            8: [(2, 1), (1, 1), (2, 1), (2, 1), (1, 1), (1, 1), (1, 2), (1, 2), (1, 4)],
            16: [
                (2, 1),
                (1, 1),
                (2, 1),
                (2, 1),
                (1, 1),
                (2, 1),
                (1, 1),
                (1, 1),
                (1, 2),
            ],
            32: [
                (2, 1),
                (1, 1),
                (2, 1),
                (2, 1),
                (1, 1),
                (2, 1),
                (1, 1),
                (2, 1),
                (1, 1),
            ],
        }[output_stride]
    )


def subsample(fine, length_at_8, steps, symmetric):
    """The pixels of a map at stride 8 that `steps` more strides by 2 would keep.

    Symmetric padding keeps pixels 0, 2, 4...; TensorFlow's SAME keeps 1, 3, 5... of
    an even length.
    """
    for axis in (1, 2):
        length = length_at_8[axis - 1]
        kept = np.arange(length)
        for _ in range(steps):
            first = 0 if symmetric or len(kept) % 2 else 1
            kept = kept[first::2]
        fine = np.take(fine, kept, axis)
    return fine


def open_gates(model):
    """Squeeze-and-excite gates at 1/2, whatever the map's mean (see mobilenet_v3)."""
    for weight in model.weights:
        if ".squeeze_excite." in weight.path:
            weight.assign(np.zeros(weight.shape))


@pytest.fixture(scope="module", params=CHANNELS)
def built(request):
    """(name, its networks by output stride)."""
    name = request.param
    return name, {stride: features(name, stride) for stride in (8, 16, 32)}


def of_mobilenet(*bottlenecks, **activations):
    """The first convolution and the depthwise of these bottlenecks stride."""
    names = [f"expanded_conv{f'_{i}' if i else ''}.depthwise" for i in bottlenecks]
    return {"conv", *names}, activations


def of_resnet(*units, convolutions, beta=False):
    """The last unit of three blocks strides; a ReLU after each convolution or sum."""
    paths = [f"block{i}.unit_{last}" for i, last in enumerate(units[:3], 1)]
    strided = {f"{path}.{part}" for path in paths for part in ("conv2", "shortcut")}
    stem = {"pool1", "conv1_1" if beta else "conv1"}
    return strided | stem, {"relu": sum(units) * convolutions + (3 if beta else 1)}


def of_xception(*blocks, modules):
    """Blocks of the entry flow that stride; three ReLUs in front of each module's.

    And two in the stem, six inside of the last block.
    """
    paths = [f"entry_flow.block{i}.unit_1" for i in blocks]
    paths += ["exit_flow.block1.unit_1"]
    parts = ("separable_conv3.depthwise", "shortcut")
    strided = {f"{path}.{part}" for path in paths for part in parts}
    return strided | {"entry_flow.conv1_1"}, {"relu": 2 + 3 * modules + 6}


# Layers that stride at output stride 32, and how often each activation is applied.
STRUCTURE = {
    # 17 bottlenecks, of which the first does not expand.
    "mobilenet_v2": of_mobilenet(1, 3, 6, 13, relu6=1 + 2 * 17 - 1),
    # Rows 1 to 6 have ReLU, the first without expansion; rows 7 to 15 hard-swish.
    "mobilenet_v3_large": of_mobilenet(
        1, 3, 6, 12, relu=2 * 6 - 1, hard_silu=2 * 9 + 2
    ),
    "mobilenet_v3_small": of_mobilenet(0, 1, 3, 8, relu=2 * 3 - 1, hard_silu=2 * 8 + 2),
    "resnet_18": of_resnet(2, 2, 2, 2, convolutions=2),
    "resnet_18_beta": of_resnet(2, 2, 2, 2, convolutions=2, beta=True),
    "resnet_50": of_resnet(3, 4, 6, 3, convolutions=3),
    "resnet_50_beta": of_resnet(3, 4, 6, 3, convolutions=3, beta=True),
    "resnet_101": of_resnet(3, 4, 23, 3, convolutions=3),
    "resnet_101_beta": of_resnet(3, 4, 23, 3, convolutions=3, beta=True),
    "xception_41": of_xception(1, 2, 3, modules=3 + 8 + 1),
    "xception_65": of_xception(1, 2, 3, modules=3 + 16 + 1),
    "xception_71": of_xception(1, 3, 5, modules=5 + 16 + 1),
}
RESNET_TAPS = {"18": (1, 1, 1), "50": (2, 3, 5), "101": (2, 3, 22)}


def test_strides_and_activations_are_those_of_the_papers(built):
    name, models = built
    layers = models[32].layers
    strided = {
        layer.name.removeprefix(f"{name}.")
        for layer in layers
        if max(getattr(layer, "strides", (1,))) > 1
    }
    activations = collections.Counter(
        layer.activation.__name__
        for layer in layers
        if isinstance(layer, keras.layers.Activation)
    )
    assert (strided, activations) == STRUCTURE[name]


def test_resnets_are_tapped_at_the_released_units(built):
    name, models = built
    if not name.startswith("resnet"):
        return
    for block, unit in enumerate(RESNET_TAPS[name.split("_")[1]], 1):
        last = models[32].outputs[block]._keras_history.operation.name
        convolution = "conv2" if name.startswith("resnet_18") else "conv3"
        path = f"{name}.block{block}.unit_{unit}.{convolution}"
        assert last == f"{path}.batch_norm"


def test_atrous_features_agree_between_output_strides(built):
    name, models = built
    randomize(models[8])
    open_gates(models[8])
    for stride in (16, 32):
        models[stride].set_weights(models[8].get_weights())
    for size in ((65, 81), (64, 72)):
        image = picture(1, *size, 3)
        dense, low_level, *taps = (np.asarray(y) for y in models[8](image))
        assert (dense.shape[-1], low_level.shape[-1]) == CHANNELS[name][:2]
        assert tuple(tap.shape[-1] for tap in taps) == CHANNELS[name][2:]
        symmetric = not name.startswith("mobilenet")
        for stride, steps in ((16, 1), (32, 2)):
            actual, same, *_ = models[stride](image)
            wanted = subsample(dense, dense.shape[1:3], steps, symmetric)
            assert np.abs(actual - wanted).max() < 1e-4 * np.abs(wanted).max()
            np.testing.assert_array_equal(same, low_level)


def test_gates_see_the_whole_map():
    model = features("mobilenet_v3_small", 32)
    randomize(model)
    image = picture(1, 65, 65, 3)
    before = np.asarray(model(image)[0])
    image[:, -8:] += 1  # far outside of the first pixel's convolutions
    assert np.abs(model(image)[0][0, 0, 0] - before[0, 0, 0]).max() > 1e-4


@pytest.mark.parametrize("paper", [False, True])
@pytest.mark.parametrize(
    ("skip", "inner", "stride", "rates"),
    [
        ("conv", False, 2, (1, 1, 1)),
        ("conv", False, 1, (2, 2, 2)),
        ("sum", False, 1, (2, 4, 1)),
        ("none", True, 1, (2, 4, 8)),
    ],
)
def test_xception_module_equals_numpy(skip, inner, stride, rates, paper):
    block = xception.Block(name="", channels=(4, 6, 5), skip=skip, inner_relu=inner)
    model, network = wrap(
        lambda x: xception._module(
            x,
            block,
            style=STYLE,
            name="unit",
            stride=stride,
            rates=rates,
            relu_between=paper,
        ),
        5,
    )
    x = y = picture(2, 12, 9, 5)
    outputs = []
    for i, rate in enumerate(rates, 1):
        if not inner:
            y = np.maximum(y, 0)
        strided = {"stride": 2, "padding": 1} if i == 3 and stride == 2 else {}
        y = network.separable(
            y,
            f"unit.separable_conv{i}",
            between="relu" if inner or paper else None,
            after="relu" if inner else None,
            rate=rate,
            **strided,
        )
        outputs.append(y)
    if skip == "conv":
        y = y + network.block(x, "unit.shortcut", None, stride=stride)
    elif skip == "sum":
        y = y + x
    for actual, wanted in zip(model(x), (y, outputs[1]), strict=True):
        np.testing.assert_allclose(actual, wanted, **TOLERANCE)


@pytest.mark.parametrize("squeeze", [False, True])
@pytest.mark.parametrize(
    ("expanded", "stride", "rate", "residual", "size", "activation"),
    [
        (16, 1, 2, True, 3, "relu6"),
        (None, 2, 1, False, 3, "relu"),
        (20, 2, 1, False, 5, "hard_swish"),
    ],
)
def test_bottleneck_equals_numpy(
    expanded, stride, rate, residual, size, activation, squeeze
):
    model, network = wrap(
        lambda x: bottleneck(
            x,
            8,
            style=STYLE,
            name="unit",
            expanded=expanded,
            stride=stride,
            rate=rate,
            residual=residual,
            activation=activation,
            size=size,
            squeeze=squeeze,
        ),
        8,
    )
    x = y = picture(2, 12, 9, 8)
    if expanded:
        y = network.block(y, "unit.expand", activation)
    tap = y = network.block(y, "unit.depthwise", activation, stride=stride, rate=rate)
    if squeeze:
        gate = y.mean((1, 2), keepdims=True)
        gate = np.maximum(network.convolve(gate, "unit.squeeze_excite.squeeze"), 0)
        gate = network.convolve(gate, "unit.squeeze_excite.excite")
        y = y * ACTIVATIONS["hard_sigmoid"](gate)
    y = network.block(y, "unit.project", None) + (x if residual else 0)
    for actual, wanted in zip(model(x), (y, tap), strict=True):
        np.testing.assert_allclose(actual, wanted, **TOLERANCE)


@pytest.mark.parametrize("widens", [False, True])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("deep", [False, True])
def test_resnet_unit_equals_numpy(deep, stride, widens):
    width, rate = (4, 3 if stride == 1 else 1)
    out = width * 4 if deep else width
    channels = 6 if widens else out
    model, network = wrap(
        lambda x: resnet._unit(
            x,
            width,
            style=STYLE,
            name="unit",
            bottleneck=deep,
            stride=stride,
            rate=rate,
        ),
        channels,
    )
    x = picture(2, 12, 9, channels)
    strided = {"stride": 2, "padding": 1} if stride == 2 else {"rate": rate}
    if deep:
        y = network.block(x, "unit.conv1")
        y = network.block(y, "unit.conv2", **strided)
        y = network.block(y, "unit.conv3", None)
    else:
        y = network.block(x, "unit.conv1", rate=rate)
        y = network.block(y, "unit.conv2", None, **strided)
    skip = x[:, ::stride, ::stride]
    if widens:
        skip = network.block(x, "unit.shortcut", None, stride=stride)
    for actual, wanted in zip(model(x), (np.maximum(skip + y, 0), y), strict=True):
        np.testing.assert_allclose(actual, wanted, **TOLERANCE)


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("resnet_50", [f"resnet_50.block4.unit_{i}.conv2" for i in (1, 2, 3)]),
        (
            "xception_41",
            [
                f"xception_41.exit_flow.block2.unit_1.separable_conv{i}.depthwise"
                for i in (1, 2, 3)
            ],
        ),
    ],
)
def test_multi_grid_multiplies_the_last_block_s_rates(name, layers):
    model = features(name, 8, multi_grid=(1, 2, 4))
    base = 4  # strides 16 and 32 are lost before the last block
    rates = [model.get_layer(layer).dilation_rate for layer in layers]
    assert rates == [(base * factor,) * 2 for factor in (1, 2, 4)]


def test_multi_grid_of_a_wrong_length_is_refused():
    for name in ("resnet_18", "xception_41"):
        with pytest.raises(UserError, match=r"model\.multi_grid"):
            features(name, 16, multi_grid=(1, 2, 4, 8))
