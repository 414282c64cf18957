"""The constants of the released networks, in one table.

From research/deeplab (core/feature_extractor.py, resnet_v1_beta.py, xception.py,
model.py, train.py) and the slim nets that it builds on. Nothing is downloaded.
"""

import keras
import numpy as np
import pytest

from deeplab_tf.config import Config, Model
from deeplab_tf.network import backbones, context, deeplab
from deeplab_tf.network.layers.batch_norm import BatchNormalization

SIGNED = ((127.5,) * 3, 1 / 127.5)  # x * 2 / 255 - 1
CENTRED = ((123.15, 115.90, 103.06), 1.0)
MOBILE = (*SIGNED, 0.997, 1e-3, 4e-5, 0.09)
RESNET = (0.95, 1e-5, 1e-4, "HeNormal")
XCEPTION = (*SIGNED, 0.9997, 1e-3, 4e-5, 0.09)
# mean, scale, decay and epsilon of batch norm, weight decay, initialiser of kernels.
RELEASED = {
    "mobilenet_v2": MOBILE,
    "mobilenet_v3_large": MOBILE,
    "mobilenet_v3_small": MOBILE,
    "resnet_18": (*CENTRED, *RESNET),
    "resnet_50": (*CENTRED, *RESNET),
    "resnet_101": (*CENTRED, *RESNET),
    "resnet_18_beta": (*SIGNED, *RESNET),
    "resnet_50_beta": (*SIGNED, *RESNET),
    "resnet_101_beta": (*SIGNED, *RESNET),
    "xception_41": XCEPTION,
    "xception_65": XCEPTION,
    "xception_71": XCEPTION,
}
# Of all that follows the backbone.
HEAD_DECAY, HEAD_EPSILON, DROPOUT = 0.9997, 1e-5, 0.1
# Standard deviations of normal kernels, cut at two of them; others are Xavier's.
HEAD_DEPTHWISE, HEAD_POINTWISE, LOGITS = 0.33, 0.06, 0.01
TRAINING = {
    "optimizer.name": "sgd",
    "optimizer.momentum": 0.9,
    "optimizer.schedule": "poly",
    "optimizer.power": 0.9,
    "optimizer.end_learning_rate": 0.0,
    "optimizer.learning_rate": 0.007,  # of the paper; the code's flag says 1e-4
    "optimizer.decay_steps": 2000,
    "optimizer.decay_factor": 0.1,
    "optimizer.weight_decay": None,  # the backbone's
    "optimizer.backbone_factor": 1.0,
    "optimizer.bias_factor": 1.0,  # the released code doubles the rate of biases
    "train.steps": 30_000,
    "data.crop_size": (513, 513),
    "augment.min_scale": 0.5,
    "augment.max_scale": 2.0,
    "augment.scale_step": 0.25,
    "augment.flip": 0.5,
    "model.output_stride": 16,
    "model.atrous_rates": (6, 12, 18),
    "model.dropout": DROPOUT,
    "model.aspp_channels": 256,
    "model.decoder_channels": 256,
    "model.low_level_channels": 48,
    "model.decoder_strides": (4,),
    "loss.top_k": 1.0,
}


def test_training_begins_with_the_released_settings():
    leaves = Config().leaves()
    assert {name: leaves[name] for name in TRAINING} == TRAINING


def test_every_backbone_is_listed():
    assert set(RELEASED) == set(backbones.MODULES)


@pytest.mark.parametrize("name", RELEASED)
def test_backbone_declares_them(name):
    spec = backbones.get_spec(name)
    mean, *others = RELEASED[name]
    assert spec.mean == mean
    assert others == [
        spec.scale,
        spec.batch_norm_momentum,
        spec.batch_norm_epsilon,
        spec.weight_decay,
        spec.kernel,
    ]


@pytest.fixture(
    scope="module", params=["mobilenet_v2", "resnet_18_beta", "xception_41"]
)
def network(request):
    """(name, a network whose layers have them)."""
    settings = Model(backbone=request.param, aspp_channels=8, decoder_channels=8)
    return request.param, deeplab.build_model(settings, 2)


def layers(network, kind):
    return [layer for layer in network.layers if isinstance(layer, kind)]


def test_batch_norm_has_them(network):
    name, model = network
    body = RELEASED[name][2:4]
    for norm in layers(model, BatchNormalization):
        wanted = body if norm.name.startswith(name) else (HEAD_DECAY, HEAD_EPSILON)
        assert (norm.momentum, norm.epsilon) == wanted, norm.name


def spread(initializer):
    """Its name, or the deviation of a cut normal."""
    if isinstance(initializer, keras.initializers.TruncatedNormal):
        return initializer.stddev
    return type(initializer).__name__


def test_kernels_start_from_them(network):
    name, model = network
    for layer in layers(model, keras.layers.Conv2D):
        wanted = "GlorotUniform"
        if layer.name.startswith(name):
            wanted = RELEASED[name][-1]
        elif layer.name.endswith(".pointwise"):
            wanted = HEAD_POINTWISE
        elif layer.name == "logits":
            wanted = LOGITS
        assert spread(layer.kernel_initializer) == wanted, layer.name
    for layer in layers(model, keras.layers.DepthwiseConv2D):
        wanted = 0.09 if layer.name.startswith(name) else HEAD_DEPTHWISE
        assert spread(layer.depthwise_initializer) == wanted, layer.name


def test_the_picture_is_normalised_by_them(network):
    name, model = network
    mean, scale = RELEASED[name][:2]
    x = np.random.default_rng(0).uniform(0, 255, (1, 3, 4, 3)).astype(np.float32)
    wanted = (x - np.array(mean)) * scale
    np.testing.assert_allclose(model.get_layer("normalization")(x), wanted, atol=1e-5)


@pytest.mark.parametrize("module", ["aspp", "pyramid_pooling", "dense_prediction_cell"])
@pytest.mark.parametrize("rate", [DROPOUT, 0.25])
def test_dropout_is_the_settings(module, rate):
    settings = Model(context=module, aspp_channels=4, dropout=rate)
    _, style = deeplab._styles(settings, backbones.get_spec("resnet_18"), None, False)
    x = keras.Input((None, None, 8))
    model = keras.Model(x, context.MODULES[module](x, settings, style))
    assert [d.rate for d in layers(model, keras.layers.Dropout)] == [rate]
    # After the projection, but in the cell before it.
    last = isinstance(model.layers[-1], keras.layers.Dropout)
    assert last == (module != "dense_prediction_cell")


def test_regularised_are_all_kernels_but_the_depthwise(network):
    _, model = network
    found = {variable.path for variable in deeplab.weight_decay_variables(model)}
    kernels = {
        variable.path
        for variable in model.trainable_variables
        if variable.path.endswith("/kernel") and variable.shape[-1] != 1
    }
    depthwise = {
        layer.kernel.path for layer in layers(model, keras.layers.DepthwiseConv2D)
    }
    assert found == kernels - depthwise
    assert len(found) > 20
