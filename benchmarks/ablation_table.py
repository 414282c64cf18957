"""The table and the chart of benchmarks/ablation.py."""

import pathlib
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from ablation_rows import BASE, ROWS

from deeplab_tf import files

# Results by row and seed.
Found: TypeAlias = Mapping[str, Mapping[int, Mapping[str, Any]]]


def render(found: Found) -> str:
    """Mean and spread of each row, and its difference from the base, seed by seed."""
    lines = [
        "| row | seeds | mIoU | minus base | narrowest band, minus base "
        "| G multiply-adds | M parameters | steps | minutes |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    base = found.get(BASE, {})
    for name, by_seed in found.items():
        about = ROWS[name].about if name in ROWS else f"base, {name.replace('_', ' ')}"
        both = [(by_seed[s], base[s]) for s in by_seed if s in base]
        first = next(iter(by_seed.values()))
        bands = [
            one["trimap"]["miou"][0] - other["trimap"]["miou"][0] for one, other in both
        ]
        cells = [
            about,
            str(len(by_seed)),
            spread([one["miou"] for one in by_seed.values()]),
            spread([one["miou"] - other["miou"] for one, other in both]),
            spread(bands),
            f"{first['giga_multiply_adds']:.3f}",
            f"{first['parameters'] / 1e6:.2f}",
            str(first["steps"]),
            f"{statistics.mean(one['minutes'] for one in by_seed.values()):.1f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, *_bands(found)]) + "\n"


def _bands(found: Found) -> list[str]:
    """`gains` in words, of some widths."""
    cells = [f"{width}: {spread(gain)}" for width, gain in gains(found).items()]
    if not cells:
        return []
    about = "The decoder's gain in a band, less that over all pixels, by width:"
    return ["", about, "; ".join(cells[:10])]


def spread(values: list[float]) -> str:
    """Mean and standard deviation."""
    if not values:
        return "-"
    if len(values) == 1:
        return f"{values[0]:.4f}"
    return f"{statistics.mean(values):.4f} ± {statistics.stdev(values):.4f}"


def gains(found: Found) -> dict[int, list[float]]:
    """What the decoder gains in a band beyond its gain over all pixels, by its width.

    Of each seed. Above 0 in narrow bands: the decoder is worth most at boundaries.
    """
    base, other = (found.get(name, {}) for name in (BASE, "no_decoder"))
    result: dict[int, list[float]] = {}
    for seed in base.keys() & other.keys():
        one, two = base[seed], other[seed]
        for width, with_it, without in zip(
            one["trimap"]["widths"],
            one["trimap"]["miou"],
            two["trimap"]["miou"],
            strict=True,
        ):
            gain = (with_it - without) - (one["miou"] - two["miou"])
            result.setdefault(width, []).append(gain)
    return result


def draw(path: pathlib.Path, found: Found) -> None:
    """Figure 6a: mIoU in a band around the boundaries; and `gains`."""
    from matplotlib.figure import Figure

    figure = Figure((9, 3.6), layout="constrained")
    curves, difference = figure.subplots(1, 2)
    for name in (BASE, "no_decoder"):
        by_seed = [one["trimap"] for one in found.get(name, {}).values()]
        if by_seed:
            columns = zip(*(curve["miou"] for curve in by_seed), strict=True)
            points = dict(zip(by_seed[0]["widths"], columns, strict=True))
            _errorbar(curves, points, ROWS[name].about)
    curves.set(xlabel="width of the band, pixels", ylabel="mIoU in the band")
    if curves.get_legend_handles_labels()[0]:
        curves.legend()
    _errorbar(difference, gains(found), "decoder")
    difference.axhline(0, color="gray", linewidth=0.8)
    difference.set(
        xlabel="width of the band, pixels",
        ylabel="gain of the decoder there,\nless that over all pixels",
    )
    with files.replacing(path) as temporary:
        figure.savefig(temporary, format="svg")


def _errorbar(axes: Any, points: Mapping[int, Sequence[float]], label: str) -> None:
    """Mean and standard deviation of each point."""
    means = [statistics.mean(values) for values in points.values()]
    spreads = [statistics.stdev(v) if len(v) > 1 else 0.0 for v in points.values()]
    axes.errorbar([*points], means, spreads, label=label, marker=".", capsize=2)
