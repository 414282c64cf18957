"""Writes a run as a .keras file; --help tells how."""

from deeplab_tf.commands import export

if __name__ == "__main__":
    export.run("keras")
