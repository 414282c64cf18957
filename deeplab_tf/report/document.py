"""The report's sections: the figures of one or several runs, laid out."""

import html
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from deeplab_tf.evaluation import image_scores
from deeplab_tf.report import curves, page
from deeplab_tf.report.subjects import Subject

_MATRIX_CLASSES = 40  # of a confusion matrix that can still be read
_SHOWN_PAIRS = 12


def render(subjects: Sequence[Subject], created: str) -> str:
    """The page.

    Args:
      subjects: runs of one data set, the first being what the report is about.
      created: when, as shown.
    """
    first = subjects[0]
    title = f"{', '.join(one.name for one in subjects)} on {first.run.info.name}"
    split = first.result["split"]
    head = (
        f'<p class="soft">DeepLabv3+ report, split {html.escape(split)}, '
        f"{first.result['num_images']} pictures, {html.escape(created)}</p>"
    )
    sections = [
        ("Summary", _summary(subjects) + _manner(subjects)),
        ("Classes", _classes(subjects)),
        ("Training", curves.training(subjects)),
        ("Boundaries", curves.boundaries(subjects)),
        ("Calibration", curves.calibration(subjects)),
        ("Confusion", _each(subjects, _confusion)),
        ("Pictures", _each(subjects, lambda one: one.gallery)),
        ("Settings", _settings(subjects)),
    ]
    return page.document(title, sections, head)


def _summary(subjects: Sequence[Subject]) -> str:
    if len(subjects) == 1:
        return f'<div class="tiles">{"".join(_tiles(subjects[0]))}</div>'
    columns = {
        "mIoU": lambda s: page.bar(s.result["miou"]),
        "95 % interval": lambda s: _interval(s.result.get("miou_interval")),
        "pixel accuracy": lambda s: page.bar(s.result["pixel_accuracy"]),
        "boundary IoU": lambda s: page.bar(s.boundary("boundary_iou")),
        "calibration error": lambda s: page.number(s.calibration_error),
        "parameters": lambda s: f"{s.parameters / 1e6:.2f} M",
        "multiply-adds": lambda s: f"{s.multiply_adds / 1e9:.2f} G",
        "pictures/s": lambda s: page.number(s.speed, 1),
    }
    rows = [
        [_key(number) + html.escape(one.name)]
        + [cell(one) for cell in columns.values()]
        for number, one in enumerate(subjects)
    ]
    return page.table(["run", *columns], rows) + _paired(subjects)


def _manner(subjects: Sequence[Subject]) -> str:
    """How each run was evaluated, where not plainly: the scores depend on it."""
    lines = []
    for one in subjects:
        result, stride = one.result, one.run.config.model.output_stride
        scales = result.get("scales", [1.0])
        parts = [
            f"scales {', '.join(map(str, scales))}" if scales != [1.0] else "",
            "with the mirrored picture" if result.get("flip") else "",
            f"tiles of {result['tile_size']}" if result.get("tile_size") else "",
            f"output stride {result['output_stride']}"
            if result.get("output_stride", stride) not in (None, stride)
            else "",
        ]
        if any(parts):
            told = ", ".join(filter(None, parts))
            lines.append(f"{html.escape(one.name)} was evaluated at {told}.")
    return f'<p class="soft">{"<br>".join(lines)}</p>' if lines else ""


def _tiles(one: Subject) -> Iterable[str]:
    result = one.result
    yield page.tile(page.number(result["miou"]), "mIoU")
    if interval := result.get("miou_interval"):
        yield page.tile(_interval(interval), "95 % interval over pictures")
    yield page.tile(page.number(result["pixel_accuracy"]), "pixel accuracy")
    yield page.tile(page.number(one.boundary("boundary_iou")), "boundary IoU")
    yield page.tile(page.number(one.boundary("boundary_f1")), "boundary F1")
    yield page.tile(page.number(one.calibration_error), "calibration error")
    yield page.tile(f"{one.parameters / 1e6:.2f} M", "parameters")
    height, width = one.run.config.data.crop_size
    label = f"multiply-adds at {width} &times; {height}"
    yield page.tile(f"{one.multiply_adds / 1e9:.2f} G", label)
    yield page.tile(page.number(one.speed, 1), "pictures/s in evaluation")


def _paired(subjects: Sequence[Subject]) -> str:
    """Each further run against the first, where they saw the same pictures."""
    rows = []
    for one in subjects[1:]:
        if [p.name for p in one.pictures] != [p.name for p in subjects[0].pictures]:
            continue
        classes = one.run.info.num_classes
        test = image_scores.compare(one.pictures, subjects[0].pictures, classes)
        if test.interval is None:
            continue
        low, high = test.interval
        rows.append(
            [
                f"{html.escape(one.name)} less {html.escape(subjects[0].name)}",
                f"{test.difference:+.4f}",
                f"{low:+.4f} to {high:+.4f}",
                f"{test.p_value:.4f}",
            ]
        )
    if not rows:
        return ""
    head = ["paired test", "mIoU", "95 % interval", "p"]
    return page.table(head, rows)


def _classes(subjects: Sequence[Subject]) -> str:
    info = subjects[0].run.info
    labels = [
        page.swatch(color) + html.escape(name)
        for name, color in zip(info.class_names, info.colormap, strict=True)
    ]
    if len(subjects) > 1:
        head = ["class", *(html.escape(one.name) for one in subjects)]
        cells = [
            [label, *(page.bar(one.result["per_class_iou"][name]) for one in subjects)]
            for label, name in zip(labels, info.class_names, strict=True)
        ]
        return "<p>IoU of each class.</p>" + page.table(head, cells)
    result = subjects[0].result
    matrix = result["confusion_matrix"]
    total = max(1, sum(map(sum, matrix)))
    columns: dict[str, Mapping[str, float | None]] = {
        "IoU": result["per_class_iou"],
        "precision": result["per_class_precision"],
        "recall": result["per_class_recall"],
        "F1": result["per_class_f1"],
        "boundary IoU": result.get("boundary", {}).get("per_class_boundary_iou", {}),
        "boundary F1": result.get("boundary", {}).get("per_class_boundary_f1", {}),
    }
    rows = [
        [label, f"{100 * sum(counts) / total:.2f} %"]
        + [page.bar(column.get(name)) for column in columns.values()]
        for label, name, counts in zip(labels, info.class_names, matrix, strict=True)
    ]
    return page.table(["class", "of the pixels", *columns], rows)


def _confusion(one: Subject) -> str:
    names = [html.escape(name) for name in one.run.info.class_names]
    matrix = one.result["confusion_matrix"]
    pairs = sorted(
        (
            (count, label, prediction)
            for label, counts in enumerate(matrix)
            for prediction, count in enumerate(counts)
            if count and label != prediction
        ),
        reverse=True,
    )
    rows = [
        [
            f"{names[label]} taken for {names[prediction]}",
            f"{count:,}",
            f"{100 * count / sum(matrix[label]):.1f} %",
        ]
        for count, label, prediction in pairs[:_SHOWN_PAIRS]
    ]
    head = ["most confused", "pixels", "of the label's pixels"]
    return _matrix(names, matrix) + page.table(head, rows)


def _matrix(names: Sequence[str], matrix: Sequence[Sequence[int]]) -> str:
    if len(names) > _MATRIX_CLASSES:
        return ""
    rows = []
    for name, counts in zip(names, matrix, strict=True):
        total = max(1, sum(counts))
        shares = [count / total for count in counts]
        cells = [
            f'<td style="background:rgba(var(--heat),{0.75 * share:.2f})" '
            f'title="{name} as {other}: {100 * share:.2f} %">{_percent(share)}</td>'
            for other, share in zip(names, shares, strict=True)
        ]
        rows.append([name, *cells])
    head = ["label", *(f'<div class="up"><span>{name}</span></div>' for name in names)]
    note = (
        "<p>Rows are labels, columns predictions; per cent of the label's pixels.</p>"
    )
    return note + page.table(head, rows, "matrix")


def _settings(subjects: Sequence[Subject]) -> str:
    leaves = [one.run.config.leaves() for one in subjects]
    defaults = type(subjects[0].run.config)().leaves()
    shown = [
        name
        for name in leaves[0]
        if any(values[name] != defaults[name] for values in leaves)
    ]
    head = ["setting", *(html.escape(one.name) for one in subjects), "default"]
    rows = [
        [
            html.escape(name),
            *(_text(values[name]) for values in leaves),
            _text(defaults[name]),
        ]
        for name in shown
    ]
    provenance = [one.run.provenance for one in subjects]
    facts = [
        [html.escape(key), *(_text(facts.get(key)) for facts in provenance)]
        for key in provenance[0]
    ]
    facts += [
        ["evaluated at", *(_text(one.evaluated) for one in subjects)],
        [
            "training pictures/s",
            *(_text(page.number(one.training_speed, 1)) for one in subjects),
        ],
    ]
    return (
        "<p>Settings that differ from the defaults.</p>"
        + page.table(head, rows, "words")
        + page.table(["provenance", *head[1:-1]], facts, "words")
        + "".join(
            f"<details><summary>run.json of {html.escape(one.name)}</summary><pre>"
            f"{html.escape(json.dumps(one.run.to_dict(), indent=1))}</pre></details>"
            for one in subjects
        )
    )


def _each(subjects: Sequence[Subject], content: Any) -> str:
    """A part of each run, under its name where there are several."""
    parts = [(one.name, content(one)) for one in subjects]
    if len(subjects) == 1:
        return parts[0][1]
    return "".join(
        f"<h3>{html.escape(name)}</h3>{part}" for name, part in parts if part
    )


def _key(number: int) -> str:
    return f'<i class="key s{number}"></i>'


def _interval(interval: Sequence[float] | None) -> str:
    if interval is None:
        return page.number(None)
    return f"{interval[0]:.3f}&ndash;{interval[1]:.3f}"


def _percent(share: float) -> str:
    return "" if share < 0.005 else f"{100 * share:.0f}"


def _text(value: Any) -> str:
    """A cell of text that may be long."""
    if isinstance(value, list | tuple):
        value = " ".join(map(str, value))
    return f'<td class="text">{html.escape("" if value is None else str(value))}</td>'
