"""Worker processes of one machine, here without TensorFlow."""

import subprocess
import sys
import time

import pytest
from conftest import ROOT

# Starts a group whose workers tell their number and wait.
GROUP = """
import sys
from absl import flags
from deeplab_tf import launch
flags.FLAGS(["launch"])
sys.executable = sys.argv[1]
launch.main([])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs prctl")
def test_workers_end_with_their_launcher(tmp_path):
    worker, told = tmp_path / "worker", tmp_path / "told"
    worker.write_text(f"#!/bin/sh\necho begun >> {told}\nexec sleep 60\n")
    worker.chmod(0o755)
    launcher = subprocess.Popen(
        [sys.executable, "-c", GROUP, worker], cwd=ROOT, stdout=subprocess.PIPE
    )
    while not told.exists() or told.read_text().count("begun") < 2:
        assert launcher.poll() is None
        time.sleep(0.01)
    launcher.kill()
    # Their copies of the pipe are closed with them, not after a minute.
    assert launcher.communicate(timeout=10) == (b"", None)
