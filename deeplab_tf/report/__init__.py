"""Pages: the report, the explorer, the data browser."""

import importlib
from typing import Any

__all__ = ["write"]


def __getattr__(name: str) -> Any:
    """`write` loads TensorFlow and matplotlib, so it waits until it is asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.writing"), name)
