"""What turns labelled pictures into shards: read, check, audit, write."""
