"""What the loop does between steps, without a network."""

import types

import keras
import pytest
import tensorflow as tf

from deeplab_tf.config import Config
from deeplab_tf.training import loop


@pytest.fixture
def course(monkeypatch, tmp_path):
    """(a loop without a run, what it does in order)."""
    done = []
    config = Config().replace(
        {
            "train.steps": 100,
            "train.log_steps": 10,
            "train.checkpoint_steps": 25,
            "train.eval_steps": 40,
            "train.steps_per_call": 15,
        }
    )
    made = object.__new__(loop._Loop)
    made._run = types.SimpleNamespace(config=config, info=None, path=tmp_path)
    made._settings = config.train
    made._state = types.SimpleNamespace(
        best_miou=tf.Variable(-1.0, dtype=tf.float64),
        step_number=100,
        evaluated="the evaluated network",
        model="the trained network",
        refresh_evaluated=lambda: done.append("refresh"),
    )
    made._predict = "predict"
    made._log = types.SimpleNamespace(evaluation=lambda *_: done.append("log"))
    made._callbacks = keras.callbacks.CallbackList([], model=keras.Sequential())

    monkeypatch.setattr(
        loop.saving, "save_best", lambda path, model, step: done.append(f"keep {model}")
    )
    return made, done


def evaluate(made, done, monkeypatch, miou):
    def score(predict, dataset_dir, info, split):
        done.append("evaluate")
        return {"miou": miou, "pixel_accuracy": 0.5}

    monkeypatch.setattr(loop.evaluate, "evaluate", score)
    done.clear()
    made._evaluate(40, 1.0)
    return list(done)


def test_an_evaluation_sees_fresh_weights_and_the_best_are_kept(course, monkeypatch):
    made, done = course
    usual = ["refresh", "evaluate", "log"]
    best = [*usual[:2], "keep the evaluated network", "log"]
    assert evaluate(made, done, monkeypatch, 0.25) == best
    assert evaluate(made, done, monkeypatch, 0.2) == usual
    assert evaluate(made, done, monkeypatch, None) == usual
    assert evaluate(made, done, monkeypatch, 0.3) == best
    assert float(made._state.best_miou) == 0.3


def test_workers_that_do_not_evaluate_refresh_alike(course, monkeypatch):
    made, done = course
    made._predict = None
    assert evaluate(made, done, monkeypatch, 0.25) == ["refresh"]


def test_a_call_ends_where_the_host_has_something_to_do(course):
    made, _ = course
    ends, step = [], 0
    while step < 100:
        step += made._call_length(step)
        ends.append(step)
    marks = {*range(10, 101, 10), *range(25, 101, 25), *range(40, 101, 40)}
    assert ends == sorted(marks)
