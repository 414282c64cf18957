"""A small part of `make fuzz`, and that the fuzzer finds what it is for."""

import contextlib
import pathlib
import time

import fuzz_areas
import fuzzing
import pytest

from deeplab_tf.errors import UserError

TRIES = 1000  # over all areas; about ten seconds


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", fuzz_areas.AREAS)
def test_nothing_strange_happens(name):
    area, share = fuzz_areas.AREAS[name]
    result = fuzzing.run(name, area, tries=round(TRIES * share), seconds=60, seed=1)
    assert result.tries == round(TRIES * share)
    assert result.failures == []


def refuse(rng):
    raise UserError("no")


def fail(rng):
    raise KeyError("key")


class LongError(UserError):
    def __str__(self):
        return "two\nlines"


def speak_long(rng):
    raise LongError("no")


def write_outside(rng):
    pathlib.Path(__file__).with_name("outside").open("w").close()
    pathlib.Path(__file__).with_name("outside").unlink()


def hang(rng):
    with contextlib.suppress(Exception):
        time.sleep(60)


@pytest.mark.parametrize(
    ("attempt", "what"),
    [
        (fail, "KeyError: 'key'"),
        (speak_long, "2 lines"),
        (write_outside, "wrote outside: "),
        (hang, "no answer"),
    ],
)
def test_the_fuzzer_sees_a_failure(monkeypatch, attempt, what):
    monkeypatch.setattr(fuzzing, "_SECONDS", 0.1)
    result = fuzzing.run("odd", lambda folder: attempt, tries=1, seconds=60)
    assert len(result.failures) == 1
    assert result.failures[0].startswith(f"odd 0: {what}")


def test_a_refusal_is_no_failure():
    result = fuzzing.run("odd", lambda folder: refuse, tries=3, seconds=60)
    assert (result.tries, result.refused, result.failures) == (3, 3, [])


def test_a_try_can_be_made_again():
    seen = []
    area = lambda folder: lambda rng: seen.append(rng.integers(1 << 60))  # noqa: E731
    fuzzing.run("odd", area, tries=3, seconds=60, seed=5)
    fuzzing.run("odd", area, tries=1, seconds=60, seed=5, first=2)
    assert seen[3] == seen[2] != seen[1]
