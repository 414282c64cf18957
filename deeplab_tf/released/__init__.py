"""The models that were released for TensorFlow 1."""
