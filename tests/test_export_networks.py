"""Every network of the library keeps its function in a clean .tflite file."""

import importlib.util
import typing

import keras
import numpy as np
import pytest
import shallow
import tiny_run
from ai_edge_litert.interpreter import Interpreter

from deeplab_tf import runs
from deeplab_tf.config.options import Quantization
from deeplab_tf.export import saved_model
from deeplab_tf.export.tflite import converter, inspection
from deeplab_tf.inference import exported
from deeplab_tf.network import backbones, folding
from deeplab_tf.network.deeplab import build_model

HEADS = [
    {"model.aspp_separable": False, "model.decoder_separable": False},
    {"model.decoder_strides": ()},
    {"model.context": "pyramid_pooling"},
    {"model.normalization": "group"},
    {"model.image_pooling_size": (65, 65)},
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("networks")
    return runs.open_run(tiny_run.write(folder, tiny_run.FEW_LAYERS))


def random_network(run, settings):
    keras.utils.set_random_seed(0)
    config = run.config.replace(settings)
    model = build_model(config.model, run.info.num_classes)
    tiny_run.randomize(model)
    return model


def with_backbone(name, stride):
    width = 0.25 if "mobilenet" in name else 1.0  # only MobileNets can be narrower
    settings = {"model.depth_multiplier": width, "model.output_stride": stride}
    return {"model.backbone": name, **settings}


def check(run, settings, size, stride):
    model = random_network(run, {**settings, "model.output_stride": stride})
    content = converter.convert(model, run, [size])
    assert inspection.faults(content) == []
    pictures = np.float32(tiny_run.pictures(*size))
    outputs = Interpreter(model_content=content).get_signature_runner()(
        pictures=pictures
    )
    expected = np.asarray(model(pictures, training=False))
    np.testing.assert_allclose(
        outputs["logits"], expected, atol=1e-3 * np.ptp(expected)
    )


@pytest.mark.parametrize("settings", HEADS, ids=lambda s: ",".join(s))
def test_heads(run, settings):
    with shallow.resnet_18():
        check(run, settings, (65, 48), 16)


@pytest.mark.slow
@pytest.mark.parametrize("stride", [8, 16])
@pytest.mark.parametrize("backbone", sorted(backbones.MODULES))
def test_backbones(run, backbone, stride):
    check(run, with_backbone(backbone, stride), (65, 48), stride)


# int16x8 has no kernel for hard-swish, which the exporter says.
FORMATS = [
    (backbone, stride, size, kind)
    for backbone in ("mobilenet_v2", "mobilenet_v3_large", "resnet_50", "xception_65")
    for stride, size in ((8, (64, 96)), (16, (65, 97)), (16, (66, 83)))
    for kind in typing.get_args(Quantization)
    if (backbone, kind) != ("mobilenet_v3_large", "int16x8")
]


@pytest.mark.slow
@pytest.mark.parametrize(("backbone", "stride", "size", "kind"), FORMATS)
def test_formats(run, backbone, stride, size, kind):
    model = random_network(run, with_backbone(backbone, stride))
    pictures = tiny_run.pictures(*size)
    content = converter.convert(
        model, run, [size], quantize=kind, calibration=lambda _: [pictures]
    )
    assert inspection.faults(content) == []
    runner = Interpreter(model_content=content).get_signature_runner()
    (details,) = runner.get_input_details().values()
    taken = pictures.astype(details["dtype"])
    logits = runner(pictures=taken)["logits"]
    assert logits.shape == (1, *size, run.info.num_classes)
    assert details["dtype"] == (np.uint8 if kind == "int8" else np.float32)
    assert logits.dtype == (np.int8 if kind == "int8" else np.float32)
    if kind in ("none", "float16"):
        network = folding.fold(model)
        if kind == "float16":  # random networks amplify what is rounded away
            rounded = [np.float32(np.float16(w)) for w in network.get_weights()]
            network.set_weights(rounded)
        expected = np.asarray(network(np.float32(pictures), training=False))
        limit = 2e-3 * np.ptp(expected)
        np.testing.assert_allclose(logits, expected, atol=limit)


@pytest.mark.slow
@pytest.mark.parametrize("stride", [8, 16])
@pytest.mark.parametrize("backbone", sorted({name for name, *_ in FORMATS}))
def test_formats_of_any_size(run, backbone, stride, tmp_path):
    """SavedModel and, where the extra is installed, ONNX."""
    model = random_network(run, with_backbone(backbone, stride))
    saved_model.save(model, run, tmp_path / "export")
    paths = [tmp_path / "export"]
    if importlib.util.find_spec("tf2onnx"):
        from deeplab_tf.export import onnx_file

        paths.append(tmp_path / "export.onnx")
        paths[1].write_bytes(onnx_file.convert(model, run))
    opened = [exported.open_export(str(path)) for path in paths]
    for size in ((64, 97), (65, 80)):
        pictures = tiny_run.pictures(*size)
        expected = np.asarray(model(np.float32(pictures), training=False))
        for one in opened:
            logits = one.runner(pictures, {"logits"})["logits"]
            np.testing.assert_allclose(logits, expected, atol=1e-3 * np.ptp(expected))
