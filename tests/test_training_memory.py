import re

import keras
import pytest

from deeplab_tf.config import Config
from deeplab_tf.network.deeplab import build_model
from deeplab_tf.training import memory
from deeplab_tf.training.memory import Need

CROP = (129, 161)


def need(**options):
    model = build_model(Config().replace({"model.depth_multiplier": 0.25}).model, 3)
    return Need(model=model, variables=model.variables, **options)


def test_maps_of_a_small_network_counted_by_hand():
    image = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(image)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.ReLU()(x)
    model = keras.Model(image, keras.layers.Conv2D(5, 1, use_bias=False)(x))
    cells = 10 * 15
    convolution, activation, logits = 8 * cells, 8 * cells, 5 * cells
    floats = convolution + activation + logits + 3 * logits
    one, two = (Need(model=model, variables=[]).bytes(n, (20, 30)) for n in (1, 2))
    assert two - one == pytest.approx(1.23 * 4 * floats, abs=1)
    weights = 3 * 3 * 3 * 8 + 4 * 8 + 8 * 5
    held = Need(model=model, variables=model.variables).bytes(1, (20, 30)) - one
    assert held == 4 * weights


def test_a_crop_is_taken_as_it_is_whatever_the_networks_scale():
    of_scale = []
    for scale in (1.0, 1.5):
        settings = {"model.depth_multiplier": 0.25, "model.input_scale": scale}
        model = build_model(Config().replace(settings).model, 3)
        of_scale.append(Need(model=model, variables=[]).bytes(2, (129, 161)))
    plain, scaled = of_scale
    assert scaled == pytest.approx(plain, rel=0.02)


def test_what_fits_is_told_without_a_warning():
    found = need()
    told, warning = memory.check(found, Config(), 64 * 2**30)
    size = found.bytes(Config().train.batch_size, Config().data.crop_size) / 2**30
    assert told == f"memory: about {size:.1f} GiB of 64.0 GiB free"
    assert warning == []
    assert memory.check(found, Config(), None) == (told.partition(" of")[0], [])


@pytest.mark.parametrize("memories", [1, 2])
def test_proposals_are_the_largest_that_fit(memories):
    found = need()
    config = Config().replace({"data.crop_size": CROP, "train.batch_size": 16})
    at_once = 16 // memories
    free = (found.bytes(at_once, CROP) + found.bytes(1, CROP)) // 2
    told, (warning,) = memory.check(found, config, free, memories)
    assert warning.startswith(told)
    batch = int(re.search(r"--train.batch_size=(\d+)", warning)[1])
    assert found.bytes(batch // memories, CROP) <= free
    assert found.bytes(batch // memories + 1, CROP) > free
    parts = int(re.search(r"--train.accumulate_steps=(\d+)", warning)[1])
    assert found.bytes(at_once // parts, CROP) <= free
    assert found.bytes(at_once // (parts // 2), CROP) > free
    crop = re.search(r"--data.crop_size=(\d+),(\d+)", warning).groups()
    crop = tuple(int(side) for side in crop)
    assert found.bytes(at_once, crop) <= free
    assert all(side % 16 == 1 for side in crop)


def test_a_smaller_backbone_where_nothing_else_helps():
    assert "smaller backbone" in memory.check(need(), Config(), 1)[1][0]
    fine = Config().replace({"model.output_stride": 8})
    assert "--model.output_stride=16" in memory.check(need(), fine, 1)[1][0]


def test_replicas_of_one_process_share_its_memory():
    one, two = need(), need(replicas=2)
    graph = 1.64 * 2**20 * len(one.model.weights)
    assert two.bytes(4, CROP) - one.bytes(4, CROP) > graph


def test_free_memory_is_a_part_of_the_machines():
    with open("/proc/meminfo") as file:
        total = int(file.readline().split()[1]) * 1024
    assert 2**20 < memory.free_bytes() < total
