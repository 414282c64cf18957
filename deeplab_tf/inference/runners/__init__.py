"""One file a format of exported models: how it is run."""
