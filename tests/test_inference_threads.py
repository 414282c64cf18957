import threading

import pytest

from deeplab_tf.inference import threads


def test_results_come_in_order_whatever_is_done_first():
    later = threading.Event()

    def work(number):
        if number == 0:
            assert later.wait(10)  # until the second one runs beside it
        if number == 1:
            later.set()
        return number * number

    assert list(threads.in_order(work, range(7), 2)) == [n * n for n in range(7)]


def test_few_items_are_taken_ahead():
    taken = []
    results = threads.in_order(str, (taken.append(n) or n for n in range(100)))
    assert next(results) == "0"
    assert len(taken) <= 4
    results.close()
    assert len(taken) <= 4


def test_an_error_comes_in_its_turn():
    def fail(number):
        if number == 3:
            raise ValueError("the fourth")
        return number

    results = threads.in_order(fail, range(9), 2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="the fourth"):
        next(results)


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_what_was_taken_is_finished_when_taking_fails(error):
    done = []

    def items():
        yield from range(4)
        raise error

    with pytest.raises(error):
        list(threads.in_order(done.append, items(), 2))
    assert sorted(done) == [0, 1, 2, 3]
