"""The folder of a page that runs the network: nothing in it asks another server.

Why LiteRT.js: it runs the .tflite file that is proven here, on XNNPACK like LiteRT on
a phone, and takes less than half of the time of onnxruntime-web.
"""

import json
import pathlib
import shutil

from deeplab_tf.errors import UserError
from deeplab_tf.export.web import npm
from deeplab_tf.inference import exported
from deeplab_tf.runs import Run

MODEL_FILE = "model.tflite"
MARK = "litert/index.js"  # by which the folder is known
_PAGE = pathlib.Path(__file__).with_name("page")
_VERSION = "2.5.3"
_CORE = (
    f"@litertjs/core@{_VERSION}",
    (
        "PlGmbMOq9WitX7FO0jhbdJw9GthatsyuCQXjTt/wJZo0FLaw48q4tz8IwqgqCIkviYGr9OFDL1kCnN4nzWoy"
        "JQ=="
    ),
)
_UTILS = (
    f"@litertjs/wasm-utils@{_VERSION}",
    (
        "4fJiw6tBQnIs+0jH/OQ16nYOiSl8/+zZnn5h2ul8aTKHi05sVqZW580Tmk78pC2kT39A9OYBVdFawteZ/sI1"
        "kQ=="
    ),
)
# With threads, for which the server must send two headers; without; and for browsers
# without relaxed SIMD. The runtime chooses.
_BUILDS = (
    "litert_wasm_threaded_internal",
    "litert_wasm_internal",
    "litert_wasm_compat_internal",
)
_CHANNELS = 3


def check(run: Run) -> None:
    """Raises UserError for a network that a page cannot show, or without its runtime.

    Said before the conversion, which takes long.
    """
    if run.info.channels != _CHANNELS:
        raise UserError(
            f"a page needs a network of {_CHANNELS} channels, which pictures and "
            f"cameras of a browser have; that of {run.path} takes {run.info.channels}."
        )
    _runtime()


def save(
    content: bytes,
    run: Run,
    path: pathlib.Path,
    *,
    size: exported.Size,
    quantize: str,
) -> None:
    """Writes the folder.

    Args:
      content: of a .tflite file that gives labels.
      run: the run, for the classes.
      path: the folder.
      size: height, width of the images that the file takes.
      quantize: its kind.

    Raises:
      UserError: the runtime cannot be fetched.
    """
    shutil.copytree(_PAGE, path)
    (path / MODEL_FILE).write_bytes(content)
    (path / "litert").mkdir()
    for name, part in _runtime().items():
        (path / "litert" / name).write_bytes(part)
    info = run.info
    classes = zip(info.class_names, info.colormap, strict=True)
    page = {
        "name": info.name,
        "classes": [{"name": name, "color": color} for name, color in classes],
        "size": size,
        # Whole numbers, as the padding of a uint8 image has everywhere.
        "fill": exported.border(run.to_dict(), _CHANNELS).astype(int).tolist(),
        "type": "uint8" if quantize == "int8" else "float32",
        "runtime": f"LiteRT.js {_VERSION}",
    }
    (path / "page.json").write_text(json.dumps(page, indent=2), encoding="utf-8")


def _runtime() -> dict[str, bytes]:
    """The files of LiteRT.js that a page needs, by their names beside it."""
    core, utils = npm.read(*_CORE), npm.read(*_UTILS)
    # Packages name each other; in a worker only addresses are understood.
    index = core["dist/index.js"].replace(
        b'"@litertjs/wasm-utils"', b'"./wasm-utils.js"'
    )
    builds = {
        f"{build}.{kind}": core[f"wasm/{build}.{kind}"]
        for build in _BUILDS
        for kind in ("js", "wasm")
    }
    return {
        "index.js": index,
        "wasm-utils.js": utils["dist/index.js"],
        "package.json": core["package.json"],
        **builds,
    }
