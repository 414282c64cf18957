import pytest
import tensorflow as tf
import tiny_dataset

from deeplab_tf.config import Config
from deeplab_tf.data import dataset_info
from deeplab_tf.training import preflight
from deeplab_tf.training.train_state import TrainState


@pytest.mark.parametrize(
    ("crop", "rates", "named"),
    [
        ((513, 513), (6, 12, 18), []),
        ((257, 257), (6, 12, 18), [18]),
        ((257, 513), (3, 6, 9), []),
        ((129, 129), (6, 12, 18), [12, 18]),
    ],
)
def test_rates_that_a_crop_cannot_train_are_named(crop, rates, named):
    config = Config().replace({"data.crop_size": crop, "model.atrous_rates": rates})
    messages = preflight.untrained_rates(config)
    assert len(messages) == bool(named)
    for message in messages:
        assert f"model.atrous_rates {', '.join(map(str, named))} reach" in message


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"train.batch_size": 16, "train.steps": 200},
            "train, moving statistics decay by 0.9 a",
        ),
        ({"train.batch_norm": "frozen"}, "frozen (as set)"),
        (
            {"train.batch_size": 2, "train.init_checkpoint": "x"},
            "frozen (2 pictures are",
        ),
        ({"train.batch_size": 2}, "consider --model.normalization=group"),
        ({"model.normalization": "group"}, "group norm keeps no statistics"),
    ],
)
def test_what_is_done_about_batch_norm_is_said(changes, said):
    assert said in preflight.batch_norm(Config().replace(changes))


def test_all_is_told_before_the_first_step(tmp_path, capfd, caplog, monkeypatch):
    folder = tmp_path
    tiny_dataset.write(folder)
    changes = {"data.dataset_dir": str(folder), "model.depth_multiplier": 0.25}
    config = Config().replace({**changes, "data.crop_size": (129, 129)})
    info = dataset_info.load(folder)
    state = TrainState(config, info)
    strategy = tf.distribute.get_strategy()
    monkeypatch.setattr(preflight.memory, "free_bytes", lambda: 2**29)
    preflight.tell(config, info, state, strategy)
    told = capfd.readouterr().err
    assert "batch norm: train" in told
    assert "GiB of 0.5 GiB free\n" in told
    assert "GiB of 0.5 GiB free: the run may end" in caplog.text
    assert "model.atrous_rates 12, 18 reach" in caplog.text
