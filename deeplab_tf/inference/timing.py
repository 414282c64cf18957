"""How long an exported model takes and how much memory, in a process of its own."""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

WARM_UP = 2
_CODE = (
    "import sys; from deeplab_tf.inference import timing; "
    "timing.child(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])"
)


def measure(
    path: str, size: tuple[int, int], channels: int, num_threads: int, runs: int = 8
) -> dict[str, Any]:
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
    shape = ",".join(map(str, (*size, channels)))
    command = [sys.executable, "-c", _CODE, path, str(num_threads), str(runs), shape]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        last = result.stderr.strip().splitlines()[-1:]
        raise RuntimeError(f"{path} cannot be measured: {''.join(last)}")
    return json.loads(result.stdout.strip().splitlines()[-1])


def child(path: str, num_threads: int, runs: int, shape: str) -> None:
    """What the fresh process does; prints JSON."""
    from deeplab_tf import cli
    from deeplab_tf.inference import exported

    cli.import_tensorflow()
    set_threads(num_threads)
    height, width, channels = map(int, shape.split(","))
    before = memory("VmRSS")
    start = time.perf_counter()
    opened = exported.open_export(path, num_threads)
    load_seconds = time.perf_counter() - start
    picture = random_picture(*opened.nearest_size((height, width)), channels)
    times = milliseconds({"": lambda: opened.runner.infer(picture)}, runs)[""]
    print(
        json.dumps(
            {
                "num_threads": num_threads,
                "load_seconds": load_seconds,
                "latency_ms": statistics.median(times),
                "fastest_ms": min(times),
                "peak_memory_bytes": memory("VmHWM") - before,
            }
        )
    )


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
    calls: Mapping[str, Callable[[], Any]], runs: int
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
