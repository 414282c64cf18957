"""DeepLabv3+ for TensorFlow 2 and Keras 3."""

import importlib.abc
import importlib.util
import sys
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
            importlib.import_module("deeplab_tf.layers")

        spec.loader.exec_module = load_and_register  # type: ignore[method-assign]
        return spec


if "keras" in sys.modules:
    importlib.import_module("deeplab_tf.layers")
else:
    sys.meta_path.insert(0, _RegisterWithKeras())
