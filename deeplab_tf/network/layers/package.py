"""The name under which Keras finds our layers in a .keras file."""

PACKAGE = "deeplab_tf"
