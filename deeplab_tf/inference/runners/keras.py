"""Runs .keras files."""

import json
import pathlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from deeplab_tf import files
from deeplab_tf.inference.predictor import make_predictor
from deeplab_tf.runs import RUN_FILE


class KerasRunner:
    """A .keras file with its model.

    Attributes:
      run: what run.json holds; empty in a file from elsewhere.
    """

    def __init__(self, path: pathlib.Path) -> None:
        with files.open_zip(path) as archive:
            has_run = RUN_FILE in archive.namelist()
            self.run: dict[str, Any] = (
                json.loads(archive.read(RUN_FILE)) if has_run else {}
            )
        self._model = keras.models.load_model(path, compile=False, safe_mode=True)
        self._predict = make_predictor(self._model, frozen=True)

    def __call__(self, pictures: np.ndarray) -> dict[str, np.ndarray]:
        """uint8 [B, H, W, C] -> logits."""
        logits = self._model(tf.cast(pictures, tf.float32), training=False)
        return {"logits": np.asarray(logits)}

    @property
    def infer(self) -> Callable[[np.ndarray], Any]:
        """Runs it for the labels alone, for timing."""
        return self._predict.labels
