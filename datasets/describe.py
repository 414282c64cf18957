"""Writes dataset.json for TFRecords of others; --help tells how."""

from deeplab_tf.commands import describe

if __name__ == "__main__":
    describe.run()
