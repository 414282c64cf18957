"""Worker processes that share nothing but a counter.

A task leaves its result on disk. So the result does not depend on how many workers
there are, and the death of any process at any moment costs its unfinished task alone.
"""

import multiprocessing
import multiprocessing.process
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent import futures
from concurrent.futures import process
from typing import Any

from tqdm import tqdm

from deeplab_tf.errors import UserError

Tick = Callable[[], object]  # called after each example
Task = Callable[[Tick], None]
_REAPED_SECONDS = 2.0
_POLL_SECONDS = 0.1
_done: Any = None  # in a worker: the shared number of examples that are done
_RESUME = "Finished shards are kept: run the same command again"


def available_cpus() -> int:
    """CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_tasks(
    tasks: Sequence[Task], num_examples: int, title: str, num_workers: int
) -> None:
    """Runs all tasks, with a progress bar over their examples.

    Raises:
      UserError: a worker met one, or an OSError as a full disk, or was killed.
    """
    tqdm.monitor_interval = 0  # its thread would be alive while processes are forked
    bar = tqdm(
        total=num_examples or None,
        desc=title,
        unit="picture",
        disable=None,
        leave=False,
    )
    with bar:
        if num_workers == 1:
            _run_here(tasks, bar)
        elif tasks:
            _run_parallel(tasks, min(num_workers, len(tasks)), bar)


def _run_here(tasks: Sequence[Task], bar: tqdm) -> None:
    try:
        for task in tasks:
            task(bar.update)
    except OSError as error:
        raise UserError(_explain(error)) from None


def _run_parallel(tasks: Sequence[Task], num_workers: int, bar: tqdm) -> None:
    context = _context()
    done = context.Value("q", 0)
    others = set(multiprocessing.active_children())
    pool = futures.ProcessPoolExecutor(num_workers, context, _start, (done,))
    try:
        pending = {pool.submit(_work, task) for task in tasks}
        workers = set(multiprocessing.active_children()) - others
        while pending:
            ended, pending = futures.wait(
                pending, _POLL_SECONDS, futures.FIRST_COMPLETED
            )
            bar.update(done.value - bar.n)
            for future in ended:
                future.result()
    except process.BrokenProcessPool:
        raise _death(workers) from None
    except OSError as error:
        raise UserError(_explain(error)) from None
    finally:
        for worker in set(multiprocessing.active_children()) - others:
            worker.kill()  # what is unfinished is not wanted any more
        pool.shutdown(cancel_futures=True)


def _context() -> multiprocessing.context.BaseContext:
    """Forking is fastest, but unsafe once TensorFlow's threads run."""
    may_fork = sys.platform == "linux" and "tensorflow" not in sys.modules
    return multiprocessing.get_context("fork" if may_fork else "spawn")


def _start(done: Any) -> None:
    """Begins a worker: told of the counter, and to end when its parent does."""
    global _done
    _done = done
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends it
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)  # nobody is left to work for


def _work(task: Task) -> None:
    task(_tick)


def _tick() -> None:
    with _done.get_lock():
        _done.value += 1


def _explain(error: UserError | OSError) -> str:
    if isinstance(error, UserError):
        return str(error)
    what = f"{error.filename or 'output'}: {error.strerror or error}"
    return f"{what}. {_RESUME} once this is mended."


def _exit_code(worker: multiprocessing.process.BaseProcess) -> int:
    """Also where the pool's own thread reaps it at this moment, which hides it."""
    end = time.monotonic() + _REAPED_SECONDS
    while worker.exitcode is None and time.monotonic() < end:
        time.sleep(0.01)
    return worker.exitcode or 0


def _death(workers: Iterable[multiprocessing.process.BaseProcess]) -> UserError:
    """Why a worker is gone; the pool ends the others by SIGTERM."""
    codes = sorted({_exit_code(worker) for worker in workers}, key=abs)
    signals = [-code for code in codes if code < 0]
    others = [number for number in signals if number != signal.SIGTERM]
    how = f"was killed by signal {(others or signals)[0]}" if signals else "has ended"
    return UserError(
        f"a worker process {how}; where that was for lack of memory, give fewer "
        f"--workers. {_RESUME}."
    )
