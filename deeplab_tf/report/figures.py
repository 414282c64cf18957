"""Line charts: drawn by matplotlib, coloured by the page that they stand in."""

import dataclasses
import io
import math
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

import matplotlib
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from deeplab_tf.files import Json

Point = tuple[float, float]
NUM_COLORS = 6  # of curves that can be told apart: --s0 to --s5 of style.css
_SIZE = (640, 300)
_LEFT, _RIGHT, _TOP, _BOTTOM = 66, 28, 40, 54
_MAX_POINTS = 400  # of a curve; more would not be seen
_SVG = "{http://www.w3.org/2000/svg}"
# matplotlib takes fixed colours only, so each of the page's has a stand-in.
_PAGE_COLORS = {
    **{f"var(--s{number})": f"#00000{number + 1}" for number in range(NUM_COLORS)},
    "var(--line)": "#00000a",
    "var(--soft)": "#00000b",
    "var(--card)": "#00000c",
}
_STYLE: dict[Any, object] = {
    "svg.fonttype": "none",  # text stays text, in the page's own font
    "text.parse_math": False,
    "axes.autolimit_mode": "round_numbers",
    "axes.xmargin": 0,
    "axes.ymargin": 0,
    "grid.color": _PAGE_COLORS["var(--line)"],
    "lines.solid_joinstyle": "round",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Series:
    """A curve.

    Attributes:
      name: in the legend and in the tips.
      points: (x, y), by rising x.
      color: number of the page's series colour, from 0.
      line: whether the points are joined.
      dots: whether points are marked, each with a tip that tells its values.
      is_reference: drawn dashed and grey, and not in the legend.
    """

    name: str
    points: Sequence[Point]
    color: int = 0
    line: bool = True
    dots: bool = False
    is_reference: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chart:
    """What a page shows.

    Attributes:
      title: what the figure is about.
      svg: the figure, without its title.
      legend: number of the colour and name of each curve.
    """

    title: str
    svg: Markup
    legend: list[tuple[int, str]]


def line_chart(
    series: Sequence[Series],
    *,
    title: str,
    x_label: str,
    y_label: str,
    x_range: Point | None = None,
    y_range: Point | None = None,
) -> Chart | None:
    """A chart of the curves that have points; None where no curve has.

    Args:
      series: curves.
      title: also read out by screen readers.
      x_label: with its unit.
      y_label: with its unit.
      x_range: from where to where; None: what the points take.
      y_range: likewise, up to round numbers.
    """
    drawn = [one for one in series if one.points]
    curves = [one for one in drawn if not one.is_reference]
    if not curves:
        return None
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": title}):
        figure = Figure(figsize=(_SIZE[0] / 72, _SIZE[1] / 72))
        axes = _axes(figure, x_label, y_label)
        tips = [tip for one in drawn for tip in _draw(axes, one)]
        axes.set_xlim(x_range or _extent([x for one in drawn for x, _ in one.points]))
        if y_range:
            axes.set_ylim(y_range)
        buffer = io.StringIO()
        FigureCanvasSVG(figure).print_svg(buffer)
    return Chart(
        title=title,
        svg=_embedded(buffer.getvalue(), title, tips),
        legend=[(one.color, one.name) for one in curves],
    )


def thin(points: Sequence[Point], limit: int = _MAX_POINTS) -> list[Point]:
    """Means of equally long pieces, so that at most `limit` points are left."""
    size = math.ceil(len(points) / limit) if points else 1
    pieces = [points[start : start + size] for start in range(0, len(points), size)]
    return [
        (sum(x for x, _ in piece) / len(piece), sum(y for _, y in piece) / len(piece))
        for piece in pieces
    ]


def _axes(figure: Figure, x_label: str, y_label: str) -> Axes:
    """Horizontal lines and numbers, no box."""
    width, height = _SIZE
    inner = (width - _LEFT - _RIGHT) / width, (height - _TOP - _BOTTOM) / height
    axes = figure.add_axes((_LEFT / width, _BOTTOM / height, *inner))
    figure.patch.set_visible(False)
    axes.patch.set_visible(False)
    axes.spines[:].set_visible(False)
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    axes.tick_params(length=0, pad=6)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        axis.set_major_formatter(lambda value, _: f"{value:g}")
    figure.text((_LEFT + width - _RIGHT) / 2 / width, 8 / height, x_label, ha="center")
    # Not turned: beside the numbers there is no room for it on a telephone.
    figure.text(0, 1 - 16 / height, y_label)
    return axes


def _draw(axes: Axes, series: Series) -> list[str]:
    """Draws a curve; returns the tips of its dots."""
    color = _PAGE_COLORS[
        "var(--soft)" if series.is_reference else f"var(--s{series.color})"
    ]
    x, y = zip(*series.points, strict=True)
    if series.is_reference:
        axes.plot(x, y, color=color, linewidth=1, dashes=(4, 4))
    elif series.line:
        axes.plot(x, y, color=color, linewidth=2)
    if not series.dots:
        return []
    dot: Json = {
        "marker": "o",
        "markersize": 7,
        "markeredgecolor": _PAGE_COLORS["var(--card)"],
        "color": color,
        "clip_on": False,
        "zorder": 3,
        "gid": "tip",
    }
    for point in series.points:  # one by one, for each has its own tip
        axes.plot(*([value] for value in point), **dot)
    return [f"{series.name}: {x:g}, {y:.4g}" for x, y in series.points]


def _extent(values: Sequence[float]) -> Point:
    low, high = min(values), max(values)
    is_wide = high - low > 1e-6 * max(abs(low), abs(high))
    return (low, high) if is_wide else (low - 0.5, high + 0.5)


def _embedded(text: str, title: str, tips: Sequence[str]) -> Markup:
    """The figure as a part of a page: its colours and fonts, tips, no marks of its own.

    Identifiers that nothing in the figure refers to would stand several times in a
    page; matplotlib's style sheet would apply to the whole of it.
    """
    for page_color, stand_in in _PAGE_COLORS.items():
        text = text.replace(stand_in, page_color)
    ElementTree.register_namespace("", _SVG[1:-1])
    ElementTree.register_namespace("xlink", "http://www.w3.org/1999/xlink")
    root = ElementTree.fromstring(text)
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{_SVG}metadata", f"{_SVG}style"):
                parent.remove(child)
    left = iter(tips)
    for element in root.iter():
        if element.get("id") == "tip":
            tip = ElementTree.Element(f"{_SVG}title")
            tip.text = next(left)
            element.insert(0, tip)
        if element.tag == f"{_SVG}text":
            element.set("style", _without_font(element.get("style", "")))
        if f"#{element.get('id')}" not in text:
            element.attrib.pop("id", None)
    root.attrib = {
        "viewBox": f"0 0 {_SIZE[0]} {_SIZE[1]}",
        "role": "img",
        "aria-label": title,
    }
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _without_font(style: str) -> str:
    parts = [part.strip() for part in style.split(";")]
    return "; ".join(part for part in parts if part.startswith("text-anchor"))
