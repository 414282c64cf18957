"""How long a computation takes and how much memory, in a process of its own."""

import functools
import os
import pathlib
import pickle
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from deeplab_tf.errors import UserError
from deeplab_tf.files import Json

if TYPE_CHECKING:
    from deeplab_tf.inference.exported import Export

WARM_UP = 2
_CODE = "from deeplab_tf.inference import timing; timing.child()"


def measure(
    path: str, size: tuple[int, int], channels: int, num_threads: int, runs: int = 8
) -> Json:
    """Loads an export in a fresh process and runs it on a random picture.

    Args:
      path: of the export.
      size: height, width of the picture, where the export takes any.
      channels: of the picture.
      num_threads: of the computation.
      runs: timed ones, after some to warm up.

    Returns:
      num_threads, load_seconds, latency_ms (the median), fastest_ms, and
      peak_memory_bytes: what loading and running added to the process.
    """
    from deeplab_tf.inference import exported

    # Named here, so that the module is loaded before memory and time are taken.
    opener = exported.open_export
    prepare = functools.partial(_open, opener, path, size, channels, num_threads)
    (found,) = in_fresh_process(prepare, num_threads, runs, path)
    del found["process_memory_bytes"]
    return found


def _open(
    opener: Callable[[str, int], "Export"],
    path: str,
    size: tuple[int, int],
    channels: int,
    num_threads: int,
) -> Iterator[Callable[[], object]]:
    opened = opener(path, num_threads)
    height, width = opened.nearest_size(size)
    image = random_picture(height, width, channels)
    yield lambda: opened.runner.infer(image)


def in_fresh_process(
    prepare: Callable[[], Iterable[Callable[[], object]]],
    num_threads: int,
    runs: int,
    name: str,
) -> list[Json]:
    """Times calls, and takes memory that no other computation has used before.

    Args:
      prepare: loads what is needed and yields the calls; a function of a module, or
        a functools.partial of one, for it travels by its name. What an earlier call
        has freed may count for a later one, so the smallest come first.
      num_threads: of the computation.
      runs: timed ones of each, after some to warm up.
      name: of what is measured, in messages.

    Returns:
      Of each call what `measure` returns, and process_memory_bytes: the peak of all
      that the process took meanwhile, with TensorFlow.

    Raises:
      UserError: the process failed.
    """
    done = subprocess.run(
        [sys.executable, "-c", _CODE],
        input=pickle.dumps((prepare, num_threads, runs)),
        capture_output=True,
    )
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise UserError(f"{name} cannot be measured: {''.join(last)}")
    return pickle.loads(done.stdout)


def child() -> None:
    """What the fresh process does; reads and writes pickles."""
    from deeplab_tf import cli

    # Whatever else is printed must not come between.
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    cli.import_tensorflow()
    prepare, num_threads, runs = pickle.load(sys.stdin.buffer)
    set_threads(num_threads)
    with output:
        pickle.dump(list(_measured(prepare(), num_threads, runs)), output)


def _measured(
    calls: Iterable[Callable[[], object]], num_threads: int, runs: int
) -> Iterator[Json]:
    before, start = memory("VmRSS"), time.perf_counter()
    for call in calls:
        load_seconds = time.perf_counter() - start
        times = milliseconds({"": call}, runs)[""]
        peak = memory("VmHWM")
        yield {
            "num_threads": num_threads,
            "load_seconds": load_seconds,
            "latency_ms": statistics.median(times),
            "fastest_ms": min(times),
            "peak_memory_bytes": peak - before,
            "process_memory_bytes": peak,
        }
        pathlib.Path("/proc/self/clear_refs").write_text("5")  # VmHWM begins anew
        start = time.perf_counter()


def set_threads(num_threads: int) -> None:
    """Limits TensorFlow's threads; before its first operation only."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(num_threads)
    tf.config.threading.set_inter_op_parallelism_threads(num_threads)


def all_threads() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0))


def random_picture(height: int, width: int, channels: int) -> np.ndarray:
    """uint8 [1, height, width, channels]; the time depends on the size alone."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (1, height, width, channels), np.uint8)


def milliseconds(
    calls: Mapping[str, Callable[[], object]], runs: int
) -> dict[str, list[float]]:
    """Times several calls in turns, so that a busy spell hits all of them."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for run in range(WARM_UP + runs):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if run >= WARM_UP:
                times[name].append((time.perf_counter() - start) * 1e3)
    return times


def memory(field: str) -> int:
    """Bytes of this process: VmRSS now, VmHWM at most so far."""
    with open("/proc/self/status") as status:
        (line,) = (line for line in status if line.startswith(field))
    return int(line.split()[1]) * 1024
