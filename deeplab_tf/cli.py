"""What every command shares: its frame, its quiet start, its progress bars."""

import contextlib
import ctypes
import io
import json
import os
import select
import signal
import sys
import tempfile
import typing
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from absl import app, flags, logging
from tqdm import tqdm

from deeplab_tf import flag_help
from deeplab_tf.errors import UserError

FLAGS = flags.FLAGS
T = TypeVar("T")

_PR_SET_PDEATHSIG = 1  # of <sys/prctl.h>
_HELP = ("h", "?", "help", "helpshort")

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

    Whatever goes wrong ends in one line on standard error and exit code 1: a
    UserError, a flag that is not one, a full disk, a file that cannot be read, and
    also what nobody foresaw, whose traceback --verbose shows.

    Args:
      main: the command.
      doc: what --help shows above the flags, where it is not the main module's.
    """
    doc = doc or sys.modules["__main__"].__doc__ or ""
    open_standard_streams()
    flags.DEFINE_bool("verbose", False, "Show the traceback of an unexpected error.")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # TensorFlow tells of each checkpoint it writes; -v=0 shows that.
    logging.set_verbosity(logging.WARNING)
    app.run(lambda _: guard(main), flags_parser=lambda argv: _parse(argv, doc))


def run_passing_on(main: Callable[[list[str]], int | None]) -> None:
    """Runs a command line whose arguments after -- are for another command."""
    split = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    passed_on = sys.argv[split + 1 :]
    sys.argv = sys.argv[:split]
    run(lambda: main(passed_on))


def ends_with(parent: int) -> Callable[[], None]:
    """For subprocess's preexec_fn: the child gets SIGTERM when the parent ends.

    However that ends; on Linux alone.
    """

    def ask() -> None:
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent:  # it was faster
                os._exit(1)

    return ask


def define_run_dir(help_text: str = "The run folder.") -> None:
    """Defines --run_dir, which the command cannot do without."""
    flags.DEFINE_string("run_dir", None, help_text, required=True)


def import_tensorflow() -> None:
    """Imports TensorFlow and finds its devices without the usual ten lines.

    Whatever else is printed meanwhile is printed afterwards. What the user set for
    all Keras programs of the machine (keras.json, KERAS_BACKEND) holds for the others:
    a run is the same everywhere.

    Raises:
      UserError: TF_CONFIG or keras.json is none.
    """
    _check_tf_config(os.environ.get("TF_CONFIG"))
    os.environ["KERAS_BACKEND"] = "tensorflow"
    with filtered_stderr():
        try:
            import keras  # before TensorFlow, which hides why Keras does not start
        except (ValueError, TypeError, AttributeError) as error:
            raise UserError(
                "Keras does not start; mend or remove keras.json in ~/.keras or "
                f"KERAS_HOME ({error})."
            ) from None
        import tensorflow as tf

        keras.config.set_floatx("float32")
        keras.config.set_epsilon(1e-7)
        keras.config.set_image_data_format("channels_last")
        keras.config.set_dtype_policy("float32")
        tf.config.list_physical_devices()


def _check_tf_config(text: str | None) -> None:
    """UserError for a TF_CONFIG that TensorFlow would stumble over."""
    try:
        given = json.loads(text or "{}")
        jobs = given.get("cluster", {}).values()
        index = given.get("task", {}).get("index", 0)
        good = all(isinstance(job, list | dict) for job in jobs)
        good &= isinstance(index, int) and index >= 0
    except (ValueError, AttributeError, RecursionError):
        good = False
    if not good:
        raise UserError(
            'TF_CONFIG must be JSON as {"cluster": {"worker": ["host:port", ...]}, '
            '"task": {"type": "worker", "index": 0}}, or not be set; received '
            f"{text!r:.200}."
        )


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


def _parse(argv: list[str], doc: str) -> list[str]:
    given = argv[: argv.index("--")] if "--" in argv else argv
    names = {text.lstrip("-") for text in given[1:] if text.startswith("-")}
    if "helpfull" in names or names.intersection(_HELP):
        full = "helpfull" in names
        raise SystemExit(guard(lambda: print(flag_help.write(doc, full=full))))
    try:
        left = FLAGS(argv)
    except flags.Error as error:
        stop(" ".join(str(error).split()))
    if len(left) > 1:
        stop(
            f"unexpected argument {left[1]!r}; write --name=value without spaces "
            "(--help lists the flags)."
        )
    return left


def guard(main: Callable[[], int | None]) -> int | None:
    """Runs `main()`; what goes wrong becomes a line and an exit code, as in `run`."""
    try:
        result = main()
        _flush_output()
        return result
    except UserError as error:
        stop(str(error), error.exit_code)
    except KeyboardInterrupt:
        stop("interrupted.", code=130)
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _is_unread():
            _end_unread()
        if FLAGS.is_parsed() and FLAGS.verbose:
            raise
        if isinstance(error, OSError):
            stop(f"{error}; --verbose shows where.")
        stop(
            f"unexpected {type(error).__name__}: {error}; --verbose shows where. If "
            "no input of yours explains it, please report it."
        )


def _flush_output() -> None:
    """Notices a full disk before the exit code says that all is well."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, "standard output") from None


def _is_unread() -> bool:
    """Whether standard output or error is a pipe whose reader is gone."""
    poll = select.poll()
    poll.register(sys.stdout, 0)
    poll.register(sys.stderr, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _end_unread() -> typing.NoReturn:
    """Ends without a word, as `cat` before `head`; what is in the buffers is lost."""
    for number in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), number)
    raise SystemExit(141)  # as a shell tells of SIGPIPE


def open_standard_streams() -> None:
    """Where the caller closed one, it is /dev/null.

    Else the next file to be opened would take its number, and get its messages.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w" if number else "r"))
    for stream in (sys.stdout, sys.stderr):
        # Names of files may hold what the terminal's encoding cannot say.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def stop(message: str, code: int = 1) -> typing.NoReturn:
    """Prints the message as one line; nothing is left to fail after it."""
    line = " ".join(message.replace("\0", "\\0").split())
    for stream in (sys.stderr, sys.stdout):
        try:
            if stream is sys.stderr:
                print(f"error: {line:.4000}", file=stream)
            stream.flush()
        except OSError:  # full, or nobody listens
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    raise SystemExit(code)
