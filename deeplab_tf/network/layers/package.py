"""What our layers share: the name under which Keras finds them in a .keras file."""

PACKAGE = "deeplab_tf"

Shape = tuple[int | None, ...]  # of a tensor, the batch first; None: not known
