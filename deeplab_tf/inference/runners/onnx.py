"""Runs .onnx files; needs the extra [onnx]."""

import json
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from deeplab_tf.errors import UserError
from deeplab_tf.runs import RUN_FILE

EXTRA = "ONNX needs more packages: pip install 'deeplab-tf[onnx]' (or '.[onnx]')."


class ONNXRunner:
    """An .onnx file in ONNX Runtime.

    Attributes:
      run: what run.json holds.
    """

    def __init__(self, path: pathlib.Path, num_threads: int | None = None) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise UserError(EXTRA) from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = num_threads or 0
        self._session = onnxruntime.InferenceSession(str(path), options)
        metadata = self._session.get_modelmeta().custom_metadata_map
        self.run: dict[str, Any] = json.loads(metadata.get(RUN_FILE, "{}"))
        self._names = [output.name for output in self._session.get_outputs()]

    def __call__(self, pictures: np.ndarray) -> dict[str, np.ndarray]:
        """uint8 [B, H, W, C] -> labels and logits."""
        outputs = self._session.run(self._names, {"pictures": pictures})
        return dict(zip(self._names, outputs, strict=True))

    @property
    def infer(self) -> Callable[[np.ndarray], Any]:
        """Runs it for the labels alone, for timing."""
        return lambda pictures: self._session.run(["labels"], {"pictures": pictures})
