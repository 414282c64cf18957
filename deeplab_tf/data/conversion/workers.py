"""Worker processes that share nothing but two counters.

Each takes the number of the next task until none is left, and leaves its result on
disk. So there is no queue to jam, the result does not depend on how many there are,
and the death of any process at any moment costs its unfinished task alone.
"""

import contextlib
import multiprocessing
import os
import sys
from collections.abc import Callable, Sequence
from multiprocessing.connection import wait
from typing import Any

from tqdm import tqdm

from deeplab_tf.errors import UserError

Tick = Callable[[], object]  # called after each example
Task = Callable[[Tick], None]
_POLL_SECONDS = 0.1
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
    next_task, done = context.Value("q", 0), context.Value("q", 0)
    workers, pipes = [], []
    for _ in range(num_workers):
        receiver, sender = context.Pipe(duplex=False)
        worker = context.Process(
            target=_work, args=(tasks, next_task, done, sender), daemon=True
        )
        worker.start()
        sender.close()
        workers.append(worker)
        pipes.append(receiver)
    try:
        running = list(workers)
        while running:
            ended = wait([worker.sentinel for worker in running], _POLL_SECONDS)
            bar.update(done.value - bar.n)
            for worker in [w for w in running if w.sentinel in ended]:
                worker.join()
                running.remove(worker)
                if worker.exitcode:
                    raise _failure(pipes[workers.index(worker)], worker.exitcode)
    finally:
        for worker in workers:
            worker.kill()
            worker.join()


def _context() -> Any:
    """Forking is fastest, but unsafe once TensorFlow's threads run."""
    may_fork = sys.platform == "linux" and "tensorflow" not in sys.modules
    return multiprocessing.get_context("fork" if may_fork else "spawn")


def _work(tasks: Sequence[Task], next_task: Any, done: Any, sender: Any) -> None:
    parent = os.getppid()

    def tick() -> None:
        if os.getppid() != parent:
            os._exit(1)  # nobody is left to work for
        with done.get_lock():
            done.value += 1

    try:
        while True:
            with next_task.get_lock():
                index = next_task.value
                next_task.value += 1
            if index >= len(tasks):
                return
            tasks[index](tick)
    except (UserError, OSError) as error:
        sender.send(_explain(error))
        raise SystemExit(1) from None


def _explain(error: UserError | OSError) -> str:
    if isinstance(error, UserError):
        return str(error)
    what = f"{error.filename or 'output'}: {error.strerror or error}"
    return f"{what}. {_RESUME} once this is mended."


def _failure(receiver: Any, exit_code: int) -> Exception:
    if receiver.poll():
        with contextlib.suppress(EOFError):
            return UserError(receiver.recv())
    if exit_code < 0:
        return UserError(
            f"a worker process was killed by signal {-exit_code}; where that was for "
            f"lack of memory, give fewer --workers. {_RESUME}."
        )
    return RuntimeError("a worker process failed; its traceback stands above")
