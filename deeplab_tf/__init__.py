"""DeepLabv3+ for TensorFlow 2 and Keras 3."""

import importlib
import importlib.abc
import importlib.util
import sys
from typing import Any

__version__ = "0.1.0"

# Loaded when first asked for, with the module that has them.
_LAZY = {"DeepLabV3Plus": "model", "build_model": "model", "load": "segmenter"}


def __getattr__(name: str) -> Any:
    """Importing this package loads no TensorFlow; asking for a model does."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])


def _register_layers() -> None:
    for module in ("padding", "quantized_layers"):
        importlib.import_module(f"{__name__}.{module}")


class _RegisterWithKeras(importlib.abc.MetaPathFinder):
    """Registers our layers as soon as Keras is imported.

    A .keras file then loads without custom_objects, in whichever order a program
    imports the two, and a program that needs no Keras does not wait for it.
    """

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> Any:
        if fullname != "keras":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is None or spec.loader is None:
            return spec
        load = spec.loader.exec_module

        def load_and_register(module: Any) -> None:
            load(module)
            _register_layers()

        spec.loader.exec_module = load_and_register  # type: ignore[method-assign]
        return spec


if "keras" in sys.modules:
    _register_layers()
else:
    sys.meta_path.insert(0, _RegisterWithKeras())
