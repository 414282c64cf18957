"""The frame of the pages: templates that Jinja2 fills in, all values escaped.

Nothing is loaded from elsewhere and no script runs but one that the page was written
with, which the frame's policy tells the browser, so a file can be mailed, opened from a
disk, printed and read on a phone.
"""

import base64
import dataclasses
import functools
import hashlib
import importlib.resources
import io
import math
from collections.abc import Sequence

import jinja2
import markupsafe
import numpy as np
from PIL import Image

PANEL_WIDTH = 280  # pixels of a panel; three or four stand side by side
_JPEG_QUALITY = 84
_NOTHING = "\N{EM DASH}"


def render(template: str, **values: object) -> str:
    """Fills in a file of the templates folder; what is missing raises an error."""
    return _environment().get_template(template).render(values) + "\n"


@dataclasses.dataclass(frozen=True)
class Script:
    """A script of the page.

    Attributes:
      text: as it stands in the page.
      digest: by which the page's policy names it.
    """

    text: markupsafe.Markup
    digest: str


def script(name: str) -> Script:
    """A script of the templates folder, for `render(..., script=...)`."""
    folder = importlib.resources.files("deeplab_tf.report") / "templates"
    text = f"\n{(folder / name).read_text(encoding='utf-8')}"
    digest = hashlib.sha256(text.encode()).digest()
    return Script(markupsafe.Markup(text), base64.b64encode(digest).decode())


def jpeg(pixels: np.ndarray | Image.Image) -> str:
    """The address of an image that lies inside of the page.

    Args:
      pixels: uint8 [H, W, 3].
    """
    image = Image.fromarray(pixels) if isinstance(pixels, np.ndarray) else pixels
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_JPEG_QUALITY, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def shrink(panel: np.ndarray, width: int = PANEL_WIDTH) -> np.ndarray:
    """The panel, uint8 [H, W, 3], not wider than that."""
    old_height, old_width = panel.shape[:2]
    if old_width <= width:
        return panel
    return scaled(panel, (max(1, round(old_height * width / old_width)), width))


def scaled(panel: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """The panel at a height and width, whose pixels are means or copies."""
    height, width = size[:2]
    image = Image.fromarray(panel)
    return np.asarray(image.resize((width, height), Image.Resampling.BOX))


def number(value: float | None, form: str = ".3f") -> str:
    """A number, or a dash where there is nothing to score."""
    if value is None or not math.isfinite(value):
        return _NOTHING
    return format(value, form)


def interval(
    bounds: Sequence[float | None] | None,
    form: str = ".3f",
    between: str = "\N{EN DASH}",
) -> str:
    """Both ends, or a dash."""
    if bounds is None or None in bounds:
        return _NOTHING
    return between.join(number(bound, form) for bound in bounds)


def words(value: object) -> str:
    """A setting or a fact to be read; lists and mappings without brackets."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {entry}" for key, entry in value.items())
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    return "" if value is None else str(value)


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("deeplab_tf.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = {"number": number, "interval": interval, "words": words}
    environment.filters.update(filters)
    return environment
