"""Planted faults: what a run says of them, survives, or ends with."""

import json
import os

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny_dataset
from training_runs import SMALL, losses

from deeplab_tf.config import Config
from deeplab_tf.data import dataset_info, records
from deeplab_tf.data.dataset_info import DatasetInfo, Split
from deeplab_tf.errors import UserError
from deeplab_tf.network.deeplab import build_model
from deeplab_tf.training import loop

pytestmark = pytest.mark.usefixtures("shallow_resnet")

SHORT = {
    **SMALL,
    "data.crop_size": (33, 33),
    "train.steps": 8,
    "train.eval_steps": 0,
}


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    tiny_dataset.write(folder)
    return Config().replace({**SHORT, "data.dataset_dir": str(folder)})


def reports(run_dir):
    paths = sorted(
        (run_dir / "post_mortem").glob("*/report.json"),
        key=lambda path: int(path.parent.name.removeprefix("step-")),
    )
    return [json.loads(path.read_text()) for path in paths]


def write_float_pictures(folder, bad):
    """Ten pictures of float32 in one shard; number `bad` holds an infinity a row."""
    rng = np.random.default_rng(0)
    path = folder / "train-00000-of-00001.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for number in range(10):
            pixels, labels = tiny_dataset.picture(rng)
            pixels = pixels.astype("<f4")
            if number == bad:
                pixels[:, ::9] = np.inf
            example = records.encode_example(
                filename=f"picture_{number}",
                image=pixels.tobytes(),
                image_format="raw",
                size=labels.shape,
                channels=3,
                label=tiny_dataset.png(labels),
            )
            writer.write(example)
    split = Split(num_examples=10, shards=(path.name,))
    info = DatasetInfo(
        name="floats",
        class_names=("ground", "red", "blue"),
        splits={"train": split},
        bits=32,
    )
    dataset_info.save(info, os.fspath(folder))


def test_a_picture_of_infinities_is_named_and_left_out(config, tmp_path):
    write_float_pictures(tmp_path, bad=6)
    config = config.replace({"data.dataset_dir": str(tmp_path)})
    loop.train(config, str(tmp_path / "run"))
    found = reports(tmp_path / "run")
    assert 3 <= len(found) <= 4  # 32 pictures of ten in turn
    for report in found:
        assert report["likely_cause"] == (
            "pictures with values that are not finite: picture_6"
        )
        by_name = {example["filename"]: example for example in report["examples"]}
        assert len(by_name) == 4
        assert not by_name.pop("picture_6")["image_is_finite"]
        for example in by_name.values():
            assert np.isfinite(float(example["loss"]))
            assert 0 < float(example["gradient_norm"]) < np.inf
            assert sum(example["label_pixels"].values()) == 33 * 33
    finite = [np.isfinite(loss) for _, loss in losses(tmp_path / "run")]
    assert len(finite) == 8
    final = tf.train.load_checkpoint(str(tmp_path / "run" / "checkpoints"))
    for name in final.get_variable_to_shape_map():
        if name.startswith("weights/"):
            assert np.isfinite(final.get_tensor(name)).all()


@pytest.mark.parametrize("weight", ["nan", "inf", "-1"])
def test_a_class_weight_that_is_no_weight_is_refused(config, weight):
    with pytest.raises(UserError, match=rf"loss\.class_weights.* must be .*{weight}"):
        config.replace({"loss.class_weights": (1.0, float(weight), 1.0)})


def test_a_class_weight_that_overflows_is_named(config, tmp_path):
    weights = (1.0, 1e38, 1.0)
    config = config.replace({"loss.class_weights": weights, "train.rollbacks": 0})
    with pytest.raises(UserError, match=r"See .*post_mortem"):
        loop.train(config, str(tmp_path))
    report = reports(tmp_path)[0]
    assert (
        "class weights [1.0, 1e+38, 1.0] of ground, red, blue"
        in (report["likely_cause"])
    )
    lost = [e for e in report["examples"] if e["loss"] == "inf"]
    assert lost
    for example in lost:
        assert example["logits_are_finite"]
        assert int(example["label_pixels"]["1"]) > 0
        assert example["filename"] in report["likely_cause"]


def test_broken_weights_of_one_class_are_refused_before_the_first_step(
    config, tmp_path
):
    model = build_model(config.model, tiny_dataset.NUM_CLASSES)
    kernel = np.array(model.get_layer("logits").kernel)
    kernel[0, 0, 5, 2] = np.nan
    model.get_layer("logits").kernel.assign(kernel)
    path = tmp_path / "broken.weights.h5"
    model.save_weights(path)
    config = config.replace({"train.init_checkpoint": str(path)})
    with pytest.raises(UserError, match=r"logits/kernel \(classes blue\)"):
        loop.train(config, str(tmp_path / "run"))
    assert not (tmp_path / "run" / "checkpoints").exists()


class Spoil(keras.callbacks.Callback):
    """Breaks the weights of one class after three steps, as bad memory might."""

    def on_train_batch_end(self, batch, logs=None):
        if batch == 2:
            bias = self.model.get_layer("logits").bias
            bias.assign([0.0, np.nan, 0.0])


def test_weights_that_break_are_named_and_the_run_goes_back(config, tmp_path):
    loop.train(config, str(tmp_path), callbacks=[Spoil()])
    (report,) = reports(tmp_path)
    assert report["step"] == 4
    assert "logits/bias (classes red)" in report["likely_cause"]
    course = dict(losses(tmp_path))
    assert list(map(np.isfinite, course.values())) == [True] * 3 + [False] * 3 + (
        [True] * 2
    )
    # Half the rate, and at the place in the schedule where the run is by its batches.
    lines = map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines())
    rates = {line["step"]: line["learning_rate"] for line in lines}
    base = config.optimizer.learning_rate
    for step in (6, 7):
        plain = base * (1 - step / config.train.steps) ** 0.9
        np.testing.assert_allclose(rates[step], plain / 2, rtol=1e-5)


def test_a_run_that_diverges_rolls_back_and_then_explains_itself(config, tmp_path):
    changes = {"optimizer.learning_rate": 1e30, "train.rollbacks": 1}
    with pytest.raises(UserError, match=r"norm (nan|inf) at step \d+, after 1 returns"):
        loop.train(config.replace(changes), str(tmp_path))
    found = reports(tmp_path)
    assert len(found) == 2
    assert "learning rate is too high" in found[0]["likely_cause"]
    assert found[0]["rollbacks_before"] == 0
    assert found[1]["rollbacks_before"] == 1
    assert all(e["filename"].startswith("train_") for e in found[0]["examples"])
    assert len(found[0]["largest_weights"]) == 5


@pytest.mark.slow
@pytest.mark.parametrize("batch_norm", ["train", "frozen"])
def test_learning_rate_50_survives_or_ends_with_the_explanation(
    batch_norm, config, tmp_path
):
    changes = {
        "optimizer.learning_rate": 50.0,
        "train.batch_norm": batch_norm,
        "train.steps": 60,
    }
    ended = None
    try:
        loop.train(config.replace(changes), str(tmp_path))
    except UserError as error:
        ended = str(error)
    print(f"{batch_norm}: {ended}; {len(reports(tmp_path))} reports")
    if ended:
        assert "Lower --optimizer.learning_rate (now 50.0)" in ended
        assert reports(tmp_path)
    else:
        assert np.isfinite(losses(tmp_path)[-1][1])
