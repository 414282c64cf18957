"""One more round: a run goes on with data that grew, and is compared to the first.

The commands as docs/second_week.md gives them.
"""

import json
import os
import subprocess

import numpy as np
import pytest
import shallow
import tensorflow as tf
import tiny_dataset
import training_runs
from conftest import ROOT

from deeplab_tf import runs
from deeplab_tf.config.options import EvaluateOptions
from deeplab_tf.data import dataset_info, reading
from deeplab_tf.data.dataset_info import DatasetInfo, Split
from deeplab_tf.errors import UserError
from deeplab_tf.evaluation import evaluate_run, metrics

SHORT = {
    "data.crop_size": (33, 33),
    "train.batch_size": 4,
    "train.steps": 2,
    "train.eval_steps": 2,
    "optimizer.learning_rate": 1e-4,
}


def command(name, *arguments):
    result = subprocess.run(
        shallow.command(f"deeplab_tf.{name}", *arguments),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    """More images of the classes in another order, with one more between them."""
    folder = tmp_path_factory.mktemp("grown")
    names, rng = ("blue", "sign", "ground", "red"), np.random.default_rng(1)
    numbers = np.full(256, tiny_dataset.VOID, np.uint8)
    numbers[:3] = [names.index(name) for name in ("ground", "red", "blue")]
    splits = {"train": 12, "val": 5}
    for split, count in splits.items():
        with tf.io.TFRecordWriter(str(folder / f"{split}.tfrecord")) as writer:
            for number in range(count):
                image, labels = tiny_dataset.picture(rng)
                labels = numbers[labels]
                labels[40:, 40:] = names.index("sign")
                name = f"{split}_{number}"
                writer.write(tiny_dataset.example(name, image, labels))
    described = {
        split: Split(num_examples=count, shards=(f"{split}.tfrecord",))
        for split, count in splits.items()
    }
    info = DatasetInfo(name="grown", class_names=names, splits=described)
    dataset_info.save(info, str(folder))
    return str(folder)


def test_a_second_round_keeps_the_classes_and_is_compared(run, grown, tmp_path):
    """The first run's validation images are the measure, and its classes."""
    evaluate_run(run)
    settings = {"data.dataset_dir": grown, "train.init_checkpoint": str(run.path)}
    config = run.config.replace({**SHORT, **settings})
    second = tmp_path / "second"
    command("train", *training_runs.command(config, second)[3:])
    listing = json.loads((second / "initialization.json").read_text())
    assert listing["adapted"]["logits/bias"] == "3 of 4 classes by name, new: sign"
    assert listing["skipped"] == {}

    said = command("eval", f"--run_dir={second}", f"--compare_to={run.path}")
    assert "it also knows sign: where it says so, the likeliest" in said
    assert f"against {run.path}" in said
    result = json.loads((second / "eval" / "val.on_run.json").read_text())
    assert result["classes_left_out"] == ["sign"]
    assert -1 < result["comparison"]["difference"] < 1
    new = runs.open_run(str(second))
    model, matrix = runs.load_model(new), np.zeros([3, 3], np.int64)
    places = [new.info.class_names.index(name) for name in run.info.class_names]
    for one in reading.read_split(run.config.data.dataset_dir, run.info, "val"):
        logits = np.asarray(model(np.float32(one["image"][None]), training=False))[0]
        said_there = logits[..., places].argmax(-1)
        matrix += metrics.confusion_matrix(one["labels"].numpy(), said_there, 3, 255)
    np.testing.assert_array_equal(result["confusion_matrix"], matrix)

    page = tmp_path / "both.html"
    command("report", f"--run_dir={second}", f"--run_dir={run.path}",
            f"--output={page}", "--pictures=1")  # fmt: skip
    text = page.read_text()
    assert "second also knows sign: where it says so, the likeliest" in text
    assert "run less second" in text
    assert text.count("data:image/jpeg") >= 2
    with pytest.raises(UserError, match="the first does not know sign"):
        evaluate_run(run, EvaluateOptions(compare_to=str(second)))
