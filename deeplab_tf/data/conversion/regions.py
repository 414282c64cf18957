"""Regions of a label as labelling tools describe them, and how each is drawn.

A region is outlines, a bitmap or run lengths. Each kind is drawn as the tool that
writes it draws it: labelme by Pillow, COCO by pycocotools.
"""

import base64
import dataclasses
import hashlib
import io
import json
import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from deeplab_tf.data.conversion.pictures import ORIENTATION
from deeplab_tf.data.conversion.runs import brush_runs, coco_runs, list_runs
from deeplab_tf.data.conversion.samples import FileSample, SampleError
from deeplab_tf.files import Json

Size = tuple[int, int]  # height, width
MAX_PIXELS = 2**28  # of one label; Pillow refuses larger pictures
_LINE_WIDTH = 10  # labelme's, in pixels
_POINT_RADIUS = 5
_FARTHEST = 2**20  # pixels of a corner from the origin


@dataclasses.dataclass(frozen=True)
class Region:
    """One region.

    Attributes:
      label: its class, or the ignored label.
      kind: how `data` is to be drawn; a key of the table in this file.
      data: JSON types.
    """

    label: int
    kind: str
    data: Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class DrawnSample(FileSample):
    """An image whose label is drawn from regions, the last on top.

    There is a label even where there is no region: background alone.

    Attributes:
      regions: JSON of (label, kind, data) of each region: compact in memory.
      size: height and width; None: those of the image.
      ground: label of what no region covers.
    """

    regions: str
    size: Size | None = None
    ground: int = 0

    @property
    def label_name(self) -> str:
        """The label in messages."""
        return f"{self.label_path or self.image_path}, its regions"

    @property
    def has_label(self) -> bool:
        """Always, with or without a file of regions."""
        return True

    def label(self) -> np.ndarray:
        """Draws the regions."""
        regions = [Region(*entry) for entry in json.loads(self.regions)]
        size = self.size or image_size(self.image_path)
        return draw(regions, size, self.label_name, self.ground)

    def stamp(self) -> list[object]:
        """The regions stand in the sample; the file that listed them may hold many."""
        own = FileSample(name=self.name, image_path=self.image_path, label_path=None)
        facts = f"{self.size} {self.regions} {self.ground}"
        digest = hashlib.sha256(facts.encode()).hexdigest()
        return [*own.stamp(), digest]


def packed(regions: Iterable[Region]) -> str:
    """Regions for a `DrawnSample`."""
    return json.dumps([(r.label, r.kind, r.data) for r in regions])


def _blank(size: Size, name: str, ground: int) -> np.ndarray:
    if min(size) < 1 or size[0] * size[1] > MAX_PIXELS:
        raise SampleError(
            "bad_region",
            f"{name}: its image has {size[0]} x {size[1]} pixels, they say; allowed "
            f"are 1 to {MAX_PIXELS:,}.",
        )
    return np.full(size, ground, np.uint8)


def draw(
    regions: Iterable[Region], size: Size, name: str, ground: int = 0
) -> np.ndarray:
    """The label, uint8 [H, W]: `ground` where no region lies.

    Raises:
      SampleError: a region cannot be drawn; the message begins with `name`.
    """
    labels = _blank(size, name, ground)
    for number, region in enumerate(regions, start=1):
        try:
            labels[_KINDS[region.kind](size, region.data)] = region.label
        except Exception as error:  # whatever odd numbers and bytes lead to
            reason = f"{type(error).__name__}: {error}"
            raise SampleError(
                "bad_region",
                f"{name}: region {number} ({region.kind}) cannot be drawn ({reason}).",
            ) from None
    return labels


def image_size(path: str) -> Size:
    """Height and width of an image as it is looked at: turned by its EXIF data."""
    try:
        with Image.open(path) as image:
            turned = image.getexif().get(ORIENTATION, 1) in (5, 6, 7, 8)
            width, height = image.size
    except FileNotFoundError:
        raise SampleError("missing_image", f"{path}: there is no such image.") from None
    except Exception as error:  # Pillow's plugins raise nearly anything
        raise SampleError(
            "unreadable_image", f"{path}: cannot be decoded: {error}."
        ) from None
    return (width, height) if turned else (height, width)


def _painted(size: Size, paint: Callable[[ImageDraw.ImageDraw], object]) -> np.ndarray:
    canvas = Image.new("1", (size[1], size[0]))
    paint(ImageDraw.Draw(canvas))
    return np.asarray(canvas)


Points = Sequence[Sequence[float]]


def _pairs(points: Points) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y, *_ in points]


def _polygon(size: Size, points: Points) -> np.ndarray:
    """Points [x, y] in pixels."""
    corners = _pairs(points)
    if len(corners) < 3:
        raise ValueError(f"a polygon of {len(corners)} points")
    return _painted(size, lambda d: d.polygon(corners, fill=1, outline=1))


def _rectangle(size: Size, points: Points) -> np.ndarray:
    """Two opposite corners."""
    corners = np.array(_pairs(points))
    box = (*corners.min(0).tolist(), *corners.max(0).tolist())
    return _painted(size, lambda d: d.rectangle(box, fill=1, outline=1))


def _circle(size: Size, points: Points) -> np.ndarray:
    """Centre, and a point of the rim."""
    (x, y), (rim_x, rim_y) = _pairs(points)
    radius = float(np.hypot(x - rim_x, y - rim_y))
    box = (x - radius, y - radius, x + radius, y + radius)
    return _painted(size, lambda d: d.ellipse(box, fill=1, outline=1))


def _line(size: Size, points: Points) -> np.ndarray:
    corners = _pairs(points)
    return _painted(size, lambda d: d.line(corners, fill=1, width=_LINE_WIDTH))


def _points(size: Size, points: Points) -> np.ndarray:
    radius = _POINT_RADIUS

    def paint(canvas: ImageDraw.ImageDraw) -> None:
        for x, y in _pairs(points):
            box = (x - radius, y - radius, x + radius, y + radius)
            canvas.ellipse(box, fill=1, outline=1)

    return _painted(size, paint)


def _with_holes(size: Size, rings: Sequence[Points]) -> np.ndarray:
    """The first ring without the others."""
    inside = _polygon(size, rings[0]).copy()
    for ring in rings[1:]:
        inside &= ~_polygon(size, ring)
    return inside


def _fractions(size: Size, points: Points) -> np.ndarray:
    """A polygon whose points are fractions of width and height."""
    return _scaled(size, np.array(points, float) * (size[1], size[0]))


def _scaled(size: Size, points: np.ndarray) -> np.ndarray:
    """A polygon whose points were calculated.

    Pillow drops what is behind the point, so 28.9999 must not stand for 29.
    """
    return _polygon(size, points.round(3).tolist())


def _turned_box(size: Size, values: Sequence[float]) -> np.ndarray:
    """x, y, width, height as fractions, turned by degrees about the first corner."""
    x, y, width, height, degrees = values
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)], float)
    return _turned(size, corners, (x, y), degrees)


def _ellipse(size: Size, values: Sequence[float]) -> np.ndarray:
    """Centre and radii as fractions, turned by degrees."""
    x, y, radius_x, radius_y, degrees = values
    turn = np.linspace(0, 2 * np.pi, 181)[:-1]
    rim = np.stack([radius_x * np.cos(turn), radius_y * np.sin(turn)], axis=1)
    return _turned(size, rim, (x, y), degrees)


def _turned(
    size: Size, points: np.ndarray, origin: tuple[float, float], degrees: float
) -> np.ndarray:
    scale = np.array([size[1], size[0]])
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return _scaled(size, (points * scale) @ turn + origin * scale)


def _bitmap(size: Size, data: tuple[str, Sequence[float]]) -> np.ndarray:
    """A PNG, base64 and perhaps compressed once more, at an origin [x, y]."""
    text, (left, top) = data
    raw = base64.b64decode(text, validate=False)
    if not raw.startswith(b"\x89PNG"):
        raw = zlib.decompress(raw)
    pixels = np.asarray(Image.open(io.BytesIO(raw)))
    if pixels.ndim == 3:
        pixels = pixels[:, :, -1]
    return _placed(size, pixels > 0, int(left), int(top))


def _placed(size: Size, pixels: np.ndarray, left: int, top: int) -> np.ndarray:
    """The pixels at their place, cut where they reach beyond the image."""
    inside = np.zeros(size, bool)
    pixels = pixels[max(-top, 0) :, max(-left, 0) :]
    top, left = max(top, 0), max(left, 0)
    part = inside[top : top + pixels.shape[0], left : left + pixels.shape[1]]
    part[:] = pixels[: part.shape[0], : part.shape[1]]
    return inside


def _coco(size: Size, segmentation: Json | list[list[float]]) -> np.ndarray:
    """Polygons, or run lengths as a list or a string."""
    if isinstance(segmentation, dict):
        return coco_runs(size, segmentation)
    from pycocotools import mask

    polygons = [polygon for polygon in segmentation if len(polygon) >= 6]
    if not polygons:
        return np.zeros(size, bool)
    # pycocotools walks along every edge, and would walk for years; false for NaN.
    if not all((np.abs(polygon) <= _FARTHEST).all() for polygon in polygons):
        raise ValueError(f"a corner farther than {_FARTHEST:,} pixels away")
    return mask.decode(mask.merge(mask.frPyObjects(polygons, *size))) > 0


_KINDS: dict[str, Callable[[Size, Any], np.ndarray]] = {
    "polygon": _polygon,
    "rectangle": _rectangle,
    "circle": _circle,
    "line": _line,
    "linestrip": _line,
    "point": _points,
    "points": _points,
    "with_holes": _with_holes,
    "fractions": _fractions,
    "turned_box": _turned_box,
    "ellipse": _ellipse,
    "bitmap": _bitmap,
    "coco": _coco,
    "brush": brush_runs,
    "runs": list_runs,
}
