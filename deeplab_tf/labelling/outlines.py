"""A map of classes as polygons that labelling tools open.

The polygons are meant to be painted one over the other, the largest first: so they need
no holes, and where one is drawn less finely than the pixels are, what lies below it
shows and not nothing. contourpy traces them and matplotlib leaves out corners.
"""

import dataclasses
from collections.abc import Iterator

import contourpy
import numpy as np
from matplotlib.path import Path
from scipy import ndimage

# A region reaches so far (pixels) under those that are painted over it.
_UNDERLAP = 2
_SQUARE = np.ones((3, 3), bool)
# Where a contour lies between a pixel inside (1) and one outside (0): on the inner one,
# as Pillow and labelme draw a polygon with its outline; halfway, as COCO does.
_INSIDE = 1 - 1e-6
_HALFWAY = 0.5
_STRAIGHT = 1e-3  # off a line by less, a corner is none


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outline:
    """A region of one class, its holes filled.

    Attributes:
      label: its class.
      corners: float [N, 2] with N >= 3, x and y of pixels that belong to it, those of
        the first column and row being 0: for labelme.
      edge: float [N, 2] with N >= 3, x and y of its edge where a pixel reaches from
        its number to the next: for COCO.
    """

    label: int
    corners: np.ndarray
    edge: np.ndarray


@dataclasses.dataclass(frozen=True)
class _Region:
    """A connected region in its bounding box."""

    label: int
    place: tuple[slice, slice]
    inside: np.ndarray
    filled: np.ndarray  # without holes


def trace(
    labels: np.ndarray, *, tolerance: float = 2.0, least: int = 16, ground: int = -1
) -> list[Outline]:
    """The regions of a label map in the order in which to paint them.

    Painted so, they give the map again: exactly with `tolerance` and `least` 0, else
    but for pixels near the edges and for regions left out.

    Args:
      labels: integers [H, W].
      tolerance: by how many pixels an edge may be off, about; 0: all corners are kept.
      least: pixels of a region; smaller ones are left out.
      ground: class of what is painted on; its regions at the border are left out.
    """
    regions = sorted(_regions(labels), key=lambda one: -int(one.filled.sum()))
    ranks = np.full(labels.shape, -1)
    painted = []
    for rank, region in enumerate(regions):
        if region.label == ground and _reaches_border(region, labels.shape):
            continue  # and nothing may reach under it
        ranks[region.place][region.inside] = rank
        if region.inside.sum() >= least:
            painted.append((rank, region))
    reach = _UNDERLAP if tolerance else 0
    return [_outline(region, ranks, rank, tolerance, reach) for rank, region in painted]


def _regions(labels: np.ndarray) -> Iterator[_Region]:
    for label in np.unique(labels):
        numbers, _ = ndimage.label(labels == label)
        for number, place in enumerate(ndimage.find_objects(numbers), start=1):
            inside = numbers[place] == number
            filled = ndimage.binary_fill_holes(inside)
            yield _Region(int(label), place, inside, filled)


def _reaches_border(region: _Region, shape: tuple[int, ...]) -> bool:
    return any(
        part.start == 0 or part.stop == side
        for part, side in zip(region.place, shape, strict=True)
    )


def _outline(
    region: _Region, ranks: np.ndarray, rank: int, tolerance: float, reach: int
) -> Outline:
    rows, columns = region.place
    top, left = max(rows.start - reach, 0), max(columns.start - reach, 0)
    wide = slice(top, rows.stop + reach), slice(left, columns.stop + reach)
    free = ranks[wide] > rank  # painted later
    mask = np.zeros(free.shape, bool)
    inner = slice(rows.start - top, rows.stop - top)
    mask[inner, columns.start - left : columns.stop - left] = region.filled
    if reach:
        mask |= ndimage.binary_dilation(mask, _SQUARE, reach) & free
        mask = _largest(ndimage.binary_fill_holes(mask))
    origin = np.array([left, top])
    return Outline(
        label=region.label,
        corners=_polygon(mask, _INSIDE, tolerance).round() + origin,
        edge=_polygon(mask, _HALFWAY, tolerance) + origin + 0.5,
    )


def _largest(mask: np.ndarray) -> np.ndarray:
    """The largest connected part: what is reached may be cut off by another region."""
    numbers, count = ndimage.label(mask)
    if count < 2:
        return mask
    return numbers == np.bincount(numbers.ravel())[1:].argmax() + 1


def _polygon(mask: np.ndarray, level: float, tolerance: float) -> np.ndarray:
    """Its corners, x and y [N, 2] with N >= 3, the first not repeated at the end."""
    generator = contourpy.contour_generator(
        z=np.pad(mask, 1).astype(float), line_type=contourpy.LineType.Separate
    )
    line = np.asarray(generator.lines(level)[0]) - 1
    if level == _INSIDE:
        line = line.round()
    path = Path(line)
    path.should_simplify = True
    path.simplify_threshold = max(tolerance, _STRAIGHT)
    points = np.asarray(path.cleaned(simplify=True).vertices)[:-2]
    return np.concatenate([points, points[-1:].repeat(max(3 - len(points), 0), 0)])
