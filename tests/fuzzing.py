"""A fuzzer of small areas: each try is a function of (area, seed, number).

An area is a function of an empty folder that gives a try, a function of a random
generator. A try may end well or refuse in one line. Anything else is a failure: another
exception, a refusal of several lines, two decoders that disagree, ten seconds without
an answer, a file written outside the folder.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import resource
import signal
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator

import numpy as np

from deeplab_tf.data.conversion.samples import SampleError
from deeplab_tf.errors import UserError

Try = Callable[[np.random.Generator], object]
Area = Callable[[pathlib.Path], Try]
_SECONDS = 10  # for one try; they take milliseconds
_WRITES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink"}
_HOSTILE_BYTES = (0, 1, 127, 128, 216, 217, 218, 255)
HOSTILE_VALUES = (
    *(None, True, False, 0, -1, 1 << 40, -(1 << 63), 10**400, 1e308, float("nan")),
    *(float("inf"), "", "nan", "../../x", "/etc/passwd", "a\nb", "\x00", "\ud800"),
    *("<script>", "*", "[x]", "9" * 400, "x" * 70_000, [], {}, [[]], [None], {"": 0}),
    *([1, "a"], {"a": {"b": []}}),
)


class DifferenceError(AssertionError):
    """Two readers of the same bytes do not agree."""


class HangError(BaseException):
    """A try takes too long; no `except Exception` keeps it."""


@dataclasses.dataclass
class Result:
    """What the tries of one area came to."""

    tries: int = 0
    refused: int = 0
    failures: list[str] = dataclasses.field(default_factory=list)
    seconds: float = 0.0
    grown_mb: float = 0.0


def run(
    name: str, area: Area, *, tries: int, seconds: float, seed: int = 0, first: int = 0
) -> Result:
    """Tries an area until its number of tries or its seconds are used up."""
    result, before = Result(), _peak_mb()
    with tempfile.TemporaryDirectory() as folder, _watched(folder) as outside:
        attempt = area(pathlib.Path(folder))
        outside.clear()
        start = time.monotonic()
        for number in range(first, first + tries):
            result.seconds = time.monotonic() - start
            if result.seconds > seconds:
                break
            key = [seed, zlib.crc32(name.encode()), number]
            what = _one(attempt, np.random.default_rng(key))
            if outside:
                what = f"wrote outside: {outside.pop()}"
            result.tries += 1
            result.refused += what == "refused"
            if what and what != "refused":
                result.failures.append(f"{name} {number}: {what}")
    result.grown_mb = _peak_mb() - before
    return result


def _one(attempt: Try, rng: np.random.Generator) -> str:
    """What a try came to: "", "refused" or what went wrong."""
    signal.setitimer(signal.ITIMER_REAL, _SECONDS)
    try:
        attempt(rng)
    except (UserError, SampleError) as refusal:
        lines = str(refusal).strip().splitlines()
        return "refused" if len(lines) == 1 else f"{len(lines)} lines: {refusal!r:.300}"
    except HangError:
        return f"no answer in {_SECONDS} seconds"
    except Exception as error:
        return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return ""


_folder: str | None = None  # outside of it nothing may be written
_outside: list[str] = []


def _audit(event: str, arguments: tuple) -> None:
    if _folder is None or not arguments or not isinstance(arguments[0], str | bytes):
        return
    if event == "open":
        flags = arguments[2] if isinstance(arguments[2], int) else 0
        if not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            return
    elif event not in _WRITES:
        return
    elif arguments[-1] != -1 and not os.path.isabs(arguments[0]):
        return  # shutil walks by open folders, whose opening was seen
    path = os.path.abspath(os.fsdecode(arguments[0]))
    if not path.startswith((_folder, "/dev/")) and "__pycache__" not in path:
        _outside.append(f"{event} {path}")


@contextlib.contextmanager
def _watched(folder: str) -> Iterator[list[str]]:
    """Collects what is written elsewhere, and ends what does not end."""
    global _folder
    if _audit not in _hooks:  # a hook cannot be taken away again
        sys.addaudithook(_audit)
        _hooks.append(_audit)

    def stop(*_: object) -> None:
        raise HangError

    before, temporary = signal.signal(signal.SIGALRM, stop), tempfile.tempdir
    inside = pathlib.Path(folder) / "temporary"
    inside.mkdir()
    _folder, tempfile.tempdir = folder, str(inside)
    _outside.clear()
    try:
        yield _outside
    finally:
        _folder, tempfile.tempdir = None, temporary
        signal.signal(signal.SIGALRM, before)


_hooks: list[object] = []


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def mutated(rng: np.random.Generator, data: bytes) -> bytes:
    """The bytes with a few bits, bytes or pieces changed, left out or put in."""
    changed, kind = bytearray(data), rng.integers(6)
    for _ in range(rng.integers(1, 4)):
        reach = len(changed) if rng.random() < 0.5 else min(len(changed), 200)
        at = int(rng.integers(reach + 1))
        if kind == 0 and at < len(changed):
            changed[at] ^= 1 << int(rng.integers(8))
        elif kind == 1 and at < len(changed):
            changed[at] = int(rng.choice(_HOSTILE_BYTES))
        elif kind == 2:
            del changed[at : at + int(rng.integers(1, 20))]
        elif kind == 3:
            changed[at:at] = rng.bytes(int(rng.integers(1, 20)))
        elif kind == 4:
            source = int(rng.integers(len(changed) + 1))
            changed[at:at] = changed[source : source + int(rng.integers(60))]
        else:
            changed = changed[: int(rng.integers(len(changed) + 1))]
    return bytes(changed)


def mutated_json(rng: np.random.Generator, value: object) -> str:
    """The value as JSON, with one part of it replaced, left out or nested deeper."""
    value = json.loads(json.dumps(value))
    holder, key = _somewhere(rng, {"": value}, "")
    odd = HOSTILE_VALUES[rng.integers(len(HOSTILE_VALUES))]
    kind = rng.integers(6)
    if kind == 0 and isinstance(holder, dict) and len(holder) > 1:
        del holder[key]
    elif kind == 1 and isinstance(holder, dict):
        holder[odd if isinstance(odd, str) else "odd"] = holder[key]
    elif kind == 2:
        holder[key] = [holder[key]]
    else:
        holder[key] = odd
    text = json.dumps(value)
    if rng.random() < 0.02:
        text = text.replace(":", ':{"a":' * 100_000, 1)
    return text


def _somewhere(rng: np.random.Generator, holder: object, key: object) -> tuple:
    """A container and one of its keys, at any depth."""
    inner = holder[key]
    if isinstance(inner, dict | list) and inner and (key == "" or rng.random() < 0.8):
        keys = list(inner) if isinstance(inner, dict) else list(range(len(inner)))
        return _somewhere(rng, inner, keys[rng.integers(len(keys))])
    return holder, key


def table(results: dict[str, Result]) -> str:
    """Tries and failures by area."""
    lines = [f"{'area':<14}{'tries':>9}{'refused':>9}{'failed':>8}{'s':>7}{'MB':>7}"]
    for name, r in results.items():
        numbers = f"{r.tries:>9,}{r.refused:>9,}{len(r.failures):>8,}"
        lines.append(f"{name:<14}{numbers}{r.seconds:>7.0f}{r.grown_mb:>7.0f}")
    total = sum(r.tries for r in results.values())
    failed = sum(len(r.failures) for r in results.values())
    return "\n".join([*lines, f"{total:,} tries, {failed:,} failures"])
