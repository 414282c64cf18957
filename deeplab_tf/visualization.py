"""Colour maps, overlays and pictures to look at, in NumPy."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

Colormap = Sequence[tuple[int, int, int]]
_VOID_COLOR = (224, 224, 192)  # VOC's colour of void


def palette_image(labels: np.ndarray, colormap: Colormap) -> Image.Image:
    """A palette picture: its pixels are the labels, its palette the class colours.

    Args:
      labels: [H, W], 0..255; values past the colour map are drawn as void.
      colormap: RGB in 0..255 for each class.
    """
    picture = Image.fromarray(labels.astype(np.uint8), "L").convert("P")
    picture.putdata(labels.astype(np.uint8).ravel())
    picture.putpalette(_table(colormap).ravel().tolist())
    return picture


def colorize(labels: np.ndarray, colormap: Colormap) -> np.ndarray:
    """Class colours of a label map: [H, W] -> uint8 [H, W, 3]."""
    return _table(colormap)[labels.astype(np.uint8)]


def overlay(image: np.ndarray, colors: np.ndarray, opacity: float = 0.6) -> np.ndarray:
    """Mixes colours [H, W, 3] over a picture [H, W, 3], both uint8."""
    mixed = (1 - opacity) * image.astype(np.float32) + opacity * colors
    return np.round(mixed).astype(np.uint8)


def side_by_side(
    image: np.ndarray,
    predictions: np.ndarray,
    colormap: Colormap,
    labels: np.ndarray | None = None,
) -> np.ndarray:
    """Picture | labels (where given) | prediction over the picture, uint8.

    Args:
      image: uint8 [H, W, 3].
      predictions: [H, W].
      colormap: RGB in 0..255 for each class.
      labels: [H, W], or None for a picture without.
    """
    rgb = as_rgb(image)
    panels = [rgb]
    if labels is not None:
        panels.append(colorize(labels, colormap))
    panels.append(overlay(rgb, colorize(predictions, colormap)))
    gap = np.full((rgb.shape[0], 4, 3), 255, np.uint8)
    spaced = [part for panel in panels for part in (panel, gap)]
    return np.concatenate(spaced[:-1], axis=1)


def as_rgb(image: np.ndarray) -> np.ndarray:
    """Three channels of a picture of any number, for the eye: [H, W, C] uint8."""
    if image.shape[-1] == 3:
        return image
    return image[..., [0, min(1, image.shape[-1] - 1), min(2, image.shape[-1] - 1)]]


def _table(colormap: Colormap) -> np.ndarray:
    table = np.tile(np.array(_VOID_COLOR, np.uint8), (256, 1))
    table[: len(colormap)] = np.array(colormap, np.uint8)
    return table
