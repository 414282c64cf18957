"""The report: what is known of one or several runs, laid out as one page."""

import hashlib
import html
import json
import pathlib
import re
from collections.abc import Sequence

from deeplab_tf.errors import UserError
from deeplab_tf.evaluation import image_scores
from deeplab_tf.evaluation.significance import Comparison
from deeplab_tf.files import Json
from deeplab_tf.report import curves, page
from deeplab_tf.report.subjects import Subject

_MATRIX_CLASSES = 40  # of a confusion matrix that can still be read
_SHOWN_PAIRS = 12
_MARK = re.compile(r'<meta name="deeplab-run" content="(\w+) ([^"]*)">')


def render(subjects: Sequence[Subject], created: str) -> str:
    """The page.

    Args:
      subjects: runs scored in the same classes; the first is what the report is about.
      created: when, as shown.
    """
    names = ", ".join(one.name for one in subjects)
    return page.render(
        "report.html",
        title=f"{names} on {subjects[0].info.name}",
        marks=[f"{_identity(one)} {one.name}" for one in subjects],
        subjects=subjects,
        created=created,
        curves={
            "training": curves.training(subjects),
            "boundaries": curves.boundaries(subjects),
            "calibration": curves.calibration(subjects),
        },
        paired=_paired(subjects),
        confusions=[(one, _confusion(one)) for one in subjects],
        leaves=_leaves(subjects),
    )


def refuse_to_replace(path: pathlib.Path, subjects: Sequence[Subject]) -> None:
    """Raises UserError where `path` is a report of a run that is not among these.

    A page names its runs by their start, command and versions, so a run folder may
    have moved since.
    """
    if not path.is_file():
        return
    known = {_identity(one) for one in subjects}
    text = path.read_text(encoding="utf-8", errors="replace")
    others = [name for mark, name in _MARK.findall(text) if mark not in known]
    if others:
        names = html.unescape(", ".join(others))
        raise UserError(
            f"{path}: is a report of another run ({names}); give another --output, "
            "or delete it first."
        )


def _identity(one: Subject) -> str:
    content = json.dumps(one.run.provenance, sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _paired(subjects: Sequence[Subject]) -> list[tuple[str, Comparison]]:
    """Each further run against the first, where they saw the same pictures."""
    first = subjects[0]
    names = [picture.name for picture in first.pictures]
    classes = first.info.num_classes
    return [
        (one.name, image_scores.compare(one.pictures, first.pictures, classes))
        for one in subjects[1:]
        if [picture.name for picture in one.pictures] == names
        and None not in (one.result["miou"], first.result["miou"])
    ]


def _confusion(one: Subject) -> Json:
    """Shares of each label's pixels, and the most frequent confusions."""
    counts = one.result["confusion_matrix"]
    totals = [max(1, sum(row)) for row in counts]
    matrix = [
        [count / total for count in row]
        for row, total in zip(counts, totals, strict=True)
    ]
    pairs = [
        {
            "label": label,
            "prediction": prediction,
            "pixels": pixels,
            "share": matrix[label][prediction],
        }
        for label, row in enumerate(counts)
        for prediction, pixels in enumerate(row)
        if pixels and label != prediction
    ]
    pairs.sort(key=lambda pair: -pair["pixels"])
    can_be_read = len(counts) <= _MATRIX_CLASSES and any(map(any, counts))
    return {"matrix": matrix if can_be_read else [], "pairs": pairs[:_SHOWN_PAIRS]}


def _leaves(subjects: Sequence[Subject]) -> list[tuple[str, list[object], object]]:
    """Name, values and default of the settings that differ from the default."""
    leaves = [one.run.config.leaves() for one in subjects]
    defaults = type(subjects[0].run.config)().leaves()
    return [
        (name, [values[name] for values in leaves], default)
        for name, default in defaults.items()
        if any(values[name] != default for values in leaves)
    ]
