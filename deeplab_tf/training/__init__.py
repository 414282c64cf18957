"""The training loop and its parts."""

from deeplab_tf.training.loop import train

__all__ = ["train"]
