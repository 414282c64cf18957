"""Runs .keras files."""

import json
import pathlib
from collections.abc import Collection

import keras
import numpy as np
import tensorflow as tf

from deeplab_tf import files
from deeplab_tf.inference.predictor import make_predictor
from deeplab_tf.inference.runners import Runner
from deeplab_tf.runs import RUN_FILE


class KerasRunner(Runner):
    """A .keras file with its model; a `Runner`."""

    names = ("logits",)

    def __init__(self, path: pathlib.Path) -> None:
        with files.open_zip(path) as archive:
            has_run = RUN_FILE in archive.namelist()
            self.run = json.loads(archive.read(RUN_FILE)) if has_run else {}
        model = keras.models.load_model(path, compile=False, safe_mode=True)
        self.model: keras.Model = model
        self._predict = make_predictor(model, frozen=True)
        self.channels = model.input_shape[-1]

    def __call__(
        self, images: np.ndarray, names: Collection[str]
    ) -> dict[str, np.ndarray]:
        """As in `Runner`."""
        logits = self.model(tf.cast(images, tf.float32), training=False)
        return {"logits": np.asarray(logits)}

    def infer(self, images: np.ndarray) -> object:
        """As in `Runner`."""
        return self._predict.labels(images)
