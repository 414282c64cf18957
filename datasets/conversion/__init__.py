"""The steps of datasets/convert.py: read, check, audit, write."""
