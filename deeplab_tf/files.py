"""Files: output that appears whole or not at all, input within bounds."""

import atexit
import contextlib
import errno
import functools
import json
import os
import pathlib
import re
import shutil
import socket
import stat
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

from deeplab_tf.errors import UserError

Json = dict[str, Any]  # an object of JSON
Values = Mapping[str, Any]  # values by their names, to be read only

MAX_BYTES = 1 << 30  # of one picture, label or list: what a process can hold
MAX_UNPACKED = 1 << 32  # bytes that an archive may unpack to
CACHE_VARIABLE = "DEEPLAB_TF_CACHE"
_FORBIDDEN = '/\\*?[]<>:"|'  # they part paths, or mean something to glob or to HTML
_LONGEST_NAME = 150  # bytes; what is added to it still fits into a file name's 255
_DEEPEST = 64  # levels of a JSON file; ours have five
_INT64_DIGITS = 19


def check_name(name: str, what: str) -> None:
    """Checks a name that becomes the name of a file or folder, or a part of one.

    Args:
      name: as a split's or a shard's, that came from a flag or a file.
      what: is named, for the message.

    Raises:
      UserError: the name could lead out of its folder, or means something else than
        itself to a shell, to glob or on another system.
    """
    fits = name.isprintable() and len(name.encode()) <= _LONGEST_NAME
    plain = name.strip() == name and not set(name) & set(_FORBIDDEN)
    if not (name and fits and plain and name[0] not in ".-" and name[-1] != "."):
        shown = name if len(name) <= _LONGEST_NAME else name[:_LONGEST_NAME] + "..."
        raise UserError(
            f"{what} {shown!r} cannot be a file name here; allowed are 1 to "
            f"{_LONGEST_NAME} bytes, printable, without any of {_FORBIDDEN} and "
            "without a dot, minus or space at an end."
        )


@functools.cache
def without_wildcards(folder: str) -> str:
    """A way to the folder whose letters mean nothing to glob; made where missing.

    TensorFlow takes paths of checkpoints for patterns: in a folder called `[exp] 1` it
    finds nothing. It is handed a link from a temporary folder instead.
    """
    os.makedirs(folder, exist_ok=True)
    if not set(folder) & set("*?[]\\"):
        return folder
    home = tempfile.mkdtemp(prefix="deeplab_tf-")
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    link = os.path.join(home, "folder")
    os.symlink(os.path.abspath(folder), link)
    return link


def cache() -> pathlib.Path:
    """The folder of what was downloaded: `CACHE_VARIABLE`'s, or ~/.cache/deeplab_tf."""
    default = pathlib.Path.home() / ".cache" / "deeplab_tf"
    return pathlib.Path(os.environ.get(CACHE_VARIABLE) or default)


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
    """Yields a temporary path beside `path`; renames it to `path` if all went well.

    The block may write a file or a folder there. After an error nothing is left under
    the temporary name and what stood at `path` is as it was.

    Raises:
      UserError: the disk is full, or the file cannot be written for another reason.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path.parent)
    # The suffix stays last, for writers that choose the format by it.
    writer = f"{_host()}-{os.getpid()}"
    temporary = path.with_name(f".{path.stem}.writing-{writer}{path.suffix}")
    try:
        yield temporary
        if path.is_dir():
            shutil.rmtree(path)
        os.replace(temporary, path)
    except OSError as error:
        if not _is_below(error.filename, temporary):
            raise
        raise UserError(
            f"{path}: cannot be written ({error.strerror or error}); make space or "
            "mend the folder, and try again."
        ) from None
    finally:
        with contextlib.suppress(OSError):  # of a folder where nothing can be changed
            shutil.rmtree(temporary) if temporary.is_dir() else temporary.unlink()


def check_writable(folder: str | os.PathLike[str], remedy: str) -> None:
    """Checks that files can be made in a folder; makes it where missing.

    For the beginning of what takes long and writes at its end.

    Raises:
      UserError: they cannot; the message ends in `remedy`.
    """
    try:
        os.makedirs(folder, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be written ({error.strerror or error}); {remedy}"
        ) from None


@functools.cache
def _host() -> str:
    return socket.gethostname()[:32]


@functools.cache  # once a process and folder: there may be thousands of files
def _remove_leftovers(folder: pathlib.Path) -> None:
    """Removes what processes of this machine that were killed left half written."""
    leftover = re.compile(rf"\..*\.writing-{re.escape(_host())}-(\d+)(\..*)?")
    with contextlib.suppress(OSError):  # who may not remove may not write either
        # Names alone: a folder of many pictures is looked through for each of them.
        for name in os.listdir(folder):
            match = leftover.fullmatch(name)
            if match and not _is_alive(int(match[1])):
                path = folder / name
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError as error:
        return error.errno != errno.ESRCH
    return True


def _is_below(name: object, folder: pathlib.Path) -> bool:
    """Also true without a name: a full disk does not say which file it was."""
    if name is None:
        return True
    return isinstance(name, str) and pathlib.Path(name).is_relative_to(folder)


def write_json(path: str | os.PathLike[str], value: object) -> None:
    """Writes `value` as indented JSON, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def read_bytes(path: str | os.PathLike[str], max_bytes: int = MAX_BYTES) -> bytes:
    """Reads a regular file: no pipe that never speaks, no device that never ends.

    Raises:
      OSError: as open() does; and where it is no regular file or larger than that.
    """
    # Without O_NONBLOCK, opening a pipe would wait for somebody who writes.
    with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "is no regular file", os.fspath(path))
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        text = f"has more than {max_bytes:,} bytes"
        raise OSError(errno.EFBIG, text, os.fspath(path))
    return content


def read_json(path: str | os.PathLike[str], remedy: str) -> Json:
    """Reads a JSON file that holds an object: the one guard of all that is settings.

    Raises:
      UserError: as `read_json_value`, or it holds something else.
    """
    value = read_json_value(path, remedy)
    if not isinstance(value, dict):
        raise UserError(
            f"{path}: cannot be read as JSON (it must hold an object in braces); "
            f"{remedy}"
        )
    return value


def read_json_value(path: str | os.PathLike[str], remedy: str) -> Any:
    """Reads a JSON file.

    Raises:
      UserError: the file is missing or no such JSON, nested too deep, or holds what
        no text or no 64-bit number can be; the message ends in `remedy`.
    """
    try:
        text = read_bytes(path).decode("utf-8-sig")
        value = json.loads(text, parse_int=_int64)
        _check_depth(value)
        if "\\ud" in text.lower():  # half a pair is no text, and fails when written
            json.dumps(value, ensure_ascii=False).encode()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; {remedy}") from None
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"{path}: cannot be read as JSON ({reason}); {remedy}"
        ) from None
    return value


def _int64(digits: str) -> int:
    if len(digits.lstrip("-")) > _INT64_DIGITS:
        raise ValueError(f"a number of {len(digits)} digits")
    return int(digits)


def _check_depth(value: Any) -> None:
    """Else what shows, compares or copies it runs out of stack."""
    level: list[Any] = [[value]]
    for _ in range(_DEEPEST + 1):
        level = [
            child
            for item in level
            for child in (item.values() if isinstance(item, dict) else item)
            if isinstance(child, dict | list)
        ]
        if not level:
            return
    raise ValueError(f"nested more than {_DEEPEST} deep")


@contextlib.contextmanager
def open_zip(path: str | os.PathLike[str]) -> Iterator[zipfile.ZipFile]:
    """Opens a zip file, once its members are known to be harmless.

    Raises:
      UserError: a member's name leads out of a folder, a member is a link, or they
        unpack to more than `MAX_UNPACKED` bytes.
      OSError, zipfile.BadZipFile: the file is missing or is no zip file.
    """
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        for member in members:
            require_inside(member.filename, path)
            if stat.S_ISLNK(member.external_attr >> 16):
                raise UserError(f"{path}: is refused: {member.filename!r} is a link.")
        # Reading a member ends at the size that is declared here.
        require_size(sum(member.file_size for member in members), path)
        yield archive


def require_inside(name: str, archive: str | os.PathLike[str]) -> None:
    """UserError for an archive's member that would lie outside the folder."""
    parts = pathlib.PureWindowsPath(name)  # knows / and \\ and drives
    if parts.drive or parts.root or ".." in parts.parts or "\0" in name:
        raise UserError(f"{archive}: is refused: {name!r} leads out of the folder.")


def require_size(size: int, archive: str | os.PathLike[str]) -> None:
    """UserError for an archive that unpacks to too many bytes."""
    if size > MAX_UNPACKED:
        raise UserError(
            f"{archive}: is refused: it unpacks to more than {MAX_UNPACKED:,} bytes."
        )
