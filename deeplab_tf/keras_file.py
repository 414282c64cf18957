"""Keras files (.keras): the network as it was trained, with run.json inside."""

import json
import pathlib
import zipfile
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from deeplab_tf.inference import make_predictor
from deeplab_tf.run import RUN_FILE, Run


def save(model: keras.Model, run: Run, path: pathlib.Path) -> None:
    """Writes a file that keras.models.load_model reads, and trains on."""
    model.save(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(RUN_FILE, json.dumps(run.to_dict(), indent=2))


class KerasRunner:
    """A .keras file with its model.

    Attributes:
      run: what run.json holds; empty in a file from elsewhere.
    """

    def __init__(self, path: pathlib.Path) -> None:
        with zipfile.ZipFile(path) as archive:
            has_run = RUN_FILE in archive.namelist()
            self.run: dict[str, Any] = (
                json.loads(archive.read(RUN_FILE)) if has_run else {}
            )
        self._model = keras.models.load_model(path, compile=False)
        self._predict = make_predictor(self._model, frozen=True)

    def __call__(self, pictures: np.ndarray) -> dict[str, np.ndarray]:
        """uint8 [B, H, W, C] -> logits."""
        logits = self._model(tf.cast(pictures, tf.float32), training=False)
        return {"logits": np.asarray(logits)}

    @property
    def infer(self) -> Callable[[np.ndarray], Any]:
        """Runs it for the labels alone, for timing."""
        return self._predict.labels
