"""What a setting offers is what the tables of the library hold."""

import keras

from deeplab_tf.config import iterate_leaves
from deeplab_tf.config.fields import choices
from deeplab_tf.config.training import TERMS
from deeplab_tf.data import class_weights, mixing
from deeplab_tf.network import backbones, context
from deeplab_tf.training import optimizers, schedules
from deeplab_tf.training.losses.pixels import LOSSES

NONE = {"none"}
TABLES = {
    "model.backbone": set(backbones.MODULES),
    "model.context": set(context.MODULES),
    "augment.mixing": NONE | set(mixing.METHODS),
    "loss.class_weighting": NONE | set(class_weights.SCHEMES),
    "optimizer.schedule": set(schedules.SCHEDULES),
}
# Switches that the code asks for by name, and the optimisers, which are Keras'.
WITHOUT_A_TABLE = {
    "model.depthwise_activation",
    "model.normalization",
    "optimizer.name",
    "train.batch_norm",
    "train.strategy",
    "train.precision",
    "train.quantize",
    "train.xla",
}
CHOICES = {
    f"{section}.{field.name}": set(choices(field))
    for section, field in iterate_leaves()
    if choices(field)
}


def test_choices_are_the_tables_keys():
    assert {name: CHOICES[name] for name in TABLES} == TABLES


def test_every_choice_is_looked_at():
    assert set(CHOICES) == set(TABLES) | WITHOUT_A_TABLE


def test_loss_terms_are_the_tables_keys():
    assert set(TERMS) == set(LOSSES)


def test_optimizers_are_kerass():
    classes = {name.lower() for name in vars(keras.optimizers)}
    assert CHOICES["optimizer.name"] <= classes
    assert set(optimizers.DECOUPLED) <= CHOICES["optimizer.name"]
