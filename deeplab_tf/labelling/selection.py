"""Which pictures to label next: how unsure a network is of each, and how alike.

Both halves are needed: by uncertainty alone the frames of one odd scene are chosen,
by diversity alone what the network knows already (Ash et al. 2020, arXiv 1906.03671).
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np

_TINY = 1e-9


@dataclasses.dataclass(frozen=True, kw_only=True)
class Choice:
    """A picture that was chosen.

    Attributes:
      index: of the picture in the pool.
      distance: of its features to those of the nearest picture that is labelled or
        was chosen before; None for the first where nothing is labelled.
    """

    index: int
    distance: float | None


def normalised(features: np.ndarray) -> np.ndarray:
    """Features with mean 0 and deviation 1 each, so that distances weigh them alike.

    Args:
      features: float [N, D].

    Returns:
      [N, D], divided by the root of D: two pictures are about 1.4 apart. What is the
      same in all is 0.
    """
    centred = features - features.mean(0)
    spread = centred.std(0)
    scale = np.where(
        spread > _TINY * np.abs(features).max(0, initial=1), spread, np.inf
    )
    return centred / scale / np.sqrt(features.shape[1])


def choose(
    method: str,
    uncertainty: np.ndarray,
    features: np.ndarray,
    labelled: np.ndarray,
    count: int,
    seed: int = 0,
) -> list[Choice]:
    """Chooses pictures one after the other; those that help most come first.

    Args:
      method: a key of `METHODS`.
      uncertainty: [N], at least 0.
      features: [N, D].
      labelled: [M, D] of pictures that are labelled already; M may be 0.
      count: how many; all where there are fewer.
      seed: of what is drawn at random.
    """
    both = normalised(np.concatenate([features, labelled]))
    own, others = both[: len(features)], both[len(features) :]
    nearest = np.full(len(own), np.inf)
    for other in others:
        nearest = np.minimum(nearest, _distances(own, other))
    rng = np.random.default_rng(seed)
    left = np.ones(len(own), bool)
    choices = []
    for _ in range(min(count, len(own))):
        known = np.where(np.isfinite(nearest), nearest, 1.0)
        index = METHODS[method](uncertainty, known, left, rng)
        distance = float(nearest[index]) if np.isfinite(nearest[index]) else None
        choices.append(Choice(index=index, distance=distance))
        left[index] = False
        nearest = np.minimum(nearest, _distances(own, own[index]))
    return choices


def _distances(features: np.ndarray, one: np.ndarray) -> np.ndarray:
    return np.linalg.norm(features - one, axis=1)


def _k_center(
    uncertainty: np.ndarray,
    nearest: np.ndarray,
    left: np.ndarray,
    rng: np.random.Generator,
) -> int:
    """The farthest from all that is known, by distance times uncertainty.

    Greedy k-center is the core set of Sener & Savarese 2018 (arXiv 1708.00489).
    """
    return _highest(uncertainty * nearest, uncertainty, left)


def _k_means(
    uncertainty: np.ndarray,
    nearest: np.ndarray,
    left: np.ndarray,
    rng: np.random.Generator,
) -> int:
    """Drawn by squared distance times uncertainty.

    k-means++ seeding (Arthur & Vassilvitskii 2007), as BADGE samples (Ash et al. 2020),
    where the uncertainty is the length of the gradient.
    """
    weights = np.where(left, uncertainty * nearest**2, 0.0)
    if weights.sum() <= _TINY:
        return _highest(uncertainty * nearest, uncertainty, left)
    return int(rng.choice(len(weights), p=weights / weights.sum()))


def _by_uncertainty(
    uncertainty: np.ndarray,
    nearest: np.ndarray,
    left: np.ndarray,
    rng: np.random.Generator,
) -> int:
    """The most uncertain (Lewis & Gale 1994), however alike."""
    return _highest(uncertainty, uncertainty, left)


def _highest(score: np.ndarray, then: np.ndarray, left: np.ndarray) -> int:
    """The highest score of those left; of equal ones the highest by the second."""
    candidates = np.flatnonzero(left)
    return int(candidates[np.lexsort((then[candidates], score[candidates]))[-1]])


METHODS: Mapping[str, Callable[..., int]] = {
    "k_center": _k_center,
    "k_means": _k_means,
    "uncertainty": _by_uncertainty,
}


# --- How unsure a network is of a pixel, in [0, 1]


def entropy(probabilities: np.ndarray) -> np.ndarray:
    """Of the classes (Shannon 1948), by its largest value: [..., K] -> [...]."""
    logs = np.log(np.maximum(probabilities, _TINY))
    return -(probabilities * logs).sum(-1) / np.log(max(probabilities.shape[-1], 2))


def margin(probabilities: np.ndarray) -> np.ndarray:
    """1 less by how much the first is above the second (Scheffer et al. 2001)."""
    first, second = _best_two(probabilities)
    return 1 - (first - second)


def least_confidence(probabilities: np.ndarray) -> np.ndarray:
    """1 less the winner's probability, by its largest value (Lewis & Gale 1994)."""
    classes = max(probabilities.shape[-1], 2)
    return (1 - probabilities.max(-1)) * classes / (classes - 1)


def _best_two(probabilities: np.ndarray) -> Sequence[np.ndarray]:
    if probabilities.shape[-1] < 2:
        return probabilities[..., 0], np.zeros(probabilities.shape[:-1])
    top = np.partition(probabilities, -2, axis=-1)
    return top[..., -1], top[..., -2]


MEASURES: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "entropy": entropy,
    "margin": margin,
    "least_confidence": least_confidence,
}


def by_rarity(
    uncertainty: np.ndarray, probabilities: np.ndarray, weights: Sequence[float]
) -> np.ndarray:
    """Uncertainty that counts by how rare what may be there is.

    mIoU counts all classes alike, and a rare one gains most by one more picture (as
    Cai et al. 2021, CVPR, weigh superpixels).

    Args:
      uncertainty: of each pixel [H, W].
      probabilities: [H, W, K].
      weights: of the classes.
    """
    return uncertainty * (probabilities * np.asarray(weights)).sum(-1)


def of_picture(uncertainty: np.ndarray, regions: int = 8, share: float = 0.25) -> float:
    """One number for a picture: the mean over its most uncertain regions.

    The mean over all would say how long the outlines are, for every one is uncertain;
    whole regions are where something is not known (Mackowiak et al. 2018, arXiv
    1810.09726, choose such regions).

    Args:
      uncertainty: of each pixel [H, W].
      regions: along each side.
      share: of the regions that count.
    """
    rows = np.array_split(uncertainty, min(regions, len(uncertainty)))
    means = [
        part.mean()
        for row in rows
        for part in np.array_split(row, min(regions, row.shape[1]), axis=1)
    ]
    count = max(1, round(share * len(means)))
    return float(np.sort(means)[-count:].mean())
