"""The table and the chart of benchmarks/ablation.py."""

import pathlib
import statistics
from collections.abc import Mapping
from typing import Any

from ablation_rows import BASE, ROWS

from deeplab_tf import files


def render(found: Mapping[str, Mapping[int, Mapping[str, Any]]]) -> str:
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
    return "\n".join(lines) + "\n"


def spread(values: list[float]) -> str:
    """Mean and standard deviation."""
    if not values:
        return "-"
    if len(values) == 1:
        return f"{values[0]:.4f}"
    return f"{statistics.mean(values):.4f} ± {statistics.stdev(values):.4f}"


def draw(
    path: pathlib.Path, found: Mapping[str, Mapping[int, Mapping[str, Any]]]
) -> None:
    """Figure 6a: mIoU in a band of some pixels around the boundaries."""
    from matplotlib.figure import Figure

    axes = (figure := Figure((6, 4))).subplots()
    for name in (BASE, "no_decoder"):
        curves = [one["trimap"] for one in found.get(name, {}).values()]
        if not curves:
            continue
        points = list(zip(*(curve["miou"] for curve in curves), strict=True))
        axes.errorbar(
            curves[0]["widths"],
            [statistics.mean(point) for point in points],
            [statistics.stdev(p) if len(p) > 1 else 0.0 for p in points],
            label=ROWS[name].about,
            marker="o",
            capsize=3,
        )
    axes.set(xlabel="width of the band, pixels", ylabel="mIoU in the band")
    if axes.get_legend_handles_labels()[0]:
        axes.legend()
    with files.replacing(path) as temporary:
        figure.savefig(temporary, format="svg")
