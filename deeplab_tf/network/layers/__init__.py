"""The layers that Keras lacks, and the blocks that networks are made of."""
