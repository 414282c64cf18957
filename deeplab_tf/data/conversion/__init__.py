"""What turns labelled pictures into shards: read, check, audit, write."""

import importlib
from typing import Any

_LAZY = {"convert": "run"}  # it knows the sources, which know this room


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
