"""DeepLabv3+ as the paper draws it (figure 2): encoder, context, decoder.

Importing this package makes Keras find our layers in a .keras file.
"""

from deeplab_tf.network.deeplab import DeepLabV3Plus, build_model
from deeplab_tf.network.quantized import layers as quantized_layers

__all__ = ["DeepLabV3Plus", "build_model", "quantized_layers"]
