"""The draws behind a training example: of whose seed each is a function."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
import tiny_dataset

from deeplab_tf.config import Config
from deeplab_tf.data import dataset_info, pipeline

COUNT = 150


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    return str(folder), tiny_dataset.write(folder)


@pytest.fixture(scope="module")
def record():
    image, labels = tiny_dataset.picture(np.random.default_rng(0))
    return tf.constant(tiny_dataset.example("one", image, labels))


@pytest.fixture
def drawn(monkeypatch, dataset, record):
    """Settings and sources (epoch, shard, place) -> what was drawn for each."""

    def draw(sources, **augment):
        settings = {f"augment.{name}": value for name, value in augment.items()}
        config = Config().replace({"data.crop_size": (33, 33), **settings})
        found = []

        def straight(example, crop, *_):
            found.append(_numbers(crop, 0.0))
            return {**example, "inside": None}

        def rotated(example, crop, angle, *_):
            found.append(_numbers(crop, float(angle)))
            return {**example, "inside": None}

        monkeypatch.setattr(pipeline.resampling, "straight", straight)
        monkeypatch.setattr(pipeline.resampling, "rotated", rotated)
        prepare = pipeline.make_prepare(config, [127.5] * 3, dataset[1])
        for source in sources:
            epoch, shard, place = (tf.constant(part, tf.int64) for part in source)
            prepare(tf.constant(0, tf.int64), (epoch, shard, place, record))
        return np.array(found)

    return draw


def _numbers(crop, angle):
    """Scaled height, place of the crop in its room (down, across), mirrored, angle."""
    room = np.array(crop.scaled) - crop.size
    down, across = np.array(crop.offset) / np.maximum(room, 1)
    return [int(crop.scaled[0]), down, across, bool(crop.mirrored), angle]


PLACES = [(0, 0, place) for place in range(COUNT)]
FREE = {"min_scale": 1.5, "max_scale": 4.0, "scale_step": 0.0}


def test_no_draw_says_anything_of_another(drawn):
    found = drawn(PLACES, **FREE, rotation=30.0)
    correlation = np.corrcoef(found.T) - np.eye(5)
    assert np.abs(correlation).max() < 0.35  # standard deviation 0.08
    assert np.abs(found[:, 4]).max() > 25
    assert found[:, 4].min() < -25 < 25 < found[:, 4].max()


@pytest.mark.parametrize("flip", [0.0, 0.2, 1.0])
def test_as_many_are_mirrored_as_are_asked_for(drawn, flip):
    mirrored = drawn(PLACES, flip=flip)[:, 3].mean()
    assert abs(mirrored - flip) < 0.15 * (0 < flip < 1) + 1e-9


def test_epoch_shard_and_place_each_change_the_draws(drawn):
    sources = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
    found = drawn(sources, **FREE)
    again = drawn(sources, **FREE)
    np.testing.assert_array_equal(found, again)
    for one, other in itertools.combinations(found, 2):
        assert np.abs(one - other).max() > 1e-3


def test_every_crop_place_can_be_had(drawn):
    found = drawn(PLACES, **FREE)
    for axis in (1, 2):
        assert found[:, axis].min() < 0.05
        assert found[:, axis].max() > 0.95


def test_order_is_a_function_of_seed_and_epoch(dataset):
    folder, info = dataset
    paths = dataset_info.shard_paths(folder, info, "train")
    count = info.splits["train"].num_examples

    def order(seed, epoch):
        stream = pipeline._order(paths, count, seed, epoch).take(count)
        return [tuple(int(part) for part in source[1:3]) for source in stream]

    assert order(0, 0) == order(0, 0)
    orders = [order(0, 0), order(1, 0), order(0, 1)]
    assert all(len(set(each)) == count for each in orders)
    assert orders[0] not in orders[1:]
    assert orders[1] != orders[2]


def test_a_class_is_sought_by_the_root_of_its_rarity():
    split = dataset_info.Split(
        num_examples=1, shards=("x.tfrecord",), class_pixels=(100, 4, 0)
    )
    info = dataset_info.DatasetInfo(
        name="counted", class_names=("a", "b", "c"), splits={"train": split}
    )
    assert pipeline._attraction(info, "train") == pytest.approx([1 / 10, 1 / 2, 1])
