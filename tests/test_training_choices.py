"""What is chosen where nothing is given, and that what is given stays."""

import pytest

from deeplab_tf.config import Config
from deeplab_tf.data.dataset_info import DatasetInfo, Split
from deeplab_tf.training import choices
from deeplab_tf.training.choices import Pace


def info_of(size=(360, 480), examples=48, pixels=(900, 95, 5), splits=("train", "val")):
    split = Split(
        num_examples=examples,
        shards=("x.tfrecord",),
        class_pixels=pixels,
        max_size=size,
    )
    return DatasetInfo(
        name="mine",
        class_names=("road", "car", "pole"),
        splits=dict.fromkeys(splits, split),
    )


def chosen(config=None, given=(), accelerated=False, **facts):
    config = Config() if config is None else config
    found = choices.choose(config, given, info_of(**facts), accelerated=accelerated)
    return {choice.name: choice.value for choice in found}


def test_crop_is_three_quarters_of_the_short_side_at_a_size_of_the_network():
    assert chosen(size=(360, 480))["data.crop_size"] == (273, 273)
    assert chosen(size=(1024, 2048))["data.crop_size"] == (321, 321)
    big = chosen(size=(1024, 2048), accelerated=True)
    assert big["data.crop_size"] == (513, 513)
    assert chosen(size=(40, 60))["data.crop_size"] == (97, 97)
    zoomed = Config().replace({"model.input_scale": 1.5})
    assert chosen(zoomed, size=(120, 160))["data.crop_size"] == (129, 129)


@pytest.mark.parametrize("crop", [97, 129, 273, 321, 513])
def test_rates_stay_inside_the_map(crop):
    config = Config().replace({"data.crop_size": (crop, crop)})
    rates = chosen(config, {"data.crop_size"})["model.atrous_rates"]
    cells = (crop - 1) // 16 + 1
    assert rates == tuple(sorted(set(rates)))
    assert rates[-1] < cells
    assert rates[-1] <= 18


def test_rare_classes_change_loss_and_crops():
    found = chosen(pixels=(900, 95, 5))
    assert "loss.terms" not in found
    assert found["augment.class_balanced_crops"] > 0
    fast = chosen(pixels=(900, 95, 5), accelerated=True)
    assert fast["loss.terms"] == {"cross_entropy": 1.0, "lovasz": 0.5}
    even = chosen(pixels=(500, 300, 200))
    assert "augment.class_balanced_crops" not in even
    absent = chosen(pixels=(500, 500, 0))  # nothing can help a class without a pixel
    assert "augment.class_balanced_crops" not in absent


def test_trained_weights_keep_their_width_and_sgd():
    config = Config().replace({"train.init_checkpoint": "runs/released"})
    found = chosen(config, {"train.init_checkpoint"})
    assert "model.depth_multiplier" not in found
    assert "optimizer.name" not in found
    scratch = chosen()
    assert scratch["model.depth_multiplier"] == 0.5
    assert scratch["optimizer.name"] == "adamw"


def test_what_is_given_stays():
    every = set(Config().leaves())
    assert chosen(given=every) == {}
    found = choices.choose_length(Config(), every, info_of(), None)
    assert found == []


def test_steps_follow_images_and_time():
    def steps(examples, minutes=0.0, given=(), step_seconds=0.5):
        config = Config().replace({"train.batch_size": 8, "train.minutes": minutes})
        pace = Pace(step_seconds=step_seconds, start_seconds=10, evaluation_seconds=4)
        found = choices.choose_length(config, given, info_of(examples=examples), pace)
        return {choice.name: choice.value for choice in found}

    assert steps(24)["train.steps"] == 600
    assert steps(2)["train.steps"] == 200
    assert steps(10_000)["train.steps"] == 30_000
    # 600 s less two starts and five evaluations, at 0.5 s.
    budget = steps(24, minutes=10, given={"train.minutes"})
    assert budget["train.steps"] == (600 - 20 - 20) / 0.5
    assert budget["train.eval_steps"] == 1120 // 5


def test_splits_that_are_called_otherwise():
    def found(*splits):
        info = info_of(splits=splits)
        chosen = choices.choose_splits(Config(), (), info)
        return {choice.name: choice.value for choice in chosen}

    assert found("train", "val") == {}
    assert found("train_fine", "val_fine") == {
        "data.train_split": "train_fine",
        "data.eval_split": "val_fine",
    }
    assert found("train", "test") == {"data.eval_split": "test"}
    assert found("train") == {"train.eval_steps": 0}


def test_forecast_proposes_what_is_shorter_beyond_a_day():
    pace_here = Pace(step_seconds=20, start_seconds=60, evaluation_seconds=100)
    config = Config()
    long = choices.forecast(config, pace_here)
    assert "167" in long  # 30,000 * 20 s and 30 evaluations, in hours
    assert "--train.minutes=" in long
    short = choices.forecast(config.replace({"train.steps": 100}), pace_here)
    assert "--train.minutes=" not in short
