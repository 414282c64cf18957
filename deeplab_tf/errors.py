"""The one exception that a user's mistake raises."""

import difflib
import re
from collections.abc import Iterable

_ADDRESS = re.compile(r" at 0x[0-9a-f]+(?=>)")
_LIST_AT_MOST = 20  # beyond it a near match says more than the whole list


class UserError(ValueError):
    """Something the user can mend: bad flag, file, label, run folder.

    Its message is one line that says what was wrong, what is allowed and what was
    received, and names the file where there is one. Command lines print it without
    a traceback and exit with code 1.
    """

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


def printable(text: str) -> str:
    """The text on one line, the same each time: a stranger's names are escaped.

    Libraries put objects into their messages; where those lie in memory says nothing.
    """
    folded = _ADDRESS.sub("", " ".join(text.splitlines()))
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in folded
    )


def unknown(what: str, name: object, allowed: Iterable[str]) -> UserError:
    """The error for a name that is not in a table; suggests the nearest."""
    choices = sorted(allowed)
    near = difflib.get_close_matches(str(name), choices, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    if not near or len(choices) <= _LIST_AT_MOST:
        hint += f" Allowed: {', '.join(choices) or 'none'}."
    return UserError(f"unknown {what} {name!r}.{hint}")
