"""The report's curves: training, boundaries, calibration."""

import html
from collections.abc import Sequence

from deeplab_tf.report import charts, page
from deeplab_tf.report.charts import Series
from deeplab_tf.report.subjects import Subject


def training(subjects: Sequence[Subject]) -> str:
    """Loss, mIoU and learning rate by step; empty without a log."""
    drawn = [
        _log_chart(subjects, "loss", "Training loss", "loss"),
        _log_chart(subjects, "miou", "mIoU during training", "mIoU", dots=True),
        _log_chart(subjects, "learning_rate", "Learning rate", "learning rate"),
    ]
    return f'<div class="charts">{"".join(drawn)}</div>' if any(drawn) else ""


def _log_chart(
    subjects: Sequence[Subject], key: str, title: str, label: str, dots: bool = False
) -> str:
    series = [
        Series(
            name=one.name,
            points=charts.thin(
                [
                    (line["step"], line[key])
                    for line in one.log
                    if line.get(key) is not None
                ]
            ),
            color=number,
            dots=dots,
        )
        for number, one in enumerate(subjects)
    ]
    return charts.line_chart(series, title=title, x_label="step", y_label=label)


def boundaries(subjects: Sequence[Subject]) -> str:
    """The trimap curve (section 4.4 of the paper); empty where it was not taken."""
    series = [
        Series(
            name=one.name,
            points=[
                (width, miou)
                for width, miou in zip(trimap["widths"], trimap["miou"], strict=True)
                if miou is not None
            ],
            color=number,
            dots=True,
        )
        for number, one in enumerate(subjects)
        if (trimap := one.result.get("boundary", {}).get("trimap"))
    ]
    chart = charts.line_chart(
        series,
        title="mIoU near boundaries",
        x_label="width of the band around boundaries and void (pixels)",
        y_label="mIoU",
    )
    if not chart:
        return ""
    return (
        "<p>mIoU of the pixels that lie at most so far from a boundary or from void. "
        "The steeper the fall to the left, the more is lost at the outlines.</p>"
        + chart
    )


def calibration(subjects: Sequence[Subject]) -> str:
    """Reliability, and the error of each class; empty where it was not taken."""
    series = [
        Series(
            name="perfect calibration",
            points=[(0.0, 0.0), (1.0, 1.0)],
            is_reference=True,
        )
    ]
    for number, one in enumerate(subjects):
        reliability = one.result.get("calibration", {}).get("reliability", {})
        pairs = zip(
            reliability.get("confidence", ()),
            reliability.get("accuracy", ()),
            strict=True,
        )
        points = [(x, y) for x, y in pairs if x is not None]
        series.append(Series(name=one.name, points=points, color=number, dots=True))
    if not any(one.points for one in series[1:]):
        return ""
    chart = charts.line_chart(
        series,
        title="Reliability",
        x_label="confidence",
        y_label="accuracy",
        x_range=(0, 1),
        y_range=(0, 1),
    )
    return (
        "<p>How often pixels of a given confidence are right. Below the dashed line "
        f"the model is too sure of itself.</p>{chart}" + _class_calibration(subjects)
    )


def _class_calibration(subjects: Sequence[Subject]) -> str:
    names = subjects[0].run.info.class_names
    rows = [
        [html.escape(name)]
        + [
            page.number(
                one.result["calibration"]["per_class_calibration_error"].get(name)
            )
            for one in subjects
        ]
        for name in names
    ]
    head = ["predicted as", *(html.escape(one.name) for one in subjects)]
    content = page.table(head, rows)
    return f"<details><summary>Calibration error by class</summary>{content}</details>"
