"""Shows at which layers a quantised .tflite file departs from the float one.

Example:
  python benchmarks/layer_errors.py --float=voc.tflite --quantized=voc_int8.tflite
"""

import pathlib

from absl import flags as absl_flags

from deeplab_tf import cli

FLAGS = absl_flags.FLAGS
absl_flags.DEFINE_string("float", None, "File of --quantize=none.", required=True)
absl_flags.DEFINE_string("quantized", None, "The same, quantised.", required=True)
absl_flags.DEFINE_string("picture", None, "A picture; default: a random one.")


def main() -> None:
    cli.import_tensorflow()
    import numpy as np
    from PIL import Image

    from deeplab_tf.export import proof
    from deeplab_tf.export.layer_errors import layer_errors
    from deeplab_tf.inference import exported

    opened = exported.open_artefact(FLAGS.float)
    if FLAGS.picture:
        picture = np.asarray(Image.open(FLAGS.picture).convert("RGB"))
    else:
        (picture,) = proof.random_pictures(3, 1)
    fitted, _ = opened.fit(picture)
    paths = pathlib.Path(FLAGS.float), pathlib.Path(FLAGS.quantized)
    for layer in layer_errors(*paths, fitted):
        print(f"{layer.error:8.3f}  {layer.name}")


if __name__ == "__main__":
    cli.run(main)
