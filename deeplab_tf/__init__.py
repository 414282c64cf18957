"""DeepLabv3+ for TensorFlow 2 and Keras 3."""

import importlib
from typing import Any

__version__ = "0.1.0"

# Loaded when first asked for, with the module that has them.
_LAZY = {
    "DeepLabV3Plus": "training.pretrained",
    "build_model": "network",
    "load": "released.loading",
}


def __getattr__(name: str) -> Any:
    """Importing this package loads no TensorFlow; asking for a model does."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])
