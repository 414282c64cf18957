"""Pages: the report, the explorer, the data browser."""
