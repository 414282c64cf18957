"""One process at a time writes a run folder."""

import contextlib
import errno
import fcntl
import json
import os
import pathlib
import socket
import time
from collections.abc import Iterator

from deeplab_tf.errors import UserError

_HELD = (errno.EACCES, errno.EAGAIN)


@contextlib.contextmanager
def locked(run_dir: str | os.PathLike[str]) -> Iterator[None]:
    """Holds RUN/lock meanwhile; makes the folder where missing.

    The system gives the lock back when its process ends, however that ends, so the
    file that is left means nothing. A file system that knows no locks is trusted.

    Raises:
      UserError: another process holds it; the message says which.
    """
    path = pathlib.Path(run_dir) / "lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _HELD:
                file.seek(0)
                raise UserError(
                    f"{path.parent}: is being written by {_holder(file.read())}; wait "
                    "for it, stop it, or take another --run_dir."
                ) from None
        started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        holder = {"pid": os.getpid(), "host": socket.gethostname(), "started": started}
        file.truncate(0)
        file.write(json.dumps(holder) + "\n")
        file.flush()
        yield


def _holder(text: str) -> str:
    try:
        holder = json.loads(text)
        return f"process {holder['pid']} on {holder['host']} since {holder['started']}"
    except (ValueError, KeyError, TypeError):
        return "another process"
