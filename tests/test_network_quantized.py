"""The network that rounds in training, and the file that computes the same."""

import keras
import numpy as np
import pytest
import shallow
import tiny_run
from ai_edge_litert.interpreter import Interpreter

from deeplab_tf import runs
from deeplab_tf.config import Config
from deeplab_tf.errors import UserError
from deeplab_tf.export import onnx_file
from deeplab_tf.export.tflite import converter, inspection
from deeplab_tf.network import backbones, folding
from deeplab_tf.network.backbones.inverted_residual import squeeze_excite
from deeplab_tf.network.deeplab import build_model
from deeplab_tf.network.layers import blocks
from deeplab_tf.network.layers.resize import ResizeLike
from deeplab_tf.network.quantized import quantize
from deeplab_tf.network.quantized.layers import FakeQuantize, round_kernel

SIZE = (64, 81)


@pytest.fixture(scope="module")
def float_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("quantization")
    return runs.open_run(str(tiny_run.write(folder, tiny_run.FEW_LAYERS)))


def pictures(count, seed=0):
    return [np.float32(tiny_run.pictures(*SIZE, seed=seed + i)) for i in range(count)]


def few_layers(activation="relu6", gated=False):
    """As in a backbone: a stride, a sum, an atrous branch, a concatenation."""
    keras.utils.set_random_seed(1)
    style = blocks.Style(momentum=0.9, epsilon=1e-3)
    image = keras.Input((None, None, 3), name="image")
    x = keras.layers.Rescaling(1 / 127.5, [-1.0] * 3, name="normalization")(image)
    x = blocks.conv(x, 32, 3, style=style, name="conv", stride=2, activation=activation)
    if gated:
        x = squeeze_excite(x, style, "gate")
    y = blocks.separable(x, 32, style=style, name="atrous", rate=2, activation=None)
    x = keras.layers.Add(name="add")([x, y])
    mean = keras.layers.GlobalAveragePooling2D(keepdims=True, name="mean")(x)
    mean = ResizeLike(name="mean.resize")([mean, x])
    x = keras.layers.Concatenate(name="concat")([mean, x])
    x = keras.layers.Conv2D(3, 1, name="logits")(x)
    model = keras.Model(image, ResizeLike(name="logits.resize")([x, image]))
    tiny_run.randomize(model)
    return model


@pytest.fixture(scope="module")
def quantized():
    model = quantize.quantize(few_layers())
    quantize.calibrate(model, pictures(5))
    return model


def run_file(content, picture):
    """Real logits of an int8 file, and the size of their steps."""
    runner = Interpreter(model_content=content).get_signature_runner()
    scale, zero_point = runner.get_output_details()["logits"]["quantization"]
    scores = runner(pictures=picture.astype(np.uint8))["logits"]
    return (np.float32(scores) - zero_point) * scale, scale


def test_unrounded_it_is_the_float_network(monkeypatch):
    """Batch norm is in the kernels, and layers are where they were."""
    model = few_layers()
    copy = quantize.quantize(model)
    monkeypatch.setattr(
        "deeplab_tf.network.quantized.layers.round_kernel", lambda kernel, axis: kernel
    )
    for layer in copy.layers:
        layer.passes = True
    (picture,) = pictures(1)
    expected = np.asarray(model(picture, training=False))
    # Pixels are 128 from the mean instead of 127.5: 1 part in 255.
    difference = np.abs(np.asarray(copy(picture)) - expected)
    assert difference.max() < 0.02 * np.ptp(expected)
    np.testing.assert_array_equal(copy(picture, training=True), copy(picture))


def test_ranges_are_the_mean_of_the_batches_extremes(quantized):
    names = {layer.name.removesuffix(".range") for layer in ranges(quantized)}
    # Not the convolutions before an activation, nor what only moves.
    assert names == {
        "conv.relu6",
        "atrous.depthwise.relu",
        "atrous.pointwise",
        "add",
        "mean",
        "mean.resize",
        "logits",
        "logits.resize",
    }
    assert bounds(quantized, "mean") == bounds(quantized, "add")  # concatenated
    assert bounds(quantized, "mean.resize") == bounds(quantized, "add")
    assert bounds(quantized, "logits.resize") == bounds(quantized, "logits")
    for layer in ranges(quantized):
        layer.passes = True
    probe = keras.Model(
        quantized.input,
        [quantized.get_layer(f"{name}.range").input for name in ("conv.relu6", "add")],
    )
    maps = [[np.asarray(y) for y in probe(picture)] for picture in pictures(5)]
    for layer in ranges(quantized):
        layer.passes = False
    for index, name in enumerate(("conv.relu6", "add")):
        low = np.mean([y[index].min() for y in maps])
        high = np.mean([y[index].max() for y in maps])
        np.testing.assert_allclose(bounds(quantized, name), (min(low, 0), high), 1e-5)


def test_a_map_that_gives_a_size_alone_keeps_its_own_range():
    image = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(2, 1, name="map")(image)
    mean = keras.layers.GlobalAveragePooling2D(keepdims=True, name="mean")(x)
    pooled = ResizeLike(name="pooled")([mean, x])
    branch = keras.layers.Conv2D(2, 1, name="branch")(x)
    y = keras.layers.Concatenate()([pooled, branch])
    copy = quantize.quantize(keras.Model(image, y))
    groups = {layer.name: layer.group for layer in ranges(copy)}
    own = groups.pop("map.range")
    assert groups.keys() == {"mean.range", "pooled.range", "branch.range"}
    assert own not in groups.values()
    assert len({*groups.values()}) == 1


def ranges(model):
    return [layer for layer in model.layers if isinstance(layer, FakeQuantize)]


def bounds(model, name):
    layer = model.get_layer(f"{name}.range")
    return float(layer.low), float(layer.high)


def test_file_is_the_trained_network(quantized, float_run):
    """It needs no pictures, and differs where a tie is rounded the other way."""
    content = converter.convert(quantized, float_run, [SIZE], quantize="int8")
    for picture in pictures(3, seed=50):
        expected = np.asarray(quantized(picture, training=False))
        given, step = run_file(content, picture)
        low, high = bounds(quantized, "logits")
        np.testing.assert_allclose(step, (high - low) / 255, rtol=1e-4)
        steps = np.abs(given - expected) / step
        assert steps.max() < 2.5
        assert steps.mean() < 0.1
        assert (given.argmax(-1) == expected.argmax(-1)).mean() > 0.98
    (details,) = Interpreter(model_content=content).get_input_details()
    assert details["dtype"] == np.uint8


def test_gates_and_hard_swish(float_run):
    """The file's hard swish computes in fewer bits than the others."""
    network = few_layers("hard_swish", gated=True)
    model = quantize.quantize(network)
    quantize.calibrate(model, pictures(5))
    content = converter.convert(model, float_run, [SIZE], quantize="int8")
    (picture,) = pictures(1, seed=50)
    given, step = run_file(content, picture)
    steps = np.abs(given - np.asarray(model(picture, training=False))) / step
    assert steps.max() < 4.5
    assert steps.mean() < 0.3
    exact = np.asarray(network(picture, training=False))
    assert np.abs(given - exact).mean() < 0.02 * np.ptp(exact)


def test_folded_network_is_the_same(quantized):
    """What SavedModel and ONNX are made of."""
    folded = folding.fold(quantized)
    (picture,) = pictures(1)
    np.testing.assert_allclose(folded(picture), quantized(picture), atol=1e-3)
    kernel = np.asarray(folded.get_layer("conv").kernel)
    np.testing.assert_allclose(round_kernel(kernel, 3), kernel, rtol=1e-5)


def test_onnx_is_refused(quantized, float_run):
    with pytest.raises(UserError, match="its rounding is not kept"):
        onnx_file.convert(quantized, float_run)


@pytest.mark.parametrize("kind", ["none", "float16", "dynamic", "int16x8"])
def test_other_kinds_are_refused(quantized, float_run, kind):
    with pytest.raises(UserError, match=f"must be int8 .* received {kind}"):
        converter.convert(quantized, float_run, [SIZE], quantize=kind)


@pytest.mark.parametrize(
    ("settings", "layer"),
    [
        ({"model.normalization": "group"}, "GroupNormalization"),
        ({"model.context": "pyramid_pooling"}, "GridMean"),
    ],
)
def test_networks_that_cannot(settings, layer):
    config = Config().replace({**tiny_run.NARROW, **settings})
    with pytest.raises(UserError, match=layer):
        quantize.quantize(build_model(config.model, 3))


def check_network(run, settings):
    """Converts a network; nothing of it is left in float."""
    config = run.config.replace(settings)
    keras.utils.set_random_seed(0)
    model = build_model(config.model, run.info.num_classes)
    tiny_run.randomize(model)
    model = quantize.quantize(model)
    quantize.calibrate(model, pictures(3))
    content = converter.convert(model, run, [SIZE], quantize="int8")
    assert inspection.faults(content) == []
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    maps = [d for d in interpreter.get_tensor_details() if len(d["shape"]) == 4]
    assert {d["dtype"] for d in maps} <= {np.int8, np.uint8}
    (picture,) = pictures(1)
    expected = np.asarray(model(picture, training=False))
    given, _ = run_file(content, picture)
    # Random kernels make much of a tie that is rounded the other way.
    assert np.corrcoef(given.ravel(), expected.ravel())[0, 1] > 0.9


@pytest.mark.parametrize(
    "settings",
    [
        {
            "model.image_pooling_size": (65, 65),
            "model.aspp_separable": False,
            "model.input_scale": 1.5,
        },
        {
            "model.backbone": "mobilenet_v3_small",
            "model.depth_multiplier": 0.25,
            "model.decoder_strides": (),
        },
    ],
    ids=lambda settings: ",".join(settings),
)
def test_networks(float_run, settings):
    with shallow.resnet_18():
        check_network(float_run, settings)


@pytest.mark.slow
@pytest.mark.parametrize("stride", [8, 16])
@pytest.mark.parametrize("backbone", sorted(backbones.MODULES))
def test_backbones(float_run, backbone, stride):
    width = 0.25 if "mobilenet" in backbone else 1.0
    settings = {"model.depth_multiplier": width, "model.output_stride": stride}
    check_network(float_run, {"model.backbone": backbone, **settings})
