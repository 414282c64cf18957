"""Progress bars that a log file can bear."""

import sys
from collections.abc import Iterable
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")


def interval() -> float:
    """Seconds between two states of a bar: ten a second on a screen, few in a file."""
    return 0.1 if sys.stderr.isatty() else 30.0


def bar(
    items: Iterable[T], title: str, total: int | None = None, unit: str = "img"
) -> Iterable[T]:
    """The items behind a bar with rate and time left, which vanishes at the end."""
    return tqdm(items, title, total, unit=unit, leave=False, mininterval=interval())
