"""One file a format, each proven against Keras before it appears."""
