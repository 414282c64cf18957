"""What every command shares: its frame, its quiet start, its progress bars."""

import contextlib
import os
import sys
import tempfile
import typing
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from absl import app, flags, logging
from tqdm import tqdm

from deeplab_tf.errors import UserError

FLAGS = flags.FLAGS
T = TypeVar("T")

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


def run(main: Callable[[], int | None], doc: str | None = None) -> None:
    """Runs a command line: `main()` after the flags are parsed, then exits.

    A UserError, a flag that is not one, a full disk or a file that cannot be read ends
    in one line on standard error and exit code 1.

    Args:
      main: the command.
      doc: what --help shows above the flags, where it is not the main module's.
    """
    if doc is not None:
        sys.modules["__main__"].__doc__ = doc
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # TensorFlow tells of each checkpoint it writes; -v=0 shows that.
    logging.set_verbosity(logging.WARNING)
    app.run(lambda _: _guard(main), flags_parser=_parse)


def define_run_dir(help_text: str = "The run folder.") -> None:
    """Defines --run_dir, which the command cannot do without."""
    flags.DEFINE_string("run_dir", None, help_text, required=True)


def numbers(values: list[str], name: str) -> list[float]:
    """The positive numbers of a list flag.

    Raises:
      UserError: the list is empty or an entry is no positive number.
    """
    try:
        parsed = [float(value) for value in values]
    except ValueError:
        parsed = []
    if not parsed or min(parsed) <= 0:
        raise UserError(
            f"--{name} must be positive numbers, as 0.5,1.0; received "
            f"{','.join(values)!r}."
        )
    return parsed


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


def interval() -> float:
    """Seconds between two states of a bar: ten a second on a screen, few in a file."""
    return 0.1 if sys.stderr.isatty() else 30.0


def bar(
    items: Iterable[T], title: str, total: int | None = None, unit: str = "img"
) -> Iterable[T]:
    """The items behind a bar with rate and time left, which vanishes at the end."""
    return tqdm(items, title, total, unit=unit, leave=False, mininterval=interval())


def _parse(argv: list[str]) -> list[str]:
    # absl shows under --help the flags of the main module only, known as argv[0].
    for module, defined in FLAGS.flags_by_module_dict().items():
        if module.startswith("deeplab_tf."):
            for flag in defined:
                FLAGS.register_key_flag_for_module(argv[0], flag)
    try:
        left = FLAGS(argv)
    except flags.Error as error:
        _stop(" ".join(str(error).split()))
    if len(left) > 1:
        _stop(
            f"unexpected argument {left[1]!r}; write --name=value without spaces "
            "(--help lists the flags)."
        )
    return left


def _guard(main: Callable[[], int | None]) -> int | None:
    try:
        return main()
    except UserError as error:
        _stop(str(error), error.exit_code)
    except OSError as error:
        _stop(str(error))
    except KeyboardInterrupt:
        _stop("interrupted.", code=130)


def _stop(message: str, code: int = 1) -> typing.NoReturn:
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(code)
