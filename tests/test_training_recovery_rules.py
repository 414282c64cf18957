"""When a run reports, goes back and gives up, on a state of counters alone."""

import pathlib
import types

import numpy as np
import pytest
import tensorflow as tf

from deeplab_tf.config import Config
from deeplab_tf.errors import UserError
from deeplab_tf.training import recovery

LOGS = {"loss": float("nan"), "gradient_norm": float("inf")}


class State:
    """What a checkpoint gives back is -7 in each counter."""

    def __init__(self):
        self.step = tf.Variable(0, dtype=tf.int64)
        self.bad_steps = tf.Variable(0, dtype=tf.int64)
        self.last_bad_step = tf.Variable(0, dtype=tf.int64)
        self.rollbacks = tf.Variable(0, dtype=tf.int64)
        self.rate_factor = tf.Variable(1.0)
        self.best_miou = tf.Variable(0.5, dtype=tf.float64)
        self.restored = []

    def restore_newest(self, run_path):
        self.restored.append("the last checkpoint")
        kept = self.step, self.bad_steps, self.rollbacks, self.rate_factor
        for counter in (*kept, self.best_miou):
            counter.assign(tf.cast(-7, counter.dtype))
        return self.restored[-1]


@pytest.fixture
def state():
    return State()


@pytest.fixture
def reported(monkeypatch, tmp_path):
    steps = []

    def write(run, state, step, logs):
        steps.append(step)
        return tmp_path, "a cause"

    monkeypatch.setattr(recovery, "write_post_mortem", write)
    return steps


def make(state, rollbacks=2, reports=True):
    config = Config().replace({"train.rollbacks": rollbacks})
    run = types.SimpleNamespace(path=pathlib.Path("gone"), config=config)
    return recovery.Recovery(run, state, reports)


def go_bad(state, step, in_a_row):
    state.step.assign(step)
    state.bad_steps.assign(in_a_row)
    state.last_bad_step.assign(step)


def test_good_steps_are_left_alone(state, reported):
    make(state).examine(4, 5, LOGS)
    assert (reported, state.restored) == ([], [])


def test_the_first_bad_step_of_a_row_is_reported_once(state, reported):
    watch = make(state, rollbacks=0)
    for step, in_a_row in ((5, 1), (6, 2)):
        go_bad(state, step, in_a_row)
        watch.examine(step - 1, step, LOGS)
    state.bad_steps.assign(0)
    watch.examine(6, 7, LOGS)
    assert (reported, state.restored) == ([5], [])


def test_only_one_process_reports(state, reported):
    go_bad(state, 5, 1)
    make(state, reports=False).examine(4, 5, LOGS)
    assert reported == []


def test_the_third_bad_step_goes_back_at_half_the_rate(state, reported):
    watch = make(state)
    for time, rate in ((1, 0.5), (2, 0.25)):
        go_bad(state, 10 * time, 2)
        watch.examine(10 * time - 1, 10 * time, LOGS)
        assert len(state.restored) == time - 1
        go_bad(state, 10 * time + 1, 3)
        watch.examine(10 * time, 10 * time + 1, LOGS)
        assert state.restored == ["the last checkpoint"] * time
        assert float(state.rate_factor) == rate
        # The data go on, and what the run has seen stays known.
        assert int(state.step) == 10 * time + 1
        assert int(state.bad_steps) == 0
        assert int(state.rollbacks) == time
        assert float(state.best_miou) == 0.5
    go_bad(state, 31, 3)
    with pytest.raises(UserError, match="after 2 returns"):
        watch.examine(30, 31, LOGS)
    assert len(state.restored) == 2
    assert np.isfinite(float(state.rate_factor))
