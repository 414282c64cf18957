"""The report's curves: training, boundaries, calibration."""

from collections.abc import Sequence

from deeplab_tf.report import figures
from deeplab_tf.report.figures import Chart, Series
from deeplab_tf.report.subjects import Subject


def training(subjects: Sequence[Subject]) -> list[Chart | None]:
    """Loss, mIoU and learning rate by step, where the log has them."""
    return [
        _log_chart(subjects, "loss", "Training loss", "loss"),
        _log_chart(subjects, "miou", "mIoU during training", "mIoU", dots=True),
        _log_chart(subjects, "learning_rate", "Learning rate", "learning rate"),
    ]


def _log_chart(
    subjects: Sequence[Subject], key: str, title: str, label: str, dots: bool = False
) -> Chart | None:
    series = [
        Series(
            name=one.name,
            points=figures.thin(
                [(line["step"], line[key]) for line in one.log if _is_known(line, key)]
            ),
            color=number,
            dots=dots,
        )
        for number, one in enumerate(subjects)
    ]
    return figures.line_chart(series, title=title, x_label="step", y_label=label)


def boundaries(subjects: Sequence[Subject]) -> Chart | None:
    """The trimap curve (section 4.4 of the paper), where it was taken."""
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
    return figures.line_chart(
        series,
        title="mIoU near boundaries",
        x_label="width of the band around boundaries and void (pixels)",
        y_label="mIoU",
    )


def calibration(subjects: Sequence[Subject]) -> Chart | None:
    """Reliability, where it was taken."""
    diagonal = [(0.0, 0.0), (1.0, 1.0)]
    series = [Series(name="perfect", points=diagonal, is_reference=True)]
    for number, one in enumerate(subjects):
        reliability = one.result.get("calibration", {}).get("reliability", {})
        pairs = zip(
            reliability.get("confidence", ()),
            reliability.get("accuracy", ()),
            strict=True,
        )
        points = [(x, y) for x, y in pairs if x is not None]
        series.append(Series(name=one.name, points=points, color=number, dots=True))
    return figures.line_chart(
        series,
        title="Reliability",
        x_label="confidence",
        y_label="accuracy",
        x_range=(0, 1),
        y_range=(0, 1),
    )


def _is_known(line: dict[str, float | None], key: str) -> bool:
    return line.get(key) is not None
