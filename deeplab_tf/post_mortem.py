"""What there is to know about a step whose loss is not finite."""

import math
import pathlib
from typing import Any

import numpy as np
import tensorflow as tf

from deeplab_tf import files
from deeplab_tf.data.pipeline import make_train_dataset
from deeplab_tf.run import Run
from deeplab_tf.train_state import TrainState


def write_post_mortem(
    run: Run, state: TrainState, step: int, told: dict[str, float]
) -> pathlib.Path:
    """Writes RUN/post_mortem/step-N/report.json.

    The pipeline is a function of the step, so the batch is made once more, now with
    its file names, and nothing needs to be carried along in good times.

    Args:
      run: the run.
      state: as the bad step left it.
      step: number of the bad step, counted from 1.
      told: its loss and gradient norm.

    Returns:
      The folder.
    """
    examples = _examples(run, step)
    broken = [v.path for v in state.model.weights if not _is_finite(v.value)]
    report = {
        "step": step,
        **{key: str(value) for key, value in told.items()},
        "learning_rate": state.learning_rate(),
        "rollbacks_before": int(state.rollbacks.numpy()),
        "likely_cause": _likely_cause(examples, broken),
        "weights_not_finite": broken,
        "largest_weights": _largest(state),
        "examples": examples,
    }
    folder = run.path / "post_mortem" / f"step-{step}"
    files.write_json(folder / "report.json", report)
    return folder


def _examples(run: Run, step: int) -> list[dict[str, Any]]:
    dataset = make_train_dataset(
        run.config, run.info, start_step=step - 1, filenames=True
    )
    batch = next(iter(dataset))
    rows = zip(batch["filename"], batch["image"], batch["labels"], strict=True)
    described = []
    for name, image, labels in rows:
        values, counts = np.unique(labels, return_counts=True)
        described.append(
            {
                "filename": name.numpy().decode(),
                "image_is_finite": _is_finite(image),
                "image_range": [str(np.min(image)), str(np.max(image))],
                "label_pixels": {
                    str(v): int(c) for v, c in zip(values, counts, strict=True)
                },
                "all_void": set(values.tolist()) == {run.info.ignore_label},
            }
        )
    return described


def _likely_cause(examples: list[dict[str, Any]], broken: list[str]) -> str:
    bad = [e["filename"] for e in examples if not e["image_is_finite"]]
    if bad:
        return f"pictures with values that are not finite: {', '.join(bad)}"
    if broken:
        return (
            f"{len(broken)} weights are not finite before the step already, the first "
            f"{broken[0]}: an earlier step or the initial weights"
        )
    if all(e["all_void"] for e in examples):
        return "no labelled pixel in the batch"
    return (
        "the weights have grown: the learning rate is too high for this model and "
        "batch, or its warm-up too short"
    )


def _largest(state: TrainState, count: int = 5) -> dict[str, float]:
    sizes = {v.path: float(tf.reduce_max(tf.abs(v.value))) for v in state.model.weights}
    finite = {path: size for path, size in sizes.items() if math.isfinite(size)}
    top = sorted(finite, key=finite.__getitem__, reverse=True)[:count]
    return {path: finite[path] for path in top}


def _is_finite(value: Any) -> bool:
    return bool(tf.reduce_all(tf.math.is_finite(tf.cast(value, tf.float32))))
