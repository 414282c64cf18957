"""Signals and stalls: how a run ends from outside without losing a step."""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator

from deeplab_tf.errors import UserError


class InterruptedRunError(UserError):
    """The run was asked to stop and has saved its state."""

    exit_code = 128 + signal.SIGTERM  # what a shell reports for a process it ended


@contextlib.contextmanager
def sigterm_noticed() -> Iterator[threading.Event]:
    """Yields an event that SIGTERM sets, so that a step is finished before the end.

    Outside the main thread, where Python allows no handler, nothing is changed.
    """
    noticed = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield noticed
        return
    before = signal.signal(signal.SIGTERM, lambda *_: noticed.set())
    try:
        yield noticed
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def stall_watch(seconds: float) -> Iterator[Callable[[], None]]:
    """Ends the process when the function it yields is not called for `seconds`.

    A dead worker or a file system that hangs leaves the others waiting inside an
    operation that nothing can interrupt, so the process exits with code 1 and a
    message; a group that is started again resumes.
    """
    last = time.monotonic()
    over = threading.Event()

    def alive() -> None:
        nonlocal last
        last = time.monotonic()

    def watch() -> None:
        while not over.wait(min(1.0, seconds / 4)):
            if time.monotonic() - last > seconds:
                print(
                    f"error: no training step for {seconds:g} s (train.stall_seconds): "
                    "the input stalls or a worker is gone. Start the same command "
                    "again to resume from the last checkpoint.",
                    file=sys.stderr,
                    flush=True,
                )
                os._exit(1)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield alive
    finally:
        over.set()
        thread.join()
