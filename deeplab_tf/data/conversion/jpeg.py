"""The part of the JPEG format that Pillow does not check."""

import re

SIGNATURE = b"\xff\xd8\xff"
_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])")  # but a restart within a scan
_SCAN, _END = b"\xda", b"\xd9"


def is_whole(data: bytes) -> bool:
    """Whether a scan and then the end marker come where a decoder looks for them.

    Pillow is content without the end; TensorFlow's decoder is not. What stands between
    two segments is skipped, as both do.
    """
    at, scans = 2, 0
    while found := _MARKER.search(data, at):
        if found[1] == _END:
            return scans > 0
        scans += found[1] == _SCAN
        at = found.end() + int.from_bytes(data[found.end() : found.end() + 2])
    return False
