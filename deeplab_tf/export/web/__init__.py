"""A page that runs the network in a browser: its files, and its runtime from npm."""
