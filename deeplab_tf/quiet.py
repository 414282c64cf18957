"""Keeps what TensorFlow says of itself at start-up off the user's screen."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator

# TF_CPP_MIN_LOG_LEVEL does not reach what is said before logging starts.
_CHATTER = (
    b"absl::InitializeLog()",
    b"oneDNN custom operations are on",
    b"Could not find cuda drivers",
    b"failed call to cuInit: INTERNAL: CUDA error: Failed call to cuInit: UNKNOWN",
    b"This TensorFlow binary is optimized",
    b"To enable the following instructions",
    # LiteRT's converter and interpreter.
    b"fully_quantize: ",
    b"INFO: Created TensorFlow Lite XNNPACK delegate",
    b"INFO: Initialized TensorFlow Lite runtime",
)


def import_tensorflow() -> None:
    """Imports TensorFlow and finds its devices without the usual ten lines.

    Whatever else is printed meanwhile is printed afterwards.
    """
    with filtered_stderr():
        import tensorflow as tf

        tf.config.list_physical_devices()


@contextlib.contextmanager
def filtered_stderr() -> Iterator[None]:
    """Prints what is said meanwhile afterwards, without the usual chatter."""
    sys.stderr.flush()
    screen = os.dup(2)
    with tempfile.TemporaryFile() as kept:
        os.dup2(kept.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(screen, 2)
            os.close(screen)
            kept.seek(0)
            for line in kept:
                if not any(words in line for words in _CHATTER):
                    os.write(2, line)
