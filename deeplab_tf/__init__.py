"""DeepLabv3+ for TensorFlow 2 and Keras 3."""

from typing import Any

__version__ = "0.1.0"

_FROM_MODEL = ("DeepLabV3Plus", "build_model")  # loaded when first asked for


def __getattr__(name: str) -> Any:
    """Importing this package loads no TensorFlow; asking for a model does."""
    if name not in _FROM_MODEL:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from deeplab_tf import model

    return getattr(model, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_FROM_MODEL])
