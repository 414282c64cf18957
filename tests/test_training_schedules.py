import numpy as np
import pytest
import tensorflow as tf

from deeplab_tf.config import Optimizer
from deeplab_tf.training.schedules import SCHEDULES, RunSchedule, learning_rate


def test_poly_is_the_papers():
    settings = Optimizer(schedule="poly", learning_rate=0.007, power=0.9)
    for step in (0, 30, 99):
        assert float(learning_rate(settings, 100, step)) == pytest.approx(
            0.007 * (1 - step / 100) ** 0.9, rel=1e-6
        )
    assert learning_rate(settings, 100, 100) == 0


def test_warm_up_rises_from_its_first_part_and_the_course_starts_after_it():
    settings = Optimizer(schedule="poly", learning_rate=1.0, warmup_steps=10, power=2.0)
    rates = [learning_rate(settings, 30, step) for step in range(21)]
    np.testing.assert_allclose(rates[:10], np.arange(1, 11) / 10)
    assert float(rates[20]) == pytest.approx((1 - 10 / 20) ** 2)


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_never_leave_their_range(name):
    settings = Optimizer(schedule=name, learning_rate=0.1, warmup_steps=7)
    rates = np.array([learning_rate(settings, 50, step) for step in range(60)])
    assert (rates >= 0).all()
    assert rates.max() == pytest.approx(0.1, rel=1e-6)


def test_the_rate_of_a_run_follows_the_batches_and_not_the_optimisers_count():
    settings = Optimizer(schedule="poly", learning_rate=0.1, power=1.0)
    step, factor = tf.Variable(0, dtype=tf.int64), tf.Variable(1.0)
    rate = RunSchedule(settings, 10, step, factor)
    step.assign(9)
    factor.assign(0.5)
    assert float(rate(tf.constant(2))) == pytest.approx(0.1 * (1 - 9 / 10) * 0.5)


def rates(steps, count, **settings):
    settings = Optimizer(learning_rate=0.5, **settings)
    return np.array([learning_rate(settings, steps, step) for step in range(count)])


def test_cosine_is_half_a_period():
    course = 0.5 * (1 + np.cos(np.pi * np.arange(11) / 10))
    found = rates(10, 11, schedule="cosine", end_learning_rate=0.1)
    np.testing.assert_allclose(found, 0.1 + (0.5 - 0.1) * course, atol=1e-6)


def test_poly_ends_at_the_rate_that_is_set():
    found = rates(10, 13, schedule="poly", power=2.0, end_learning_rate=0.1)
    course = (1 - np.minimum(np.arange(13) / 10, 1)) ** 2
    np.testing.assert_allclose(found, 0.1 + (0.5 - 0.1) * course, atol=1e-6)


@pytest.mark.parametrize(("steps", "drop"), [(53, 7), (5 + 97, 1), (5 + 97, 13)])
def test_drops_come_after_whole_steps_of_the_course(steps, drop):
    """Also where float32 has 13 / 97 * 97 below 13."""
    warmup = 5
    settings = {"schedule": "step", "decay_steps": drop, "decay_factor": 0.2}
    settings = Optimizer(learning_rate=0.5, warmup_steps=warmup, **settings)
    for place in (warmup, *(warmup + drop * i + j for i in (1, 2) for j in (-1, 0))):
        wanted = 0.5 * 0.2 ** ((place - warmup) // drop)
        found = float(learning_rate(settings, steps, place))
        assert found == pytest.approx(wanted, rel=1e-5), place
