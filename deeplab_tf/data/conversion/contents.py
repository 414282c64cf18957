"""What lies in a source folder: its files by path, read once for all who look."""

import codecs
import collections
import csv
import dataclasses
import functools
import io
import itertools
import os
import pathlib
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from deeplab_tf.errors import UserError
from deeplab_tf.files import Json, read_json_value

# fmt: off
IMAGE_ENDINGS = (
    ".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".jp2",
    ".mpo", ".npy", ".jfif", ".ppm", ".pgm",
)
# fmt: on
_CELL_AT_MOST = 1 << 24  # characters; run lengths of a large mask are long
_JSON_LOOKS = 3
_SAME_FOLDER_AT_MOST = 8  # links may show one folder several times, not without end


@dataclasses.dataclass(frozen=True)
class Contents:
    """The files below a folder.

    Attributes:
      root: the folder.
      files: paths below it with slashes, sorted; hidden ones are left out.
      empty: folders that hold nothing.
    """

    root: pathlib.Path
    files: tuple[str, ...]
    empty: tuple[str, ...] = ()

    @functools.cached_property
    def folders(self) -> frozenset[str]:
        """Every folder that holds a file, directly or below."""
        return frozenset(
            parent.as_posix()
            for path in self.files
            for parent in pathlib.PurePosixPath(path).parents
        )

    @functools.cached_property
    def images(self) -> tuple[str, ...]:
        """The files that are pictures or masks by their ending."""
        return tuple(path for path in self.files if is_image(path))

    @functools.cached_property
    def images_by_name(self) -> dict[str, list[str]]:
        """Image paths by lower-case file name, with ending and without."""
        found: dict[str, list[str]] = {}
        for path in self.images:
            name = path.rsplit("/", 1)[-1].lower()
            for key in {name, name.rsplit(".", 1)[0]}:
                found.setdefault(key, []).append(path)
        return found

    def named(self, pattern: str) -> list[str]:
        """Files whose name (without folders) matches the expression, whatever case."""
        expression = re.compile(pattern, re.IGNORECASE)
        return [p for p in self.files if expression.fullmatch(p.rsplit("/", 1)[-1])]

    @functools.cached_property
    def some_json(self) -> Json:
        """The first few JSON files of every folder, to tell by what they are."""
        counts: collections.Counter[str] = collections.Counter()
        found = {}
        for path in self.files:
            folder = os.path.dirname(path)
            if path.lower().endswith(".json") and counts[folder] < _JSON_LOOKS:
                counts[folder] += 1
                found[path] = self.json(path)
        return found

    def has_folders(self, *folders: str) -> bool:
        """Whether each of these holds files."""
        return self.folders.issuperset(folders)

    def find_image(self, name: str, near: str = "") -> str | None:
        """The image that a label file speaks of.

        Args:
          name: as it is written there: a path of any machine, or a bare name with or
            without its ending.
          near: folder of the file that names it.

        Returns:
          The image whose path has most in common with the name, then with `near`.
        """
        parts = name.replace("\\", "/").split("/")
        bare = parts[-1].lower()
        found = self.images_by_name.get(bare)
        if not found and is_image(bare):  # perhaps stored in another format since
            found = self.images_by_name.get(os.path.splitext(bare)[0])
        if not found:
            return None
        wanted = [p.lower() for p in parts]

        def nearness(path: str) -> tuple[int, int, int]:
            own = path.lower().split("/")
            tail = in_common(wanted[::-1], own[::-1])
            head = in_common(near.lower().split("/"), own)
            return -tail, -head, len(own)

        return min(found, key=nearness)

    def path(self, name: str) -> str:
        """The whole path of one of the files."""
        return str(self.root / name)

    def json(self, name: str) -> Any:
        """A JSON file; None where it is none."""
        path = self.root / name
        return _json(path, path.stat().st_mtime_ns)


def in_common(*rows: Sequence[str]) -> int:
    """With how many equal entries all begin."""
    columns = zip(*rows, strict=False)
    return sum(1 for _ in itertools.takewhile(lambda c: len(set(c)) == 1, columns))


def is_image(path: str) -> bool:
    """Whether a file is a picture or a mask by its ending."""
    return os.path.splitext(path)[1].lower() in IMAGE_ENDINGS


@functools.lru_cache(maxsize=8)  # they may hold whole pictures
def _json(path: pathlib.Path, changed: int) -> Any:
    del changed  # a part of the key
    try:
        return read_json_value(path, "")
    except UserError:
        return None


def read_contents(root: pathlib.Path) -> Contents:
    """Lists a folder.

    Raises:
      UserError: there is no such folder, or a name in it is not UTF-8.
    """
    if not root.is_dir():
        raise UserError(f"--source_dir={root}: there is no such folder.")
    found = sorted(walk(root))
    for name in found:
        if not _is_utf8(name):
            coding = sys.getfilesystemencoding().upper()
            other = "" if coding == "UTF-8" else ", or set PYTHONUTF8=1"
            raise UserError(
                f"{root}: the name {os.fsencode(name)!r} is not {coding}; rename it"
                f"{other}."
            )
    empty = tuple(name.rstrip("/") for name in found if name.endswith("/"))
    files = tuple(name for name in found if not name.endswith("/"))
    return Contents(root, files, empty)


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def walk(root: pathlib.Path) -> Iterator[str]:
    """Yields the files below a folder by path; links to folders are followed.

    What is hidden or no regular file is passed over. A folder that a link shows inside
    itself is not entered again. One that holds nothing is yielded with a slash.
    """
    seen: collections.Counter[str] = collections.Counter()
    pending: list[tuple[str, frozenset[str]]] = [("", frozenset())]
    while pending:
        below, above = pending.pop()
        real = os.path.realpath(root / below)
        seen[real] += 1
        if real in above or seen[real] > _SAME_FOLDER_AT_MOST:
            continue
        try:
            entries = list(os.scandir(root / below))
        except OSError as error:
            raise UserError(f"{error.filename}: {error.strerror}.") from None
        if below and not entries:
            yield f"{below}/"
        for entry in entries:
            if entry.name.startswith(".") or entry.name == "__MACOSX":
                continue
            name = f"{below}/{entry.name}" if below else entry.name
            if entry.is_dir():
                pending.append((name, above | {real}))
            elif entry.is_file():
                yield name


def read_lines(path: pathlib.Path) -> list[str]:
    """The lines of a text file that are not empty, stripped.

    A byte order mark and any line ends are understood; UTF-16 by its mark.

    Raises:
      UserError: the file cannot be read, or is not UTF-8.
    """
    return [line for line in map(str.strip, read_text(path).splitlines()) if line]


def read_text(path: pathlib.Path) -> str:
    """A text file's content; see `read_lines`."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file.") from None
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}.") from None
    wide = data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    try:
        text = data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise UserError(
            f"{path}, line {line}: is not UTF-8; save the file as UTF-8."
        ) from None
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise UserError(f"{path}, line {line}: holds a NUL character.")
    return text


def read_table(path: pathlib.Path) -> tuple[list[str], list[dict[str, str]]]:
    """A table with a head line: CSV with commas, semicolons or tabs.

    Returns:
      Names of the columns, lower case and stripped; and the rows, with stripped cells,
      "" where a row is short.

    Raises:
      UserError: the file cannot be read as a table.
    """
    text = read_text(path)
    head = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=head.count)
    limit = csv.field_size_limit(_CELL_AT_MOST)
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    except csv.Error as error:
        raise UserError(f"{path}: cannot be read as a table ({error}).") from None
    finally:
        csv.field_size_limit(limit)
    lines = [line for line in lines if any(cell.strip() for cell in line)]
    if not lines:
        raise UserError(f"{path}: is empty.")
    columns = [cell.strip().lower() for cell in lines[0]]
    if len(set(columns)) < len(columns):
        raise UserError(f"{path}: two columns have one name: {', '.join(columns)}.")
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        if len(line) > len(columns):
            raise UserError(
                f"{path}, row {number}: has {len(line)} cells, the head line has "
                f"{len(columns)}."
            )
        cells = [cell.strip() for cell in line] + [""] * (len(columns) - len(line))
        rows.append(dict(zip(columns, cells, strict=True)))
    return columns, rows
