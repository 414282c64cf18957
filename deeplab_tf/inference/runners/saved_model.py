"""Runs SavedModels of export/."""

import pathlib
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.saved_model import loader_impl

from deeplab_tf import files
from deeplab_tf.inference import graph_operations
from deeplab_tf.runs import RUN_FILE

RUN_JSON = pathlib.PurePath("assets.extra", RUN_FILE)


class SavedModelRunner:
    """A SavedModel's folder, loaded.

    Attributes:
      run: what run.json holds.
    """

    def __init__(self, path: pathlib.Path) -> None:
        definition = loader_impl.parse_saved_model(str(path))
        graph_operations.require_saved_model(definition, str(path))
        self._loaded = tf.saved_model.load(str(path))
        self._serve = self._loaded.signatures["serving_default"]
        self._logits = self._loaded.signatures["logits"]
        self.run: dict[str, Any] = files.read_json(
            path / RUN_JSON, "export the run anew."
        )

    def __call__(self, pictures: np.ndarray) -> dict[str, np.ndarray]:
        """uint8 [B, H, W, C] -> labels, probabilities and logits."""
        outputs = self._serve(pictures=tf.constant(pictures))
        outputs |= self._logits(pictures=tf.constant(pictures))
        return {name: value.numpy() for name, value in outputs.items()}

    def infer(self, pictures: np.ndarray) -> Any:
        """Runs it once as a server would, for timing."""
        return self._serve(pictures=tf.constant(pictures))
