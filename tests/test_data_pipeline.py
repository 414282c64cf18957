import collections
import dataclasses
import itertools

import numpy as np
import pytest
import tensorflow as tf
import tiny_dataset

from deeplab_tf.config import Config, iterate_leaves
from deeplab_tf.data import pipeline, records
from deeplab_tf.errors import UserError

FILL = (127.5,) * 3  # the mean of most backbones

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
    stream = pipeline.make_train_dataset(config, info, fill=FILL, start_step=start_step)
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
                    config, dataset[1], fill=FILL, workers=workers, worker=i, replicas=4
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
    folder, info = dataset
    stream = pipeline.make_eval_dataset(folder, info, "val")
    examples = list(stream.as_numpy_iterator())
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
        pipeline.make_eval_dataset(dataset[0], dataset[1], "tset")
    info = tiny_dataset.write(tmp_path)
    (tmp_path / "train-00001-of-00003.tfrecord").unlink()
    with pytest.raises(UserError, match="train-00001-of-00003"):
        pipeline.make_train_dataset(settings(str(tmp_path)), info, fill=FILL)


# Values that are not the default, for each leaf that changes what is trained on.
OTHERS = {
    "data.crop_size": [(33, 65)],
    "data.min_resize": [40],
    "data.max_resize": [45],
    "data.resize_factor": [16],
    "augment.min_scale": [1.0],
    "augment.max_scale": [1.0],
    "augment.scale_step": [0.0],
    "augment.flip": [1.0],
    "augment.photometric": [0.5],
    "augment.rotation": [30.0],
    "augment.blur": [2.0],
    "augment.class_balanced_crops": [1.0],
    "augment.mixing": ["cutmix", "classmix", "copy_paste"],
    "augment.mixing_probability": [1.0],
}
# A setting that another one must wake up.
NEEDS = {
    "data.max_resize": {"data.min_resize": 40},
    "data.resize_factor": {"data.min_resize": 40},
    "augment.mixing_probability": {"augment.mixing": "cutmix"},
}
ELSEWHERE = {"data.dataset_dir", "data.train_split", "data.eval_split"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (name, value)
        for section, field in iterate_leaves()
        if section in ("data", "augment")
        and (name := f"{section}.{field.name}") not in ELSEWHERE
        for value in OTHERS[name]
    ],
)
def test_every_setting_changes_the_batch_and_resumes(dataset, name, value):
    needed = NEEDS.get(name, {})
    (base,) = batches(settings(dataset[0], **needed), dataset[1], 1)
    config = settings(dataset[0], **needed, **{name: value})
    found = batches(config, dataset[1], 3)
    size = (4, *config.data.crop_size)
    assert found[0]["image"].shape == (*size, 3)
    assert found[0]["labels"].shape == size
    assert 0 <= found[0]["image"].min() < 100 < found[0]["image"].max() <= 255.001
    assert set(np.unique(found[0]["labels"])) <= {0, 1, 2, tiny_dataset.VOID}
    if size[1:] == base["labels"].shape[1:]:
        assert (found[0]["image"] != base["image"]).any()
    assert_equal_batches(found[2:], batches(config, dataset[1], 1, start_step=2))


def test_crops_are_of_pictures_as_the_network_resizes_them(dataset):
    scale = {"augment.min_scale": 0.5, "augment.max_scale": 1.0, "augment.flip": 0.0}
    zoomed = settings(dataset[0], **{**scale, "model.input_scale": 1.5})
    both = {"augment.min_scale": 0.75, "augment.max_scale": 1.5}
    same = {**scale, **both, "augment.scale_step": 0.375}
    assert_equal_batches(
        batches(zoomed, dataset[1], 2),
        batches(settings(dataset[0], **same), dataset[1], 2),
    )


@pytest.mark.parametrize("rotation", [0.0, 30.0])
def test_padding_has_the_mean_colour_whatever_is_done_to_the_picture(dataset, rotation):
    small = {"augment.min_scale": 0.5, "augment.max_scale": 0.5}
    small |= {"augment.rotation": rotation, "data.crop_size": (65, 65)}
    recolored = small | {"augment.photometric": 1.0, "augment.blur": 2.0}
    (base,) = batches(settings(dataset[0], **small), dataset[1], 1)
    (found,) = batches(settings(dataset[0], **recolored), dataset[1], 1)
    beside = (base["image"] == FILL).all(-1)
    assert 0.1 < beside.mean() < 0.9
    np.testing.assert_array_equal(found["image"][beside], base["image"][beside])
    assert (found["image"] != base["image"])[~beside].mean() > 0.9


@pytest.mark.parametrize("mixing", ["cutmix", "classmix", "copy_paste"])
def test_mixing_does_not_depend_on_the_number_of_workers(dataset, mixing):
    config = settings(dataset[0], **{"augment.mixing": mixing})
    whole = batches(config, dataset[1], 2)
    for worker in (0, 1):
        stream = pipeline.make_train_dataset(
            config, dataset[1], fill=FILL, workers=2, worker=worker, replicas=2
        )
        for step, part in enumerate(itertools.islice(stream.as_numpy_iterator(), 2)):
            own = slice(2 * worker, 2 * worker + 2)
            np.testing.assert_array_equal(part["image"], whole[step]["image"][own])
            np.testing.assert_array_equal(part["labels"], whole[step]["labels"][own])


@pytest.mark.parametrize(("size", "replicas"), [(3, 1), (1, 1), (6, 2)])
def test_pictures_without_a_partner_are_refused(dataset, size, replicas):
    changes = {"train.batch_size": size, "augment.mixing": "cutmix"}
    config = settings(dataset[0], **changes)
    odd = rf"augment\.mixing=cutmix .* must be even; received {size // replicas}, as"
    with pytest.raises(UserError, match=odd):
        pipeline.make_train_dataset(config, dataset[1], fill=FILL, replicas=replicas)


def test_batches_are_endless_and_of_one_size(dataset):
    """Else several workers, and TPUs, would get batches of unknown size."""
    stream = pipeline.make_train_dataset(
        settings(dataset[0]), dataset[1], fill=FILL, replicas=2
    )
    assert stream.cardinality() == tf.data.INFINITE_CARDINALITY
    assert stream.element_spec["labels"].shape == (2, 41, 49)


def test_resized_pictures_fill_the_crop_that_they_are_resized_to(dataset):
    """Sources of 50 to 70 pixels become at least 81 = 5 * 16 + 1 on each side."""
    changes = {"augment.min_scale": 1.0, "augment.max_scale": 1.0}
    changes |= {"data.min_resize": 70, "data.resize_factor": 16}
    config = settings(dataset[0], **changes, **{"data.crop_size": (97, 97)})
    for batch in batches(config, dataset[1], 2):
        top = batch["labels"][:, 2:80]
        assert ((top != tiny_dataset.VOID).sum(2) >= 81).all()
        assert (batch["labels"][:, 81:].max((1, 2)) == tiny_dataset.VOID).any()


def test_class_balanced_crops_show_the_rare_class_more_often(dataset):
    info = dataset[1]
    split = dataclasses.replace(info.splits["train"], class_pixels=(10**6, 1, 10**6))
    info = dataclasses.replace(info, splits={**info.splits, "train": split})
    changes = {"augment.class_balanced_crops": 1.0, "augment.min_scale": 1.5}
    balanced = batches(settings(dataset[0], **changes), info, 5)
    shown = [(labels == 1).any() for batch in balanced for labels in batch["labels"]]
    # Two of the ten pictures may have the red box hidden by the blue one.
    assert np.mean(shown) > 0.75


def test_resizing_needs_its_short_side():
    with pytest.raises(UserError, match=r"data\.max_resize must be 0 where"):
        Config().replace({"data.max_resize": 600})
    with pytest.raises(UserError, match=r"at least data.min_resize \(513\)"):
        Config().replace({"data.min_resize": 513, "data.max_resize": 500})
