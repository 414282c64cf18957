import collections
import dataclasses
import json
import shutil

import keras
import numpy as np
import pytest
import tiny_run
from ai_edge_litert.interpreter import Interpreter
from layer_errors import layer_errors

from deeplab_tf import runs
from deeplab_tf.config import Config
from deeplab_tf.config.options import TFLiteOptions
from deeplab_tf.data import dataset_info
from deeplab_tf.errors import UserError
from deeplab_tf.export.agreement import compare
from deeplab_tf.export.tflite import converter, inspection
from deeplab_tf.export.tflite.sizes import default, usual_size
from deeplab_tf.inference import exported
from deeplab_tf.inference.runners import tflite_file
from deeplab_tf.network.deeplab import build_model
from deeplab_tf.network.layers import blocks
from deeplab_tf.network.layers.resize import ResizeLike

pytestmark = pytest.mark.usefixtures("shallow_resnet")

CLEAN = {
    "CONV_2D",
    "DEPTHWISE_CONV_2D",
    "ADD",
    "MUL",
    "MEAN",
    "CONCATENATION",
    "RESIZE_BILINEAR",
}


def few_layers():
    """A net that is no caricature of a trained one: its logits follow the picture."""
    keras.utils.set_random_seed(1)
    image = keras.Input((None, None, 3), name="image")
    x = keras.layers.Rescaling(1 / 127.5, -1.0)(image)
    style = blocks.Style(momentum=0.9, epsilon=1e-3)
    x = blocks.conv(x, 64, 3, style=style, name="conv", stride=2, activation="relu6")
    x = blocks.separable(x, 64, style=style, name="atrous", rate=2)
    x = keras.layers.Conv2D(3, 1, name="logits")(x)
    model = keras.Model(image, ResizeLike(name="resize")([x, image]))
    tiny_run.randomize(model)
    return model


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tflite")
    return runs.open_run(tiny_run.write(folder, tiny_run.FEW_LAYERS))


@pytest.fixture(scope="module")
def model(run):
    return runs.load_model(run)


def interpret(content):
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    return interpreter


def op_counts(content):
    details = interpret(content)._get_ops_details()
    return collections.Counter(op["op_name"] for op in details)


@pytest.mark.parametrize("size", [(65, 97), (64, 80)])
def test_logits(run, model, size):
    interpreter = interpret(converter.convert(model, run, [size]))
    pictures = np.float32(tiny_run.pictures(*size))
    expected = np.asarray(model(pictures, training=False))
    outputs = interpreter.get_signature_runner()(pictures=pictures)
    assert list(outputs) == ["logits"]
    np.testing.assert_allclose(
        outputs["logits"], expected, atol=1e-4 * np.ptp(expected)
    )


def test_operations(run):
    """One operation a convolution; in one piece for the delegate."""
    model = build_model(Config().replace(tiny_run.NARROW).model, 3)
    counts = op_counts(converter.convert(model, run, [(65, 65)]))
    assert set(counts) <= CLEAN | {"DELEGATE"}
    assert counts["DELEGATE"] <= 1
    atrous = [
        layer
        for layer in model.layers
        if max(getattr(layer, "dilation_rate", (1,))) > 1
    ]
    assert len(atrous) >= 2


@pytest.mark.parametrize("output_type", ["probabilities", "labels"])
def test_output_types(run, model, output_type):
    content = converter.convert(model, run, [(49, 49)], output_type=output_type)
    pictures = np.float32(tiny_run.pictures(49, 49))
    logits = np.asarray(model(pictures, training=False))
    output = interpret(content).get_signature_runner()(pictures=pictures)[output_type]
    if output_type == "labels":
        assert output.dtype == np.int32
        assert (output == logits.argmax(-1)).mean() > 0.999
    else:
        exp = np.exp(logits - logits.max(-1, keepdims=True))
        np.testing.assert_allclose(output, exp / exp.sum(-1, keepdims=True), atol=1e-3)


def test_sizes_share_their_weights(run, model):
    sizes = [(65, 97), (97, 65)]
    one = converter.convert(model, run, sizes[:1])
    two = converter.convert(model, run, sizes)
    assert len(two) < 1.3 * len(one)
    interpreter = interpret(two)
    for size in sizes:
        pictures = np.float32(tiny_run.pictures(*size))
        runner = interpreter.get_signature_runner(f"size_{size[0]}x{size[1]}")
        expected = np.asarray(model(pictures, training=False))
        np.testing.assert_allclose(
            runner(pictures=pictures)["logits"], expected, atol=1e-4 * np.ptp(expected)
        )


def test_run_json_is_inside(run, model, tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(converter.convert(model, run, [(33, 33)]))
    assert json.loads(tflite_file.read_attached(path, "run.json")) == run.to_dict()
    assert tflite_file.read_attached(path, "other.txt") is None


@pytest.mark.parametrize(
    ("quantize", "difference"),
    [("float16", 0.002), ("dynamic", 0.02), ("int8", 0.1), ("int16x8", 0.05)],
)
def test_quantized(run, tmp_path, quantize, difference):
    """Kernels and maps have their types, logits differ by what so many bits allow."""
    model = few_layers()
    path = tmp_path / "model.tflite"
    path.write_bytes(
        converter.convert(
            model,
            run,
            [(64, 81)],
            quantize=quantize,
            calibration=lambda size: [
                tiny_run.pictures(*size, seed=i) for i in range(9)
            ],
        )
    )
    examples = [(picture, None) for picture in tiny_run.pictures(64, 81, 3, seed=100)]
    opened = exported.open_export(str(path))
    agreement = compare(model, opened, examples, run.info)
    assert agreement.max_difference < difference * agreement.logit_range
    assert agreement.pixel_agreement > 0.8
    kernels = {"float16": np.float16, "none": np.float32}.get(quantize, np.int8)
    details = interpret(path.read_bytes()).get_tensor_details()
    assert kernels in {d["dtype"] for d in details if len(d["shape"]) == 4}
    maps = {d["dtype"] for d in details if list(d["shape"][:3]) == [1, 32, 41]}
    floats = {np.float32} if quantize in ("float16", "dynamic") else set()
    assert maps & {np.float32} == floats


def pre_activations():
    """Sums that are read twice, once through a ReLU, as Xception's."""
    keras.utils.set_random_seed(2)
    image = keras.Input((None, None, 3), name="image")
    x = keras.layers.Conv2D(8, 3, strides=2, padding="same", name="stem")(image)
    for i in range(2):
        y = keras.layers.Activation("relu", name=f"relu_{i}")(x)
        y = keras.layers.Conv2D(8, 3, padding="same", name=f"conv_{i}")(y)
        x = keras.layers.Add(name=f"sum_{i}")([x, y])
    x = keras.layers.Conv2D(3, 1, name="logits")(x)
    return keras.Model(image, ResizeLike(name="resize")([x, image]))


def test_int8_relus_stay_in_the_delegate(run, monkeypatch):
    (picture,) = tiny_run.pictures(33, 33).astype(np.float32)[:, None]
    contents = []
    for change in (converter.fused_relu.fuse, lambda content: content):
        monkeypatch.setattr(converter.fused_relu, "fuse", change)
        contents.append(
            converter.convert(
                pre_activations(),
                run,
                [(33, 33)],
                quantize="int8",
                calibration=lambda size: [picture],
            )
        )
    counts = [op_counts(content) for content in contents]
    assert [count["RELU"] for count in counts] == [0, 2]
    assert [count["DELEGATE"] for count in counts] == [1, 3]
    np.testing.assert_array_equal(
        *(logits_of(content, picture) for content in contents)
    )


def logits_of(content, picture):
    interpreter = interpret(content)
    (given,), (found,) = (
        interpreter.get_input_details(),
        interpreter.get_output_details(),
    )
    interpreter.set_tensor(given["index"], picture.astype(given["dtype"]))
    interpreter.invoke()
    return interpreter.get_tensor(found["index"])


def dark(size):
    return [tiny_run.pictures(*size, seed=i) // 2 for i in range(9)]


@pytest.mark.parametrize("quantize", ["int8", "int16x8"])
def test_pixels_are_taken_as_they_are_whatever_calibration_saw(
    run, tmp_path, monkeypatch, quantize
):
    """Calibrated on 0..127 a file is as good as on 0..255, and a worse one is told."""
    model, path = few_layers(), tmp_path / "model.tflite"
    examples = [(image, None) for image in tiny_run.pictures(64, 81, 3, seed=100)]

    def converted(calibration):
        content = converter.convert(
            model, run, [(64, 81)], quantize=quantize, calibration=calibration
        )
        path.write_bytes(content)
        return content

    def agreeing():
        opened = exported.open_export(str(path))
        return compare(model, opened, examples, run.info).pixel_agreement

    converted(lambda size: [2 * image for image in dark(size)])
    full = agreeing()
    content = converted(dark)
    assert agreeing() > full - 0.02
    assert inspection.broken_promises(content, "logits", quantize) == []
    monkeypatch.setattr(converter, "_show_extremes", lambda pixels: None)
    content = converted(dark)
    (told,) = inspection.broken_promises(content, "logits", quantize)
    assert told.startswith("input ")
    assert agreeing() < full - 0.02


def test_other_types_than_promised_are_told(run, model):
    content = converter.convert(model, run, [(33, 33)])
    assert inspection.broken_promises(content, "logits", "none") == []
    wrong = ["types of input and output"]
    assert inspection.broken_promises(content, "labels", "none") == wrong
    assert wrong[0] in inspection.broken_promises(content, "logits", "int8")


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ({"50x60": 1}, (65, 65)),
        ({"48x64": 95, "300x40": 5}, (49, 65)),
        ({"375x500": 70, "500x375": 30}, (513, 513)),
        ({"33x20": 1}, (33, 33)),
        ({"3000x4000": 1}, (1265, 1681)),
    ],
)
def test_the_default_size_holds_the_usual_image(run, tmp_path, capsys, sizes, expected):
    folder = tmp_path / "data"
    shutil.copytree(run.config.data.dataset_dir, folder)
    audit = {"splits": {"val": {"sizes": sizes}}}
    (folder / "audit.json").write_text(json.dumps(audit))
    options = TFLiteOptions(dataset_dir=str(folder))
    size = default(run, options)
    assert size == expected
    assert all(side % 16 == 1 for side in size)
    told = capsys.readouterr().err
    assert "nine in ten images of val fit (audit.json)" in told
    assert f"input_size {size[0]},{size[1]}: " in told


def test_where_the_default_size_comes_from(run, tmp_path):
    info = dataclasses.replace(
        run.info,
        splits={"val": dataclasses.replace(run.info.splits["val"], max_size=(70, 90))},
    )
    dataset_info.save(info, str(tmp_path))
    assert usual_size(run, str(tmp_path))[0] == (70, 90)
    (tmp_path / "audit.json").write_text("[]")
    assert usual_size(run, str(tmp_path))[0] == (70, 90)
    assert usual_size(run)[0] == run.config.data.crop_size
    with pytest.raises(UserError, match=r"dataset\.json"):
        usual_size(run, str(tmp_path / "gone"))


def test_int8_takes_pictures_and_gives_labels(run):
    model, pictures = few_layers(), tiny_run.pictures(49, 49)
    content = converter.convert(
        model,
        run,
        [(49, 49)],
        output_type="labels",
        quantize="int8",
        calibration=lambda size: [pictures],
    )
    (details,) = interpret(content).get_input_details()
    assert details["dtype"] == np.uint8
    labels = interpret(content).get_signature_runner()(pictures=pictures)["labels"]
    assert labels.dtype == np.int32
    expected = np.asarray(model(np.float32(pictures), training=False)).argmax(-1)
    assert (labels == expected).mean() > 0.8


def test_labels_of_16_bits_are_refused():
    with pytest.raises(UserError, match="no argmax of 16 bits"):
        TFLiteOptions(output_type="labels", quantize="int16x8")


def test_error_of_each_layer(run, tmp_path):
    """It is small before the layer whose kernel is broken and large from there on."""
    model = few_layers()
    pictures = tiny_run.pictures(48, 64)
    (tmp_path / "float.tflite").write_bytes(converter.convert(model, run, [(48, 64)]))
    broken = model.get_layer("atrous.depthwise")
    broken.kernel.assign(-broken.kernel)
    (tmp_path / "int8.tflite").write_bytes(
        converter.convert(
            model, run, [(48, 64)], quantize="int8", calibration=lambda size: [pictures]
        )
    )
    errors = {
        layer.name: layer.error
        for layer in layer_errors(
            tmp_path / "float.tflite", tmp_path / "int8.tflite", pictures
        )
    }
    assert errors["conv.relu6"] < 0.05
    assert errors["atrous.depthwise.relu"] > 0.3
    assert errors["logits"] > 0.1
