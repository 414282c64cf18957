"""Label errors as people make them, planted at known places."""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
from scipy import ndimage

_LEAST = 150  # pixels of an object that is worth an error
_LARGEST = 0.3  # share of the image
_SHIFT = (8, 20)  # pixels
_TRIES = 20


@dataclasses.dataclass(frozen=True)
class Planted:
    """An image's labels with an error.

    Attributes:
      kind: a key of `KINDS`.
      labels: uint8 [H, W], with the error.
    """

    kind: str
    labels: np.ndarray


def plant(
    labels: np.ndarray, kind: str, num_classes: int, void: int, rng: np.random.Generator
) -> Planted | None:
    """Plants an error of a kind; None where the image has no fitting object."""
    changed = KINDS[kind](labels, num_classes, void, rng)
    if changed is None or (changed == labels).all():
        return None
    return Planted(kind, changed)


def _swapped(
    labels: np.ndarray, num_classes: int, void: int, rng: np.random.Generator
) -> np.ndarray | None:
    """An object that is called something else."""
    inside = _object(labels, void, rng)
    if inside is None:
        return None
    own = labels[inside][0]
    others = [c for c in range(num_classes) if c not in (own, void)]
    return np.where(inside, rng.choice(others), labels).astype(np.uint8)


def _missing(
    labels: np.ndarray, num_classes: int, void: int, rng: np.random.Generator
) -> np.ndarray | None:
    """An object that was not drawn: it is what lies around it most."""
    inside = _object(labels, void, rng)
    if inside is None:
        return None
    around = labels[ndimage.binary_dilation(inside, iterations=3) & ~inside]
    around = around[(around != void) & (around != labels[inside][0])]
    if not around.size:
        return None
    return np.where(inside, np.bincount(around).argmax(), labels).astype(np.uint8)


def _shifted(
    labels: np.ndarray, num_classes: int, void: int, rng: np.random.Generator
) -> np.ndarray:
    """The whole mask beside its image; what comes in from outside is void."""
    offset = rng.integers(*_SHIFT, 2, endpoint=True) * rng.choice([-1, 1], 2)
    return ndimage.shift(labels, offset, order=0, cval=void).astype(np.uint8)


def _object(
    labels: np.ndarray, void: int, rng: np.random.Generator
) -> np.ndarray | None:
    """A connected region of one class, drawn by lot."""
    for _ in range(_TRIES):
        present = [c for c in np.unique(labels) if c != void]
        if not present:
            return None
        numbers, _ = ndimage.label(labels == rng.choice(present))
        sizes = np.bincount(numbers.ravel())
        sizes[0] = 0
        fits = np.flatnonzero((sizes >= _LEAST) & (sizes <= _LARGEST * labels.size))
        if fits.size:
            return numbers == rng.choice(fits)
    return None


KINDS: Mapping[str, Callable[..., np.ndarray | None]] = {
    "swapped": _swapped,
    "missing": _missing,
    "shifted": _shifted,
}
