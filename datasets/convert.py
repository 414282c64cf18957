"""Converts labelled pictures to TFRecord shards; --help tells how."""

from deeplab_tf.commands import convert

if __name__ == "__main__":
    convert.run()
