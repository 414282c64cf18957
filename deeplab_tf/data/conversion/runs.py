"""Run lengths: COCO's two codings, Kaggle's lists, Label Studio's brush strokes."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from deeplab_tf.files import Values

Size = tuple[int, int]  # height, width


def coco_runs(size: Size, coded: Values) -> np.ndarray:
    """COCO's run lengths, bool [H, W]: by columns, beginning with what is not set.

    Args:
      size: of the image; the coding's own must be the same.
      coded: {"size": [height, width], "counts": a list, or a string}.
    """
    if tuple(coded.get("size", size)) != tuple(size):
        raise ValueError(f"its size is {coded['size']}, the image's {list(size)}")
    counts = coded["counts"]
    runs = counts if isinstance(counts, list) else _unpacked(counts)
    return _columns(_alternating(runs, size), size)


def _unpacked(text: str | bytes) -> list[int]:
    """COCO's string: base 32 digits from the lowest, from the third run on differences.

    Each character holds five bits and whether more follow; the last one's highest bit
    is the sign.
    """
    data = text.encode() if isinstance(text, str) else text
    runs: list[int] = []
    value = shift = 0
    for character in data:
        digit = character - 48
        value |= (digit & 31) << shift
        shift += 5
        if digit & 32:
            continue
        if digit & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    return runs


def _alternating(runs: list[int], size: Size) -> np.ndarray:
    if sum(runs) != size[0] * size[1] or min(runs, default=0) < 0:
        raise ValueError(f"its runs have {sum(runs)} pixels, not {size[0] * size[1]}")
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs)


def _columns(pixels: np.ndarray, size: Size) -> np.ndarray:
    return pixels.reshape(size[1], size[0]).T


def list_runs(size: Size, data: Any) -> np.ndarray:
    """Kaggle's "start length start length ...", bool [H, W].

    Args:
      size: of the image.
      data: the text; "columns" or "rows"; the number of the first pixel.
    """
    text, order, base = data
    numbers = np.array(text.split(), np.int64)
    if len(numbers) % 2:
        raise ValueError(f"holds {len(numbers)} numbers, not pairs")
    starts, lengths = numbers[::2] - base, numbers[1::2]
    total = size[0] * size[1]
    if len(numbers) and (
        starts.min() < 0 or lengths.min() < 0 or (starts + lengths).max() > total
    ):
        raise ValueError(f"its runs leave the image of {total} pixels")
    steps = np.zeros(total + 1, np.int32)
    np.add.at(steps, starts, 1)
    np.add.at(steps, starts + lengths, -1)
    pixels = np.cumsum(steps[:-1]) > 0
    return _columns(pixels, size) if order == "columns" else pixels.reshape(size)


def brush_runs(size: Size, data: Sequence[int]) -> np.ndarray:
    """Label Studio's brush strokes, bool [H, W]: RGBA whose fourth channel is the mask.

    A stream of bits: the number of values, the size of a value, four sizes of run
    lengths, then runs; the first bit of a run tells whether one value is repeated.
    """
    bits = np.unpackbits(np.array(data, np.uint8))
    stream = _Bits(bits)
    total, word = stream.read(32), stream.read(5) + 1
    if total != size[0] * size[1] * 4:
        raise ValueError(f"holds {total} values, not {size[0] * size[1] * 4}")
    lengths = [stream.read(4) + 1 for _ in range(4)]
    values = np.zeros(total, np.uint8)
    done = 0
    while done < total:
        repeated = stream.read(1)
        count = stream.read(lengths[stream.read(2)]) + 1
        if repeated:
            values[done : done + count] = stream.read(word)
        else:
            values[done : done + count] = stream.read_many(word, count)[: total - done]
        done += count
    return values.reshape(*size, 4)[:, :, 3] > 0


class _Bits:
    """Reads numbers off a row of bits."""

    def __init__(self, bits: np.ndarray) -> None:
        self._bits = bits
        self._at = 0

    def read(self, width: int) -> int:
        return int(self.read_many(width, 1)[0])

    def read_many(self, width: int, count: int) -> np.ndarray:
        end = self._at + width * count
        if end > len(self._bits):
            raise ValueError("the brush strokes end early")
        rows = self._bits[self._at : end].reshape(count, width).astype(np.int64)
        self._at = end
        return rows @ (1 << np.arange(width - 1, -1, -1))
