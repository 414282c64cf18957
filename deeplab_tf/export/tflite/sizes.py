"""The size of a .tflite file that is asked for none: that of the data set's images."""

import sys
from typing import Any

from deeplab_tf import files, runs
from deeplab_tf.config.options import MIN_INPUT, FixedSizeOptions
from deeplab_tf.errors import UserError
from deeplab_tf.runs import Run

Size = tuple[int, int]
_AUDIT = "audit.json"
_USUAL = 0.9  # share of the images that a side must hold
# 1025 x 2049: the largest that the released models were measured at. Beyond it a file
# of fixed size takes more memory than a device has.
_MAX_PIXELS = 1025 * 2049


def default(run: Run, options: FixedSizeOptions) -> Size:
    """The smallest k * output_stride + 1 that holds the data set's usual image.

    So a usual image is neither shrunk nor padded by a whole cell. What is used is
    said on standard error.

    Args:
      run: the run.
      options: its output stride and the folder of the shards, if they are others.

    Returns:
      Height, width.
    """
    usual, source = usual_size(run, options.dataset_dir)
    stride = options.output_stride or run.config.model.output_stride
    limit = min(1.0, (_MAX_PIXELS / (usual[0] * usual[1])) ** 0.5)
    height, width = (suitable(int(side * limit), stride) for side in usual)
    print(
        f"input_size {height},{width}: the smallest k * {stride} + 1 that holds "
        f"{usual[0]}x{usual[1]}, {source}"
        + (", scaled down: it is large for one image" if limit < 1 else ""),
        file=sys.stderr,
    )
    return height, width


def suitable(side: int, stride: int) -> int:
    """The smallest k * stride + 1 that is no less, and no less than the least input."""
    return max(side - 1, MIN_INPUT - 1, 1) // -stride * -stride + 1


def usual_size(run: Run, dataset_dir: str | None = None) -> tuple[Size, str]:
    """Height and width that hold nine in ten images, and where that is from.

    By audit.json beside the shards, which counts the most frequent sizes; else the
    largest sides of the split, by dataset.json; else the training crop.
    """
    split = run.config.data.eval_split
    try:
        folder, info = runs.dataset(run, dataset_dir)
    except UserError:
        if dataset_dir is not None:
            raise
        folder, info = "", run.info
    counts = _counts(folder, split)
    if counts:
        return (
            (_quantile(counts, 0), _quantile(counts, 1)),
            f"in which nine in ten images of {split} fit ({_AUDIT})",
        )
    known = info.splits.get(split)
    if known and min(known.max_size) > 0:
        return known.max_size, f"the largest sides in {split} (dataset.json)"
    height, width = run.config.data.crop_size
    return (height, width), "the training crop, for the images' sizes are not known"


def _counts(folder: str, split: str) -> dict[Size, int]:
    """How many images have each size; empty where that is not known."""
    try:
        audit: Any = files.read_json(f"{folder}/{_AUDIT}", "") if folder else {}
        listed = audit["splits"][split]["sizes"]
        return {_size(text): int(count) for text, count in listed.items()}
    except (UserError, KeyError, TypeError, ValueError, AttributeError):
        return {}  # of another version or another hand: it is no part of a run


def _size(text: str) -> Size:
    height, width = text.split("x")
    return int(height), int(width)


def _quantile(counts: dict[Size, int], axis: int) -> int:
    """The side that holds `_USUAL` of the images."""
    total, held = sum(counts.values()), 0
    for size in sorted(counts, key=lambda size: size[axis]):
        held += counts[size]
        if held >= _USUAL * total:
            return size[axis]
    raise ValueError("no image is counted.")
