"""Runs SavedModels of export/."""

import pathlib
from collections.abc import Collection

import numpy as np
import tensorflow as tf
from tensorflow.python.saved_model import loader_impl

from deeplab_tf import files
from deeplab_tf.inference import graph_operations
from deeplab_tf.inference.runners import Runner
from deeplab_tf.runs import RUN_FILE

RUN_JSON = pathlib.PurePath("assets.extra", RUN_FILE)
_ALL, _LABELS = "serving_default", "labels"
# The signature that gives an output.
_SIGNATURES = {"labels": _LABELS, "probabilities": _ALL, "logits": "logits"}


class SavedModelRunner(Runner):
    """A SavedModel's folder, loaded; a `Runner`."""

    names = tuple(_SIGNATURES)

    def __init__(self, path: pathlib.Path) -> None:
        definition = loader_impl.parse_saved_model(str(path))
        graph_operations.require_saved_model(definition, str(path))
        self._loaded = tf.saved_model.load(files.without_wildcards(str(path)))
        self._signatures = self._loaded.signatures
        self.run = files.read_json(path / RUN_JSON, "export the run anew.")
        _, arguments = self._signatures["serving_default"].structured_input_signature
        self._input = arguments["pictures"]
        self.channels = self._input.shape[-1]

    def __call__(
        self, images: np.ndarray, names: Collection[str]
    ) -> dict[str, np.ndarray]:
        """As in `Runner`; logits come of a signature of their own, of one scale."""
        outputs: dict[str, tf.Tensor] = {}
        for signature in self._needed(names):
            outputs |= self._signatures[signature](pictures=self._prepare(images))
        return {name: outputs[name].numpy() for name in names}

    def infer(self, images: np.ndarray) -> object:
        """As in `Runner`."""
        (signature,) = self._needed({"labels"})
        return self._signatures[signature](pictures=self._prepare(images))

    def _needed(self, names: Collection[str]) -> set[str]:
        """The signatures that give these outputs, as few as there need be."""
        needed = {_SIGNATURES[name] for name in names}
        # Exports of earlier versions give labels with the probabilities alone.
        if _LABELS in needed and (_ALL in needed or _LABELS not in self._signatures):
            needed = needed - {_LABELS} | {_ALL}
        return needed

    def _prepare(self, images: np.ndarray) -> tf.Tensor:
        """The images in the input's type."""
        whole = np.round(images) if self._input.dtype == tf.uint8 else images
        return tf.constant(whole.astype(self._input.dtype.as_numpy_dtype))
