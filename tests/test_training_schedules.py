import numpy as np
import pytest

from deeplab_tf.training.schedules import SCHEDULES, Schedule


def test_poly_is_the_papers():
    rate = Schedule("poly", learning_rate=0.007, steps=100, power=0.9)
    for step in (0, 30, 99):
        assert float(rate(step)) == pytest.approx(
            0.007 * (1 - step / 100) ** 0.9, rel=1e-6
        )
    assert rate(100) == 0


def test_warm_up_rises_from_its_first_part_and_the_course_starts_after_it():
    rate = Schedule("poly", learning_rate=1.0, steps=30, warmup_steps=10, power=2.0)
    np.testing.assert_allclose([rate(s) for s in range(10)], np.arange(1, 11) / 10)
    assert float(rate(20)) == pytest.approx((1 - 10 / 20) ** 2)


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_never_leave_their_range_and_come_back_from_their_config(name):
    rate = Schedule(name, learning_rate=0.1, steps=50, warmup_steps=7)
    rates = np.array([rate(step) for step in range(60)])
    assert (rates >= 0).all()
    assert rates.max() == pytest.approx(0.1, rel=1e-6)
    again = Schedule.from_config(rate.get_config())
    np.testing.assert_array_equal(rates, [again(step) for step in range(60)])
