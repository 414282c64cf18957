"""Starts several worker processes on this machine, for trials of multi_worker.

On a cluster, each machine runs deeplab_tf.train itself, with TF_CONFIG, Slurm or
Kubernetes naming the others. What follows -- goes to deeplab_tf.train.

Examples:
  python -m deeplab_tf.launch --workers=2 -- --run_dir=runs/two --preset=demo \\
      --data.dataset_dir=data/shapes
  python -m deeplab_tf.launch --workers=2 --restarts=3 -- --run_dir=...

SIGTERM and Ctrl-C are passed on: the workers finish their step, save it and end. A
second Ctrl-C ends them at once. Where this process is killed, they end as by SIGTERM.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence

from absl import flags as absl_flags

from deeplab_tf import cli
from deeplab_tf.errors import UserError

FLAGS = absl_flags.FLAGS
absl_flags.DEFINE_integer("workers", 2, "Worker processes to start.", lower_bound=1)
absl_flags.DEFINE_integer(
    "restarts", 0, "How often the group is started again after a worker died.", 0
)


# Exit codes of a worker that has saved its step.
_STOPPED = (128 + signal.SIGTERM, 128 + signal.SIGINT)
_NOTICE_SECONDS = 60  # in which the others should notice that one has died

Worker = subprocess.Popen[bytes]


def main(arguments: Sequence[str]) -> int:
    """Starts the group; starts it again where a worker died.

    Returns:
      The exit code: 0, 143 after SIGTERM, or 130 after Ctrl-C.
    """
    for attempt in range(FLAGS.restarts + 1):
        codes = _run_group(arguments, FLAGS.workers)
        if not any(codes):
            return 0
        for code in _STOPPED[::-1]:
            if code in codes:
                return code
        print(f"workers ended with {codes}; attempt {attempt + 1}", file=sys.stderr)
    raise UserError(f"a worker failed: exit codes {codes}. See its message above.")


def _run_group(arguments: Sequence[str], count: int) -> list[int]:
    addresses = [f"127.0.0.1:{port}" for port in _free_ports(count)]
    workers = [_start(arguments, addresses, index) for index in range(count)]

    def pass_on(number: int, frame: object) -> None:
        del frame
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for worker in workers:
            # A terminal's Ctrl-C has reached them already, and a second would end
            # them at once.
            if worker.poll() is None:
                worker.send_signal(signal.SIGTERM)

    before = {n: signal.signal(n, pass_on) for n in (signal.SIGTERM, signal.SIGINT)}
    try:
        while all(worker.poll() is None for worker in workers):
            time.sleep(0.1)
        _wait_for_the_others(workers)
        return [worker.wait() for worker in workers]
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for worker in workers:
            worker.kill()


def _wait_for_the_others(workers: list[Worker]) -> None:
    """They end too: in order, with their checkpoint written, or by noticing."""
    deadline = time.monotonic() + _NOTICE_SECONDS
    while any(worker.poll() is None for worker in workers):
        in_order = all(worker.poll() in (None, 0, *_STOPPED) for worker in workers)
        if not in_order and time.monotonic() > deadline:
            for worker in workers:
                worker.kill()
        time.sleep(0.1)


def _start(arguments: Sequence[str], addresses: list[str], index: int) -> Worker:
    task = {"type": "worker", "index": index}
    config = json.dumps({"cluster": {"worker": addresses}, "task": task})
    command = [sys.executable, "-m", "deeplab_tf.train", *arguments]
    return subprocess.Popen(
        command,
        env={**os.environ, "TF_CONFIG": config},
        preexec_fn=cli.ends_with(os.getpid()),
    )


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


if __name__ == "__main__":
    cli.run_passing_on(main)
