"""Many images on one sheet: each beside its overlay, names below, one legend."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from deeplab_tf.data.dataset_info import DatasetInfo
from deeplab_tf.inference import coloring

TILE = 240  # pixels of the longer side of a tile
_COLUMNS = 4
_GAP = 6
_CAPTION = 18  # pixels of the line below a tile
_TITLE_CHARACTERS = 60


@dataclasses.dataclass(frozen=True)
class Cell:
    """An entry of the sheet.

    Attributes:
      title: stands below; its end is cut where it is long.
      tiles: images side by side, made by `tiles`.
    """

    title: str
    tiles: Sequence[Image.Image]


def tiles(
    image: np.ndarray, labels: np.ndarray | None, colormap: coloring.Colormap
) -> list[Image.Image]:
    """The image, and the image under its labels, made small.

    Args:
      image: uint8 [H, W, C].
      labels: [H, W], or None.
      colormap: RGB in 0..255 for each class.
    """
    rgb = coloring.as_rgb(image)
    panels = [rgb]
    if labels is not None:
        panels.append(coloring.overlay(rgb, coloring.colorize(labels, colormap)))
    small = [Image.fromarray(panel) for panel in panels]
    for tile in small:
        tile.thumbnail((TILE, TILE))
    return small


def draw(cells: Sequence[Cell], info: DatasetInfo) -> Image.Image:
    """Lays the cells out in rows, four in each, and the legend of all classes below."""
    width = max((_width(cell) for cell in cells), default=TILE) + 2 * _GAP
    rows = [
        _row(cells[start : start + _COLUMNS], width)
        for start in range(0, len(cells), _COLUMNS)
    ]
    sheet = np.zeros((0, 0, 3), np.uint8)
    for row in rows:
        sheet = coloring.below(sheet, row)
    legend = coloring.legend(
        range(info.num_classes), info.class_names, info.colormap, sheet.shape[1]
    )
    return Image.fromarray(coloring.below(sheet, legend))


def _width(cell: Cell) -> int:
    return sum(tile.width + 2 for tile in cell.tiles)


def _row(cells: Sequence[Cell], width: int) -> np.ndarray:
    """uint8 [h, w, 3], as high as the highest tile asks for."""
    height = max(tile.height for cell in cells for tile in cell.tiles)
    row = Image.new("RGB", (len(cells) * width, height + 2 * _GAP + _CAPTION), "white")
    draw, font = ImageDraw.Draw(row), ImageFont.load_default(12)
    for number, cell in enumerate(cells):
        left = number * width + _GAP
        title = " ".join(cell.title.split())[:_TITLE_CHARACTERS]
        draw.text((left, _GAP + height + 2), title, "black", font)
        for tile in cell.tiles:
            row.paste(tile, (left, _GAP))
            left += tile.width + 2
    return np.asarray(row)
