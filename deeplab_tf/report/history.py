"""What a training run logged: the lines of its metrics.jsonl."""

import json
import pathlib
from collections.abc import Sequence
from typing import Any

from deeplab_tf.files import Json


def read(path: pathlib.Path) -> list[Json]:
    """The lines that are whole; empty without a file, as for imported weights."""
    if not path.exists():
        return []
    lines = []
    for line in path.read_text().splitlines():
        try:
            lines.append(known(json.loads(line)))
        except ValueError:
            continue  # the half line of a run that is still training
    return [line for line in lines if isinstance(line, dict) and "step" in line]


def minutes(log: Sequence[Json], batch_size: int) -> float:
    """Time of the steps alone, also of a run that was killed and went on."""
    seconds, last = 0.0, 0
    for line in log:
        if line.get("images_per_second"):
            seconds += (line["step"] - last) * batch_size / line["images_per_second"]
            last = line["step"]
    return seconds / 60


def known(value: Any) -> Any:
    """The value with None for NaN, which older versions wrote for scores of nothing."""
    return json.loads(json.dumps(value), parse_constant=lambda _: None)
