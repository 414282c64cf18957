"""deeplab_tf.data.dataset: the examples for training loops of one's own."""

import keras
import numpy as np
import pytest
import tiny_dataset

import deeplab_tf.data
from deeplab_tf.config import Config
from deeplab_tf.data import pipeline
from deeplab_tf.errors import UserError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("data")
    tiny_dataset.write(path)
    return path


def test_whole_images_are_those_of_the_evaluation(folder):
    info = deeplab_tf.data.dataset_info.load(folder)
    expected = [*pipeline.make_eval_dataset(str(folder), info, "val")]
    given = [*deeplab_tf.data.dataset(folder, "val")]
    assert len(given) == len(expected) == 4
    for (image, labels), example in zip(given, expected, strict=True):
        assert (image.dtype, labels.dtype) == ("float32", "int32")
        np.testing.assert_array_equal(image[0], example["image"])
        np.testing.assert_array_equal(labels[0], example["labels"])


def test_crops_are_those_of_training(folder):
    info = deeplab_tf.data.dataset_info.load(folder)
    settings = {
        "data.dataset_dir": str(folder),
        "data.crop_size": (33, 49),
        "train.batch_size": 4,
        "train.seed": 3,
        "augment.max_scale": 1.25,
    }
    config, grey = Config().replace(settings), (127.5,) * 3
    (expected,) = pipeline.make_train_dataset(config, info, fill=grey).take(1)
    crops = deeplab_tf.data.dataset(
        folder, "train", crop_size=(33, 49), batch_size=4, seed=3, max_scale=1.25
    )
    ((image, labels),) = crops.take(1)
    np.testing.assert_array_equal(image, expected["image"])
    np.testing.assert_array_equal(labels, expected["labels"])
    assert image.shape == (4, 33, 49, 3)


def test_keras_fits_on_it(folder):
    """Void pixels are left out by Keras' own argument."""
    image = keras.Input((None, None, 3))
    rescaled = keras.layers.Rescaling(1 / 255)(image)
    model = keras.Model(image, keras.layers.Conv2D(3, 1)(rescaled))
    loss = keras.losses.SparseCategoricalCrossentropy(
        from_logits=True, ignore_class=tiny_dataset.VOID
    )
    model.compile("adam", loss)
    history = model.fit(
        deeplab_tf.data.dataset(folder, "train", crop_size=(33, 33), batch_size=2),
        steps_per_epoch=2,
        epochs=2,
        validation_data=deeplab_tf.data.dataset(folder, "val"),
        verbose=0,
        shuffle=False,
    ).history
    assert all(np.isfinite(history["loss"] + history["val_loss"]))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"split": "test"}, "unknown split .* 'test'"),
        ({"batch_size": 2}, "need a crop_size"),
        ({"flip": 0.5}, "need a crop_size"),
        ({"crop_size": (33, 33), "flop": 1.0}, "unknown setting 'augment.flop'"),
        ({"crop_size": (8, 8)}, "data.crop_size must be"),
    ],
)
def test_what_is_wrong_is_told(folder, options, words):
    with pytest.raises(UserError, match=words):
        deeplab_tf.data.dataset(folder, **{"split": "train", **options})
