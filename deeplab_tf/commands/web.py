"""Writes a page that runs a run's network in its visitor's browser."""

from deeplab_tf.commands import export

if __name__ == "__main__":
    export.run("web")
