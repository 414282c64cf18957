"""Runs .onnx files; needs the extra [onnx]."""

import json
import pathlib
from collections.abc import Collection

import numpy as np

from deeplab_tf.errors import UserError
from deeplab_tf.inference.runners import Runner
from deeplab_tf.runs import RUN_FILE

EXTRA = "ONNX needs more packages: pip install 'deeplab-tf[onnx]' (or '.[onnx]')."


class ONNXRunner(Runner):
    """An .onnx file in ONNX Runtime; a `Runner`."""

    def __init__(self, path: pathlib.Path, num_threads: int | None = None) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise UserError(EXTRA) from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = num_threads or 0
        self._session = onnxruntime.InferenceSession(str(path), options)
        metadata = self._session.get_modelmeta().custom_metadata_map
        self.run = json.loads(metadata.get(RUN_FILE, "{}"))
        self.names = [output.name for output in self._session.get_outputs()]
        (self._input,) = self._session.get_inputs()
        self.channels = self._input.shape[-1]

    def __call__(
        self, images: np.ndarray, names: Collection[str]
    ) -> dict[str, np.ndarray]:
        """As in `Runner`."""
        names = list(names)
        outputs = self._session.run(names, {self._input.name: self._prepare(images)})
        return dict(zip(names, outputs, strict=True))

    def infer(self, images: np.ndarray) -> object:
        """As in `Runner`."""
        return self(images, ["labels"])

    def _prepare(self, images: np.ndarray) -> np.ndarray:
        """The images in the input's type."""
        if "uint8" in self._input.type:
            return np.round(images).astype(np.uint8)
        return images.astype(np.float32)
