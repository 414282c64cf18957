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
    """The run was asked to stop and has saved its state.

    Args:
      step: that is saved.
      number: of the signal; 0: it came to another worker.
    """

    def __init__(self, step: int, number: int) -> None:
        name = signal.Signals(number).name if number else "a signal to another worker"
        super().__init__(
            f"stopped by {name} after step {step}, which is saved; the same command "
            "goes on from there."
        )
        # What a shell reports for a process that the signal ended.
        self.exit_code = 128 + (number or signal.SIGTERM)


class Notice:
    """Which signal asked the run to stop; 0: none so far."""

    number = 0


@contextlib.contextmanager
def stop_noticed() -> Iterator[Notice]:
    """Yields what SIGTERM and Ctrl-C set, so that a step is finished before the end.

    A second Ctrl-C ends the process at once. Outside the main thread, where Python
    allows no handler, nothing is changed.
    """
    notice = Notice()
    if threading.current_thread() is not threading.main_thread():
        yield notice
        return

    def note(number: int, _: object) -> None:
        notice.number = notice.number or number
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            print("\nSaving the step; Ctrl-C once more ends at once.", file=sys.stderr)

    before = {n: signal.signal(n, note) for n in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield notice
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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
