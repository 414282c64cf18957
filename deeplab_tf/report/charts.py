"""Line charts as SVG text: sharp at any size, coloured by the page's style."""

import dataclasses
import html
import math
from collections.abc import Sequence

Point = tuple[float, float]
_WIDTH, _HEIGHT = 640, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 76, 16, 12, 44
_MAX_TICKS = 6
_MAX_POINTS = 400  # of a curve; more would not be seen


@dataclasses.dataclass(frozen=True, kw_only=True)
class Series:
    """A curve.

    Attributes:
      name: in the legend and in the tips.
      points: (x, y), by rising x.
      color: number of the page's series colour, from 0.
      dots: whether points are marked, each with a tip that tells its values.
      is_reference: drawn dashed and grey.
      in_legend: whether its name is listed where there are several.
    """

    name: str
    points: Sequence[Point]
    color: int = 0
    dots: bool = False
    is_reference: bool = False
    in_legend: bool = True


def line_chart(
    series: Sequence[Series],
    *,
    title: str,
    x_label: str,
    y_label: str,
    x_range: Point | None = None,
    y_range: Point | None = None,
) -> str:
    """An SVG figure with a legend where there are several curves.

    Args:
      series: curves; those without points are left out.
      title: read out by screen readers.
      x_label: with its unit.
      y_label: with its unit.
      x_range: from where to where; None: what the points take.
      y_range: likewise.
    """
    drawn = [one for one in series if one.points]
    if not drawn:
        return ""
    points = [point for one in drawn for point in one.points]
    x_ticks = _ticks(x_range or _extent([x for x, _ in points]))
    y_ticks = _ticks(y_range or _extent([y for _, y in points]))
    frame = _Frame(
        x_range or _extent([x for x, _ in points]), y_range or (y_ticks[0], y_ticks[-1])
    )
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{html.escape(title)}">',
        *(_horizontal(frame, tick) for tick in y_ticks if frame.holds_y(tick)),
        *(_vertical(frame, tick) for tick in x_ticks if frame.holds_x(tick)),
        f'<text class="label" x="{(_LEFT + _WIDTH - _RIGHT) / 2}" '
        f'y="{_HEIGHT - 6}" text-anchor="middle">{html.escape(x_label)}</text>',
        f'<text class="label" transform="translate(12 {_HEIGHT / 2 - 12}) rotate(-90)" '
        f'text-anchor="middle">{html.escape(y_label)}</text>',
        *(_curve(frame, one) for one in drawn),
        "</svg>",
    ]
    return f'<figure class="chart">{_legend(drawn)}{"".join(parts)}</figure>'


def thin(points: Sequence[Point], limit: int = _MAX_POINTS) -> list[Point]:
    """Means of equally long pieces, so that at most `limit` points are left."""
    size = math.ceil(len(points) / limit) if points else 1
    pieces = [points[start : start + size] for start in range(0, len(points), size)]
    return [
        (sum(x for x, _ in piece) / len(piece), sum(y for _, y in piece) / len(piece))
        for piece in pieces
    ]


@dataclasses.dataclass(frozen=True)
class _Frame:
    """From values to places in the picture."""

    x_range: Point
    y_range: Point

    def x(self, value: float) -> float:
        low, high = self.x_range
        return round(_LEFT + (value - low) / (high - low) * _inner_width(), 1)

    def y(self, value: float) -> float:
        low, high = self.y_range
        inner = _HEIGHT - _TOP - _BOTTOM
        share = min(1.0, max(0.0, (value - low) / (high - low)))
        return round(_TOP + (1 - share) * inner, 1)

    def holds_x(self, value: float) -> bool:
        return self.x_range[0] - 1e-9 <= value <= self.x_range[1] + 1e-9

    def holds_y(self, value: float) -> bool:
        return self.y_range[0] - 1e-9 <= value <= self.y_range[1] + 1e-9


def _inner_width() -> int:
    return _WIDTH - _LEFT - _RIGHT


def _extent(values: Sequence[float]) -> Point:
    low, high = min(values), max(values)
    is_wide = high - low > 1e-6 * max(abs(low), abs(high))
    return (low, high) if is_wide else (low - 0.5, high + 0.5)


def _ticks(extent: Point) -> list[float]:
    """Round numbers at steps of 1, 2 or 5 that span the extent."""
    low, high = extent
    rough = (high - low) / (_MAX_TICKS - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= rough * (1 - 1e-9))
    first = math.floor(low / step + 1e-9)
    last = math.ceil(high / step - 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def _horizontal(frame: _Frame, tick: float) -> str:
    y = frame.y(tick)
    return (
        f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>'
        f'<text class="tick" x="{_LEFT - 6}" y="{y + 4}" text-anchor="end">'
        f"{tick:g}</text>"
    )


def _vertical(frame: _Frame, tick: float) -> str:
    return (
        f'<text class="tick" x="{frame.x(tick)}" y="{_HEIGHT - _BOTTOM + 17}" '
        f'text-anchor="middle">{tick:g}</text>'
    )


def _curve(frame: _Frame, series: Series) -> str:
    places = " ".join(f"{frame.x(x)},{frame.y(y)}" for x, y in series.points)
    css = "reference" if series.is_reference else f"s{series.color}"
    line = f'<polyline class="curve {css}" points="{places}"/>'
    if not series.dots:
        return line
    name = html.escape(series.name)
    dots = (
        f'<circle class="dot {css}" cx="{frame.x(x)}" cy="{frame.y(y)}" r="3.5">'
        f"<title>{name}: {x:g}, {y:.4g}</title></circle>"
        for x, y in series.points
    )
    return line + "".join(dots)


def _legend(drawn: Sequence[Series]) -> str:
    named = [one for one in drawn if one.in_legend and not one.is_reference]
    if len(named) < 2:
        return ""
    entries = (
        f'<span><i class="key s{one.color}"></i>{html.escape(one.name)}</span>'
        for one in named
    )
    return f'<figcaption class="legend">{"".join(entries)}</figcaption>'
