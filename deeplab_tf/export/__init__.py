"""One file a format, each proven against Keras before it appears."""

from deeplab_tf.export.writing import write

__all__ = ["write"]
