"""The step as XLA compiles it is the step: every family of backbones, both precisions.

On the CPU's XLA, whose compiler is not a GPU's or a TPU's, but which is given the same
program. The networks have each kind of block, and few of them.
"""

import functools
import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny_dataset
from tiny_run import NARROW

from deeplab_tf.config import Config
from deeplab_tf.data.dataset_info import DatasetInfo, Split
from deeplab_tf.network.backbones import mobilenet_v2, xception
from deeplab_tf.training.step import make_steps
from deeplab_tf.training.train_state import TrainState

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("shallow_resnet")]

ONE = tf.distribute.get_strategy()
SIZE = (4, 65, 65)
INFO = DatasetInfo(
    name="made_up",
    class_names=("ground", "red", "blue"),
    splits={"train": Split(num_examples=4, shards=("train-00000-of-00001.tfrecord",))},
)
SETTINGS = {
    **NARROW,
    "model.decoder_strides": (4,),
    "model.dropout": 0.0,
    "data.crop_size": SIZE[1:],
    "optimizer.learning_rate": 0.001,
    "train.batch_norm": "train",
    "train.batch_size": SIZE[0],
    "train.steps": 100,
}
# Of the first loss, and of that after an update. float32 has 24 binary digits,
# bfloat16 8. The update's gradient goes through batch norm of four pooled values, which
# makes rounding errors grow; the rate is small, so that the second loss shows little of
# that.
TOLERANCES = {"float32": (1e-5, 1e-3), "mixed_bfloat16": (2**-8, 0.02)}
# XLA rounds to bfloat16 in other places, and MobileNetV3 amplifies what is rounded:
# there a compiled step may be off the float32 one by twice what the plain one is.
_AS_FAR = 2.0


@pytest.fixture(autouse=True)
def _few_blocks(monkeypatch):
    monkeypatch.setitem(
        xception.VARIANTS,
        "xception_41",
        (xception._blocks(xception._ENTRY, 1), xception._TAPS),
    )
    rows = ((16, 1, 1), (24, 2, 2), (32, 2, 2), (64, 1, 2), (160, 2, 2))
    monkeypatch.setattr(mobilenet_v2, "BOTTLENECKS", rows)
    monkeypatch.setattr(mobilenet_v2, "TAPS", {2: 4, 4: 8, 5: 16})


@functools.cache
def course(backbone, precision, xla):
    """The losses of two steps on one batch; the second has new weights."""
    changes = {
        "model.backbone": backbone,
        "train.precision": precision,
        "train.xla": xla,
    }
    if not backbone.startswith("mobilenet"):
        changes["model.depth_multiplier"] = 1.0
    config = Config().replace({**SETTINGS, **changes})
    keras.utils.set_random_seed(0)
    state = TrainState(config, INFO)
    logits = state.model.get_layer("logits")
    logits.kernel.assign(logits.kernel * 100)  # else the loss is ln 3 whatever is wrong
    steps = make_steps(ONE, state, config, INFO)
    rng = np.random.default_rng(0)
    batch = {
        "image": np.float32(rng.uniform(0, 255, (*SIZE, 3))),
        "labels": np.int32(rng.choice([0, 1, 2, tiny_dataset.VOID], SIZE)),
    }
    batches = iter(tf.data.Dataset.from_tensors(batch).repeat())
    losses = [float(steps(batches, tf.constant(1))["loss"]) for _ in range(2)]
    assert steps.experimental_get_tracing_count() == 1
    return losses


@pytest.mark.parametrize(
    ("backbone", "precision"),
    itertools.product(
        ("mobilenet_v2", "mobilenet_v3_small", "resnet_18", "xception_41"), TOLERANCES
    ),
)
def test_compiled_steps_are_the_steps(backbone, precision):
    exact = course(backbone, "float32", "off")
    plain = course(backbone, precision, "off")
    compiled = course(backbone, precision, "on")
    assert abs(plain[0] - np.log(3)) > 0.01
    assert abs(plain[1] - plain[0]) > 0.001
    for true, one, other, tolerance in zip(
        exact, plain, compiled, TOLERANCES[precision], strict=True
    ):
        assert abs(other - true) <= max(_AS_FAR * abs(one - true), tolerance * true)
