"""Colour maps, overlays and pictures to look at, in NumPy."""

import functools
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Color = tuple[int, int, int]
Colormap = Sequence[Color]
_VOID_COLOR = (224, 224, 192)  # VOC's colour of void
_WRONG_COLOR = (220, 30, 40)
_HATCH_COLOR = (90, 90, 90)
_LEGEND_CHARACTERS = 32  # of a name; what is longer is cut


def palette_image(labels: np.ndarray, colormap: Colormap) -> Image.Image:
    """A palette picture: its pixels are the labels, its palette the class colours.

    Args:
      labels: [H, W]; values past the colour map are drawn as void, and those that a
        byte cannot hold become 255.
      colormap: RGB in 0..255 for each class.
    """
    indices = np.minimum(labels, 255).astype(np.uint8)
    picture = Image.fromarray(indices)
    colors = [*colormap, *[_VOID_COLOR] * 256][:256]
    picture.putpalette([value for color in colors for value in color])  # now mode P
    return picture


def colorize(labels: np.ndarray, colormap: Colormap) -> np.ndarray:
    """Class colours of a label map: [H, W] -> uint8 [H, W, 3]; void past the map."""
    if len(colormap) < 256:  # Pillow looks colours up several times as fast
        return np.asarray(palette_image(labels, colormap).convert("RGB"))
    table = np.array([*colormap, _VOID_COLOR], np.uint8)
    return table[np.minimum(labels, len(colormap))]


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
    return row(panels)


def error_map(
    image: np.ndarray, predictions: np.ndarray, labels: np.ndarray, ignore_label: int
) -> np.ndarray:
    """Where the prediction is wrong: red over the grey picture; void is hatched.

    Args:
      image: uint8 [H, W, C].
      predictions: [H, W].
      labels: [H, W].
      ignore_label: void.
    """
    grey = as_rgb(image).mean(-1, keepdims=True).repeat(3, -1) * 0.5 + 100
    void = labels == ignore_label
    wrong = (labels != predictions) & ~void
    grey[wrong] = 0.25 * grey[wrong] + 0.75 * np.array(_WRONG_COLOR)
    diagonal = np.add.outer(*map(np.arange, labels.shape))
    grey[void & (diagonal % 8 < 2)] = _HATCH_COLOR
    return np.round(grey).astype(np.uint8)


def confidence_map(confidence: np.ndarray) -> np.ndarray:
    """Probability of the winner: [H, W] in 0..1 -> grey uint8 [H, W], 1 is white."""
    return np.round(np.clip(confidence, 0, 1) * 255).astype(np.uint8)


def row(panels: Sequence[np.ndarray]) -> np.ndarray:
    """Pictures [H, W, 3] of one height side by side, with white gaps."""
    gap = np.full((panels[0].shape[0], 4, 3), 255, np.uint8)
    spaced = [part for panel in panels for part in (panel, gap)]
    return np.concatenate(spaced[:-1], axis=1)


def as_rgb(image: np.ndarray) -> np.ndarray:
    """Three channels of a picture of any number, for the eye: [H, W, C] uint8."""
    if image.shape[-1] == 3:
        return image
    return image[..., [0, min(1, image.shape[-1] - 1), min(2, image.shape[-1] - 1)]]


def legend(
    values: Sequence[int], names: Sequence[str], colormap: Colormap, width: int
) -> np.ndarray:
    """Class names beside their colours, in as many lines as the width asks for.

    Args:
      values: labels to list; those past the names are void.
      names: of the classes.
      colormap: RGB in 0..255 for each class.
      width: in pixels; a legend whose longest name needs more is wider.

    Returns:
      uint8 [h, w, 3], black on white.
    """
    size = min(max(width // 80, 12), 40)
    font = _font(size)
    entries = [_entry(value, names, colormap) for value in values]
    cell = 3 * size + max(round(font.getlength(text)) for text, _ in entries)
    columns = max(1, width // cell)
    line = round(1.6 * size)
    strip = Image.new(
        "RGB", (max(width, cell), line * -(-len(entries) // columns)), "white"
    )
    draw = ImageDraw.Draw(strip)
    for number, (text, color) in enumerate(entries):
        left, top = number % columns * cell + 4, number // columns * line + size // 4
        draw.rectangle((left, top, left + size, top + size), color, "grey")
        draw.text((left + 1.5 * size, top), text, "black", font)
    return np.asarray(strip)


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _entry(value: int, names: Sequence[str], colormap: Colormap) -> tuple[str, Color]:
    if value >= len(names):
        return "void", _VOID_COLOR
    # A name is data: it may be long, or hold line breaks, which have no length.
    text = " ".join(names[value].split())
    cut = f"{text[: _LEGEND_CHARACTERS - 2]}.."
    return text if len(text) <= _LEGEND_CHARACTERS else cut, colormap[value]


def below(image: np.ndarray, strip: np.ndarray) -> np.ndarray:
    """A strip under an image [H, W, 3]; the narrower one is filled up with white."""
    width = max(image.shape[1], strip.shape[1])
    return np.concatenate(
        [
            np.pad(
                part, [(0, 0), (0, width - part.shape[1]), (0, 0)], constant_values=255
            )
            for part in (image, strip)
        ]
    )


def matrix_image(matrix: np.ndarray, cell: int = 16) -> np.ndarray:
    """A confusion matrix as a picture: black 0 to white 1 of each row's pixels.

    Args:
      matrix: [K, K], rows the labels.
      cell: side of an entry in pixels.

    Returns:
      uint8 [K * cell, K * cell, 1].
    """
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    picture = np.round(255 * shares).astype(np.uint8)
    return picture.repeat(cell, 0).repeat(cell, 1)[..., None]
