"""One file a format of exported models: how it is run."""

from collections.abc import Collection
from typing import Protocol

import keras
import numpy as np

from deeplab_tf.files import Json

Size = tuple[int, int]


class Runner(Protocol):
    """An exported model, loaded by its runtime.

    Attributes:
      run: what run.json holds; empty in a file from elsewhere.
      names: of the outputs that it can give: "labels" [B, H, W]; "logits" and
        "probabilities", float32 [B, H, W, K].
      sizes: height, width of the images that it takes; empty: any.
      channels: of its images.
      model: the Keras model; None where the export is none.
    """

    run: Json
    names: Collection[str]
    sizes: tuple[Size, ...] = ()
    channels: int
    model: keras.Model | None = None

    def __call__(
        self, images: np.ndarray, names: Collection[str]
    ) -> dict[str, np.ndarray]:
        """Images [B, h, w, C] in 0..255 -> the outputs of these names, some of its own.

        The network runs once, also for several names, where one function of the export
        gives them all.
        """
        ...

    def infer(self, images: np.ndarray) -> object:
        """Runs it once as a server would, for timing."""
        ...
