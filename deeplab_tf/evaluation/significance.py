"""How sure a mIoU is: the bootstrap over pictures, and a paired test of two runs."""

import dataclasses
from collections.abc import Callable

import numpy as np

from deeplab_tf.evaluation import metrics

DRAWS = 2000
_CONFIDENCE = 0.95
_MAX_NUMBERS = 2**24  # of a block of draws, so that memory is bounded
Interval = tuple[float, float]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two runs on the same pictures; all None where there is nothing to score.

    Attributes:
      difference: mIoU of the first less that of the second.
      interval: of the difference, 95 %, by resampling pictures for both alike.
      p_value: how often a difference so large comes up when each picture's results
        are given to the runs at random; two-sided.
    """

    difference: float | None
    interval: Interval | None
    p_value: float | None


def interval(pixels: np.ndarray, draws: int = DRAWS, seed: int = 0) -> Interval | None:
    """95 % interval of the mIoU over sets of pictures such as these.

    Percentiles of the mIoU of pictures drawn with replacement (Efron 1979).

    Args:
      pixels: `metrics.class_pixels` of each picture, [N, 3, K].
      draws: resampled sets.
      seed: of the draws.

    Returns:
      Its ends; None where no picture has anything to score.
    """
    return _percentiles(_resampled(pixels, draws, seed))


def compare(
    first: np.ndarray, second: np.ndarray, draws: int = DRAWS, seed: int = 0
) -> Comparison:
    """Compares the mIoU of two runs on the same pictures, [N, 3, K] each."""
    resampled = _resampled(first, draws, seed) - _resampled(second, draws, seed)
    observed = metrics.mean_iou(first.sum(0)) - metrics.mean_iou(second.sum(0))
    if np.isnan(observed):
        return Comparison(difference=None, interval=None, p_value=None)
    swapped = _swapped(first, second, draws, seed)
    # Rounding must not make a draw that swaps nothing smaller than what it equals.
    as_large = np.abs(swapped) >= abs(observed) - 1e-12
    return Comparison(
        difference=float(observed),
        interval=_percentiles(resampled),
        p_value=float((1 + as_large.sum()) / (1 + draws)),
    )


def _resampled(pixels: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """mIoU of each resampled set; the same sets for the same seed and N."""
    count = len(pixels)

    def weights(rng: np.random.Generator, number: int) -> np.ndarray:
        return rng.multinomial(count, np.full(count, 1 / count), number)

    return _in_blocks(
        lambda w: metrics.mean_iou(_weighted(w, pixels)), weights, pixels, draws, seed
    )


def _swapped(
    first: np.ndarray, second: np.ndarray, draws: int, seed: int
) -> np.ndarray:
    """Differences of mIoU after swapping the runs on a random half of the pictures."""
    change, total = second - first, second.sum(0)

    def difference(swap: np.ndarray) -> np.ndarray:
        moved = _weighted(swap, change)
        return metrics.mean_iou(first.sum(0) + moved) - metrics.mean_iou(total - moved)

    def coins(rng: np.random.Generator, number: int) -> np.ndarray:
        return rng.integers(0, 2, (number, len(first)))

    return _in_blocks(difference, coins, first, draws, seed)


def _in_blocks(
    statistic: Callable[[np.ndarray], np.ndarray],
    draw: Callable[[np.random.Generator, int], np.ndarray],
    pixels: np.ndarray,
    draws: int,
    seed: int,
) -> np.ndarray:
    rng = np.random.default_rng(seed)
    block = max(1, _MAX_NUMBERS // max(len(pixels), pixels[0].size))
    sizes = [min(block, draws - start) for start in range(0, draws, block)]
    return np.concatenate([statistic(draw(rng, size)) for size in sizes])


def _weighted(weights: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """[draws, N] and [N, 3, K] -> [draws, 3, K]; float64 is exact up to 2 ** 53."""
    flat = pixels.reshape(len(pixels), -1).astype(np.float64)
    return (weights.astype(np.float64) @ flat).reshape(-1, *pixels.shape[1:])


def _percentiles(values: np.ndarray) -> Interval | None:
    values = values[~np.isnan(values)]
    if not values.size:
        return None
    tail = (1 - _CONFIDENCE) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)
