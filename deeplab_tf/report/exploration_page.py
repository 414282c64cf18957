"""The page of an exploration: accuracy against cost, and each setting."""

from collections.abc import Sequence

from deeplab_tf.report import figures, page
from deeplab_tf.report.exploration import Point
from deeplab_tf.report.figures import Series


def render(points: Sequence[Point], title: str) -> str:
    """The table and the Pareto chart as one HTML file."""
    places = [(one.multiply_adds / 1e9, one.miou, one.is_best) for one in points]
    front, others = (
        [(x, y) for x, y, best in places if best == wanted] for wanted in (True, False)
    )
    figure = figures.line_chart(
        [
            Series(name="nothing better for less", points=front, dots=True),
            Series(
                name="other settings", points=others, color=1, dots=True, line=False
            ),
        ],
        title="mIoU by multiply-adds",
        x_label="multiply-adds (G)",
        y_label="mIoU",
    )
    return page.render("explorer.html", title=title, points=points, figure=figure)
