import os
import signal
import subprocess
import sys
import threading

from conftest import ROOT

from deeplab_tf.training import interruption


def test_sigterm_is_noticed_and_the_old_handler_comes_back():
    before = signal.getsignal(signal.SIGTERM)
    with interruption.sigterm_noticed() as stop:
        assert not stop.is_set()
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.wait(5)
    assert signal.getsignal(signal.SIGTERM) is before


def test_other_threads_leave_signals_alone():
    seen = []

    def use():
        with interruption.sigterm_noticed() as stop:
            seen.append(stop.is_set())

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert seen == [False]


def test_a_stall_ends_the_process_with_a_message_and_progress_does_not():
    code = (
        "import time\n"
        "from deeplab_tf.interruption import stall_watch\n"
        "with stall_watch(0.4) as alive:\n"
        "    for _ in range(4):\n"
        "        time.sleep(0.2); alive()\n"
        "    print('alive', flush=True)\n"
        "    time.sleep(30)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 1
    assert result.stdout == "alive\n"
    assert "no training step for 0.4 s" in result.stderr
