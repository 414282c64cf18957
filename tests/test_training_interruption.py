import os
import signal
import subprocess
import sys
import threading

import pytest
from conftest import ROOT

from deeplab_tf.training import interruption


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_noticed_and_the_old_handler_comes_back(number):
    before = signal.getsignal(number)
    with interruption.stop_noticed() as stop:
        assert not stop.number
        os.kill(os.getpid(), number)
        assert stop.number == number
    assert signal.getsignal(number) is before


def test_the_second_ctrl_c_ends_at_once():
    with interruption.stop_noticed():
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_other_threads_leave_signals_alone():
    seen = []

    def use():
        with interruption.stop_noticed() as stop:
            seen.append(bool(stop.number))

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert seen == [False]


def test_a_stall_ends_the_process_with_a_message_and_progress_does_not():
    code = (
        "import time\n"
        "from deeplab_tf.training.interruption import stall_watch\n"
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
