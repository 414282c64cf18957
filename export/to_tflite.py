"""Writes a run as a LiteRT file (.tflite); --help tells how."""

from deeplab_tf.commands import export

if __name__ == "__main__":
    export.run("tflite")
