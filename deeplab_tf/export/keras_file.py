"""Keras files (.keras): the network as it was trained, with run.json inside."""

import json
import pathlib
import zipfile

import keras

from deeplab_tf.runs import RUN_FILE, Run


def save(model: keras.Model, run: Run, path: pathlib.Path) -> None:
    """Writes a file that keras.models.load_model reads, and trains on."""
    model.save(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(RUN_FILE, json.dumps(run.to_dict(), indent=2))
