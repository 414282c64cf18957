"""The network with the rounding of an int8 file."""
