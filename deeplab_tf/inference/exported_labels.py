"""Lets an exported model be evaluated and drawn like the run's own."""

from typing import Any

import numpy as np

from deeplab_tf.inference import exported
from deeplab_tf.inference.exported import Artefact


class ArtefactLabeller:
    """An artefact as an `inference.Labeller`; pictures of other sizes are fitted."""

    def __init__(self, opened: Artefact) -> None:
        self._artefact = opened

    def labels(self, pictures: Any) -> np.ndarray:
        """Pictures [B, H, W, C] -> uint8 [B, H, W]."""
        return np.stack(
            [self._artefact.labels(p) for p in np.asarray(pictures)]
        ).astype(np.uint8)

    def labels_and_confidence(
        self, pictures: Any
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """The labels; confidence where the artefact takes the size and gives scores."""
        pairs = [self._one(picture) for picture in np.asarray(pictures)]
        labels = np.stack([labels for labels, _ in pairs])
        confidences = [confidence for _, confidence in pairs if confidence is not None]
        return labels, np.stack(confidences) if len(confidences) == len(pairs) else None

    def _one(self, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        size = picture.shape[:2]
        fitted, box = self._artefact.fit(picture)
        outputs = self._artefact.call(fitted)
        labels = exported.to_labels(outputs)[0][box]
        scores = _probabilities(outputs)
        restored = exported.restore(labels, size).astype(np.uint8)
        if scores is None or labels.shape != size:
            return restored, None
        return restored, scores[0][box].max(-1)


def _probabilities(outputs: exported.Outputs) -> np.ndarray | None:
    """Probabilities, or the softmax of the logits; None where there are only labels."""
    if "probabilities" in outputs:
        return np.asarray(outputs["probabilities"])
    if "logits" not in outputs:
        return None
    logits = np.asarray(outputs["logits"], np.float32)
    exponentials = np.exp(logits - logits.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)
