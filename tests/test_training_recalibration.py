import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny_dataset
from training_runs import SMALL

from deeplab_tf import runs
from deeplab_tf.config import Config
from deeplab_tf.data.pipeline import make_train_dataset
from deeplab_tf.network import backbones
from deeplab_tf.network.deeplab import build_model
from deeplab_tf.runs import saving
from deeplab_tf.training import recalibration

pytestmark = pytest.mark.usefixtures("shallow_resnet")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run whose weights are random and whose statistics are those of none."""
    folder = tmp_path_factory.mktemp("tiny")
    info = tiny_dataset.write(folder)
    config = Config().replace({**SMALL, "data.dataset_dir": str(folder)})
    run = runs.start_run(
        str(folder / "run"), config, info, tf.distribute.get_strategy()
    )
    keras.utils.set_random_seed(0)
    model = build_model(config.model, info.num_classes)
    saving.save_best(run.path, model, 7)
    runs.save(run)
    return run


def test_statistics_of_the_first_layer_are_those_of_its_pixels(run):
    model = runs.load_model(run)
    recalibration.estimate_statistics(run, model, 3)
    first = next(
        layer
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    )
    before = keras.Model(model.inputs, first.input)
    batches = make_train_dataset(
        run.config, run.info, fill=backbones.get_spec(run.config.model.backbone).mean
    ).take(3)
    pixels = np.concatenate(
        [before(b["image"]).numpy().reshape(-1, first.input.shape[-1]) for b in batches]
    ).astype(np.float64)
    np.testing.assert_allclose(first.moving_mean, pixels.mean(0), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(first.moving_variance, pixels.var(0), rtol=1e-3)


def test_better_statistics_are_kept(run):
    before, after = recalibration.recalibrate(run, run.config.data.dataset_dir, 3)
    kept = recalibration._miou(run, runs.load_model(run))
    assert kept == pytest.approx(max(before, after))
