"""Starts several worker processes on this machine, for trials of multi_worker.

On a cluster, each machine runs deeplab_tf.train itself, with TF_CONFIG, Slurm or
Kubernetes naming the others. What follows -- goes to deeplab_tf.train.

Examples:
  python -m deeplab_tf.launch --workers=2 -- --run_dir=runs/two --preset=demo \\
      --data.dataset_dir=data/shapes
  python -m deeplab_tf.launch --workers=2 --restarts=3 -- --run_dir=...
"""

import json
import os
import socket
import subprocess
import sys
import time

from absl import flags as absl_flags

from deeplab_tf import flags
from deeplab_tf.errors import UserError

FLAGS = absl_flags.FLAGS
absl_flags.DEFINE_integer("workers", 2, "Worker processes to start.", lower_bound=1)
absl_flags.DEFINE_integer(
    "restarts", 0, "How often the group is started again after a worker died.", 0
)


def main(arguments: list[str]) -> None:
    """Starts the group; starts it again where a worker died."""
    for attempt in range(FLAGS.restarts + 1):
        codes = _run_group(arguments, FLAGS.workers)
        if not any(codes):
            return
        print(f"workers ended with {codes}; attempt {attempt + 1}", file=sys.stderr)
    raise UserError(f"a worker failed: exit codes {codes}. See its message above.")


def _run_group(arguments: list[str], count: int) -> list[int]:
    addresses = [f"127.0.0.1:{port}" for port in _free_ports(count)]
    workers = [_start(arguments, addresses, index) for index in range(count)]
    try:
        while all(worker.poll() is None for worker in workers):
            time.sleep(0.1)
        # One has ended. If that was in order the others end soon, too.
        if any(worker.poll() for worker in workers):
            time.sleep(1.0)  # for the message of a second one
            for worker in workers:
                worker.kill()
        return [worker.wait() for worker in workers]
    finally:
        for worker in workers:
            worker.kill()


def _start(
    arguments: list[str], addresses: list[str], index: int
) -> subprocess.Popen[bytes]:
    task = {"type": "worker", "index": index}
    config = json.dumps({"cluster": {"worker": addresses}, "task": task})
    command = [sys.executable, "-m", "deeplab_tf.train", *arguments]
    return subprocess.Popen(command, env={**os.environ, "TF_CONFIG": config})


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
    split = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    passed_on = sys.argv[split + 1 :]
    sys.argv = sys.argv[:split]
    flags.run(lambda: main(passed_on))
