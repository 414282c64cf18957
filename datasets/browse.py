"""Shows a converted data set; --help tells how."""

from deeplab_tf.commands import browse

if __name__ == "__main__":
    browse.run()
