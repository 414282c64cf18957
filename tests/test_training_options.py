"""Every option runs: a value for each, a step or two with it on a tiny network.

A new option fails the first test until it has a value here, and then runs.
"""

import dataclasses

import numpy as np
import pytest
import tiny_dataset
from training_runs import SMALL, losses

from deeplab_tf.config import OPTIMIZERS, Augment, Config, Loss, Optimizer, Train
from deeplab_tf.config.fields import choices
from deeplab_tf.data import dataset_info
from deeplab_tf.training import loop

pytestmark = pytest.mark.usefixtures("shallow_resnet")

# Values other than the default, and all choices. Where an option needs another one to
# act, that stands in NEEDS.
VALUES = {
    "augment.min_scale": [0.75],
    "augment.max_scale": [1.5],
    "augment.scale_step": [0.0],
    "augment.flip": [1.0],
    "augment.photometric": [0.5],
    "augment.rotation": [10.0],
    "augment.blur": [1.0],
    "augment.class_balanced_crops": [0.5],
    "augment.mixing": ["cutmix", "classmix", "copy_paste"],
    "augment.mixing_probability": [1.0],
    "loss.terms": ["cross_entropy,0.5*lovasz,dice", "focal,boundary"],
    "loss.class_weights": [(1.0, 2.0, 0.5)],
    "loss.class_weighting": [
        "inverse",
        "inverse_root",
        "median_frequency",
        "effective_number",
    ],
    "loss.class_weights_end": [0.5],
    "loss.top_k": [0.25],
    "loss.top_k_ramp": [0.5],
    "loss.label_smoothing": [0.1],
    "loss.focal_gamma": [1.0],
    "loss.boundary_width": [2],
    "loss.boundary_weight": [1.0],
    "optimizer.name": [name for name in OPTIMIZERS if name != "sgd"],
    "optimizer.arguments": ["nesterov=True"],
    "optimizer.learning_rate": [0.001],
    "optimizer.schedule": ["cosine", "step", "constant"],
    "optimizer.power": [1.0],
    "optimizer.end_learning_rate": [0.0001],
    "optimizer.decay_steps": [1],
    "optimizer.decay_factor": [0.5],
    "optimizer.backbone_factor": [0.1],
    "optimizer.bias_factor": [2.0],
    "optimizer.clip_norm": [1.0],
    "optimizer.warmup_steps": [1],
    "optimizer.momentum": [0.5],
    "optimizer.weight_decay": [0.01],
    "train.steps": [3],
    "train.minutes": [5.0],
    "train.batch_size": [2],
    "train.seed": [7],
    "train.init_checkpoint": ["RUN"],  # its folder is put in
    "train.strategy": ["one_device", "mirrored"],
    "train.num_devices": [1],
    "train.batch_norm_momentum": [0.9],
    "train.batch_norm": ["train", "frozen"],
    "train.frozen_stride": [4],
    "train.precision": ["auto", "mixed_bfloat16", "mixed_float16"],
    "train.quantize": ["int8"],
    "train.xla": ["on", "off"],
    "train.steps_per_call": [2],
    "train.accumulate_steps": [2],
    "train.ema_decay": [0.9],
    "train.rollbacks": [0],
    "train.stall_seconds": [600],
    "train.profile_steps": [(1, 1)],
    "train.log_steps": [2],
    "train.checkpoint_steps": [1],
    "train.keep_checkpoints": [1],
    "train.eval_steps": [1],
}
NEEDS = {
    "augment.mixing_probability": {"augment.mixing": "cutmix"},
    "loss.top_k_ramp": {"loss.top_k": 0.5},
    "loss.focal_gamma": {"loss.terms": "focal"},
    "loss.boundary_width": {"loss.terms": "boundary"},
    "loss.boundary_weight": {"loss.terms": "boundary"},
    "optimizer.power": {"optimizer.schedule": "poly"},
    "optimizer.decay_steps": {"optimizer.schedule": "step"},
    "optimizer.decay_factor": {"optimizer.schedule": "step"},
    "train.num_devices": {"train.strategy": "mirrored"},
}
# These train on from a run, whose folder is put in.
FROM_A_RUN = ("train.frozen_stride", "train.init_checkpoint", "train.quantize")
# The others need machines that are not here; test_distributed runs several workers.
ELSEWHERE = {"train.strategy": {"auto", "multi_worker", "tpu"}}
# Runs with many options at once, for they trace one network each.
TOGETHER = {
    "adamw": {
        "augment.min_scale",
        "augment.max_scale",
        "augment.scale_step",
        "augment.flip",
        "augment.photometric",
        "augment.blur",
        "augment.class_balanced_crops",
        "augment.mixing",
        "augment.mixing_probability",
        "loss.class_weights",
        "loss.terms",
        "loss.top_k",
        "loss.top_k_ramp",
        "loss.label_smoothing",
        "optimizer.end_learning_rate",
        "optimizer.warmup_steps",
        "optimizer.clip_norm",
        "optimizer.backbone_factor",
        "optimizer.bias_factor",
        "optimizer.learning_rate",
        "optimizer.weight_decay",
        "optimizer.schedule",
        "train.accumulate_steps",
        "train.ema_decay",
        "train.seed",
        "train.batch_norm",
        "train.profile_steps",
        "train.steps_per_call",
    },
    "sgd": {
        "augment.rotation",
        "loss.boundary_width",
        "loss.boundary_weight",
        "loss.class_weighting",
        "loss.class_weights_end",
        "optimizer.arguments",
        "optimizer.decay_factor",
        "optimizer.decay_steps",
        "optimizer.momentum",
        "train.batch_norm_momentum",
        "train.batch_size",
        "train.checkpoint_steps",
        "train.eval_steps",
        "train.keep_checkpoints",
        "train.log_steps",
        "train.precision",
        "train.rollbacks",
        "train.stall_seconds",
        "train.steps",
        "train.minutes",
        "train.xla",
    },
}
# Which the others exclude; other files test them in the quick suite, too.
ALONE = {
    "loss.focal_gamma",
    "optimizer.name",
    "optimizer.power",
    "train.frozen_stride",
    "train.init_checkpoint",
    "train.num_devices",
    "train.quantize",
    "train.strategy",
}
BASE = {
    **SMALL,
    "data.crop_size": (33, 33),
    "train.steps": 2,
    "train.eval_steps": 0,
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    info = tiny_dataset.write(folder)
    counted = dataclasses.replace(info.splits["train"], class_pixels=(900, 90, 10))
    info = dataclasses.replace(info, splits={**info.splits, "train": counted})
    dataset_info.save(info, str(folder))
    return str(folder)


def take_steps(changes, dataset, run_dir):
    config = Config().replace({**BASE, "data.dataset_dir": dataset, **changes})
    loop.train(config, str(run_dir))
    course = losses(run_dir)
    assert course[-1][0] == config.train.steps
    assert np.isfinite([loss for _, loss in course]).all()


def test_every_option_has_its_values():
    sections = {"augment": Augment, "loss": Loss, "optimizer": Optimizer}
    fields = {
        f"{section}.{field.name}": field
        for section, kind in {**sections, "train": Train}.items()
        for field in dataclasses.fields(kind)
    }
    del fields["train.callbacks"]  # needs packages; test_training_tracking has it
    assert set(VALUES) == set(fields)
    assert set(VALUES) == ALONE.union(*TOGETHER.values())
    for name, field in fields.items():
        allowed = choices(field)
        values = VALUES[name]
        if name == "train.batch_norm":
            assert set(values) | {"auto"} == set(allowed)
        elif allowed:
            missing = set(allowed) - set(values) - ELSEWHERE.get(name, set())
            assert missing <= {field.default}
        else:
            assert field.default not in values


@pytest.mark.parametrize("optimizer", TOGETHER)
def test_options_together(optimizer, dataset, tmp_path):
    changes = {"optimizer.name": optimizer}
    for name in TOGETHER[optimizer]:
        changes |= {name: VALUES[name][0], **NEEDS.get(name, {})}
    take_steps(changes, dataset, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name, values in VALUES.items() for value in values],
)
def test_an_option_alone(name, value, dataset, tmp_path):
    changes = {name: value, **NEEDS.get(name, {})}
    if name in FROM_A_RUN:
        changes["train.init_checkpoint"] = str(tmp_path / "first")
        take_steps({}, dataset, tmp_path / "first")
    take_steps(changes, dataset, tmp_path / "run")
