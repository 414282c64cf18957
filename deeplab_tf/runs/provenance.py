"""Where a run comes from: versions, revision, command, devices."""

import pathlib
import platform
import re
import subprocess
import sys
import time

import keras
import numpy as np
import tensorflow as tf

import deeplab_tf
from deeplab_tf.files import Json


def of_process(strategy: tf.distribute.Strategy) -> Json:
    """Versions, revision, command, devices and strategy of this process."""
    return {
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": sys.argv,
        "deeplab_tf": deeplab_tf.__version__,
        "git_revision": _git_revision(),
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
        "devices": [device.name for device in tf.config.list_logical_devices()],
        "strategy": type(strategy).__name__,
        "num_replicas": strategy.num_replicas_in_sync,
    }


def _git_revision() -> str | None:
    """The commit of this code, with "-dirty" where files differ from it."""
    # `git describe --dirty` takes the checkout's lock, whatever it is told.
    options = ["--porcelain=v2", "--branch", "--untracked-files=no"]
    command = ["git", "--no-optional-locks", "status", *options]
    folder = pathlib.Path(__file__).parent
    try:
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    except OSError:
        return None
    found = re.match(r"# branch\.oid ([0-9a-f]{40,})$", result.stdout, re.M)
    is_dirty = re.search("^[^#]", result.stdout, re.M)
    return found and found[1] + ("-dirty" if is_dirty else "")
