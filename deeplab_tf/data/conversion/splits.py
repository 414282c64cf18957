"""Names of splits, as folders, lists and tables spell them."""

import re
from collections.abc import Iterable

_SPELLINGS = {
    "train": ("train", "training", "trn"),
    "val": ("val", "valid", "validation", "dev", "eval"),
    "test": ("test", "testing", "tst"),
}
_USUAL = tuple(_SPELLINGS)
_BY_WORD = {word: split for split, words in _SPELLINGS.items() for word in words}


def split_named(word: str) -> str | None:
    """The split that a word means, as "valid" means val; None: none of the usual."""
    return _BY_WORD.get(word.lower())


def usual_name(split: str) -> str:
    """The usual name of a split, where it has one."""
    return split_named(split) or split


def split_in(name: str) -> str | None:
    """The split in a file's name, as val in instances_val2017; None: none, or two."""
    words = re.split(r"[^a-z]+", name.lower())
    found = {split_named(word) for word in words} - {None}
    return found.pop() if len(found) == 1 else None


def in_usual_order(splits: Iterable[str]) -> list[str]:
    """Train, val, test, then others by name."""
    place = {split: number for number, split in enumerate(_USUAL)}
    return sorted(set(splits), key=lambda split: (place.get(split, len(place)), split))
