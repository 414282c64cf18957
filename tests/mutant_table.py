"""The table of mutants: what is changed in the code, and which tests must notice.

An entry of tests/mutants/ROOM.txt is

  @ path of a file | tests, the cheapest first: a file, or file::test
  - old text, which occurs in that file exactly once
  + new text
  = why no test can notice, for an equivalent mutant

The head stands for all the entries up to the next one; an entry that begins without
"-" is a syntax error. Several lines of "-" or "+" are several lines of text. A blank
line ends an entry.
"""

import dataclasses
import hashlib
import pathlib

FOLDER = pathlib.Path(__file__).parent / "mutants"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mutant:
    """One change.

    Attributes:
      room: the file that lists it.
      path: of the file that is changed, from the top of the tree.
      tests: relative to tests/, in the order in which they run.
      old, new: the text before and after.
      reason: why it is equivalent; empty: it must be killed.
    """

    room: str
    path: str
    tests: tuple[str, ...]
    old: str
    new: str
    reason: str

    @property
    def key(self) -> str:
        """Names it in the results."""
        text = "\0".join((self.path, self.old, self.new))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def title(self) -> str:
        """A line for people."""
        old, new = (" ".join(text.split()) for text in (self.old, self.new))
        return f"{self.path}: {old} -> {new or 'nothing'}"

    def apply(self, text: str) -> str:
        """The file's text with the change.

        Raises:
          ValueError: the old text is not there exactly once.
        """
        if text.count(self.old) != 1:
            raise ValueError(f"{text.count(self.old)} times: {self.title}")
        return text.replace(self.old, self.new)


def load() -> list[Mutant]:
    """All entries, by room."""
    return [mutant for path in sorted(FOLDER.glob("*.txt")) for mutant in _parse(path)]


def _parse(path: pathlib.Path) -> list[Mutant]:
    found, head = [], ("", ())
    for block in path.read_text().strip().split("\n\n"):
        lines = block.split("\n")
        if lines[0].startswith("@ "):
            file, _, tests = lines.pop(0)[2:].partition("|")
            head = file.strip(), tuple(tests.split())
        parts = {
            sign: [line[2:] for line in lines if line[:1] == sign] for sign in "-+="
        }
        if sum(map(len, parts.values())) != len(lines):
            raise ValueError(f"{path}: no entry: {block}")
        if not lines:
            continue
        found.append(
            Mutant(
                room=path.stem,
                path=head[0],
                tests=head[1],
                old="\n".join(parts["-"]),
                new="\n".join(parts["+"]),
                reason=" ".join(parts["="]),
            )
        )
    return found
