"""How good a segmentation is."""

from deeplab_tf.evaluation.recording import evaluate_run

__all__ = ["evaluate_run"]
