import collections
import itertools

import numpy as np
import pytest
import tensorflow as tf
import tiny_dataset

from deeplab_tf.config import Config
from deeplab_tf.data import pipeline, records
from deeplab_tf.errors import UserError

EXAMPLES = 10


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    return str(folder), tiny_dataset.write(folder)


def settings(folder, **changes):
    return Config().replace(
        {
            "data.dataset_dir": folder,
            "data.crop_size": (41, 49),
            "train.batch_size": 4,
            **changes,
        }
    )


def batches(config, info, count, start_step=0):
    stream = pipeline.make_train_dataset(config, info, start_step=start_step)
    return list(itertools.islice(stream.as_numpy_iterator(), count))


def assert_equal_batches(first, second):
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one["image"], other["image"])
        np.testing.assert_array_equal(one["labels"], other["labels"])


def test_batches_have_the_shapes_and_types_of_the_contract(dataset):
    (batch,) = batches(settings(dataset[0]), dataset[1], 1)
    assert batch["image"].shape == (4, 41, 49, 3)
    assert batch["image"].dtype == np.float32
    assert 200 < batch["image"].max() <= 255
    assert batch["labels"].shape == (4, 41, 49)
    assert batch["labels"].dtype == np.int32
    assert set(np.unique(batch["labels"])) <= {0, 1, 2, tiny_dataset.VOID}


def test_a_resumed_run_sees_what_the_uninterrupted_one_sees(dataset):
    config = settings(dataset[0], **{"augment.photometric": 0.5})
    whole = batches(config, dataset[1], 9)
    for start in (1, 2, 3, 7):
        tf.random.set_seed(start)  # the global seed must not matter
        assert_equal_batches(
            whole[start:], batches(config, dataset[1], 9 - start, start)
        )


@pytest.mark.parametrize("workers", [2, 4])
def test_workers_parts_make_the_global_batch(dataset, workers):
    config = settings(dataset[0])
    parts = [
        list(
            itertools.islice(
                pipeline.make_train_dataset(
                    config, dataset[1], workers=workers, worker=i, replicas=4
                ).as_numpy_iterator(),
                5 * 4 // workers,
            )
        )
        for i in range(workers)
    ]
    own = 4 // workers  # replicas of each worker
    for step, whole in enumerate(batches(config, dataset[1], 5)):
        joined = [b for part in parts for b in part[own * step : own * (step + 1)]]
        images = np.concatenate([part["image"] for part in joined])
        np.testing.assert_array_equal(images, whole["image"])


def test_every_example_comes_once_an_epoch_in_a_new_order_each_time(dataset):
    paths = [f"{dataset[0]}/{name}" for name in dataset[1].splits["train"].shards]
    stream = pipeline._order(paths, EXAMPLES, seed=0, first_epoch=0)
    parse = records.make_parser()
    seen = [
        (int(epoch), parse(record)["filename"].numpy())
        for epoch, _, _, record in itertools.islice(stream, 3 * EXAMPLES)
    ]
    orders = collections.defaultdict(list)
    for epoch, name in seen:
        orders[epoch].append(name)
    assert [len(set(order)) for order in orders.values()] == [EXAMPLES] * 3
    assert len({tuple(order) for order in orders.values()}) == 3


def test_another_seed_gives_other_crops(dataset):
    (one,) = batches(settings(dataset[0]), dataset[1], 1)
    (other,) = batches(settings(dataset[0], **{"train.seed": 1}), dataset[1], 1)
    assert (one["image"] != other["image"]).any()


def test_padding_is_the_mean_and_void(dataset):
    config = settings(
        dataset[0], **{"data.crop_size": (97, 97), "augment.max_scale": 1.0}
    )
    (batch,) = batches(config, dataset[1], 1)
    # No source picture is higher than 70, and the boxes are smaller than the padding.
    assert (batch["labels"][:, 75:, 75:] == tiny_dataset.VOID).all()
    np.testing.assert_allclose(batch["image"][:, 75:, 75:], 127.5)


def test_evaluation_reads_every_picture_at_its_own_size(dataset):
    examples = list(pipeline.make_eval_dataset(*dataset, "val").as_numpy_iterator())
    assert [e["filename"].decode() for e in examples] == [f"val_{i}" for i in range(4)]
    rng = np.random.default_rng(0)
    for _ in range(EXAMPLES):
        tiny_dataset.picture(rng)
    for found in examples:
        image, labels = tiny_dataset.picture(rng)
        np.testing.assert_array_equal(found["image"], image)
        np.testing.assert_array_equal(found["labels"], labels)


def test_unknown_split_and_missing_shard_are_named(dataset, tmp_path):
    with pytest.raises(UserError, match="tset"):
        pipeline.make_eval_dataset(*dataset, "tset")
    info = tiny_dataset.write(tmp_path)
    (tmp_path / "train-00001-of-00003.tfrecord").unlink()
    with pytest.raises(UserError, match="train-00001-of-00003"):
        pipeline.make_train_dataset(settings(str(tmp_path)), info)
