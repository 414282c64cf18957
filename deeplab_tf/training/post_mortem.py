"""What there is to know about a step whose loss is not finite."""

import dataclasses
import math
import pathlib

import keras
import numpy as np
import tensorflow as tf

from deeplab_tf import files
from deeplab_tf.data import reading, records
from deeplab_tf.data.dataset_info import DatasetInfo
from deeplab_tf.network import backbones
from deeplab_tf.runs import Run
from deeplab_tf.training import recipe
from deeplab_tf.training.losses.pixels import total_loss
from deeplab_tf.training.train_state import TrainState


@dataclasses.dataclass(frozen=True, kw_only=True)
class Example:
    """One picture of the bad batch, as it was trained, and the network's word on it.

    Attributes:
      filename: of the picture in its data set.
      image_is_finite: whether all its values are.
      image_range: least and largest value.
      label_pixels: label value -> number of pixels.
      labels_without_class: values that are neither a class nor the ignored label.
      all_void: whether there is no labelled pixel.
      logits_are_finite, loss, gradient_norm: of this picture alone, normalised by the
        moving statistics.
    """

    filename: str
    image_is_finite: bool
    image_range: tuple[str, str]
    label_pixels: dict[str, int]
    labels_without_class: list[int]
    all_void: bool
    logits_are_finite: bool
    loss: str
    gradient_norm: str


def write_post_mortem(
    run: Run, state: TrainState, step: int, told: dict[str, float]
) -> tuple[pathlib.Path, str]:
    """Writes RUN/post_mortem/step-N/report.json.

    The pipeline is a function of the step, so the batch is made once more, now with
    its file names, and nothing needs to be carried along in good times.

    Args:
      run: the run.
      state: as the bad step left it, with the weights that it found. (Of several
        steps in one call the later ones have moved them.)
      step: number of the bad step, counted from 1.
      told: its loss and gradient norm.

    Returns:
      The folder and the likely cause.
    """
    examples = _examples(run, state, step)
    broken = weights_not_finite(state.model, run.info)
    report = {
        "step": step,
        **{key: str(value) for key, value in told.items()},
        "learning_rate": state.learning_rate(),
        "rollbacks_before": int(state.rollbacks.numpy()),
        "likely_cause": _likely_cause(run, examples, broken),
        "weights_not_finite": broken,
        "largest_weights": _largest(state),
        "class_names": run.info.class_names,
        "class_weights": run.config.loss.class_weights,
        "examples": [dataclasses.asdict(example) for example in examples],
    }
    folder = run.path / "post_mortem" / f"step-{step}"
    files.write_json(folder / "report.json", report)
    return folder, str(report["likely_cause"])


def weights_not_finite(model: keras.Model, info: DatasetInfo) -> list[str]:
    """The paths of such weights; those of the classifier with the classes' names."""
    broken = []
    for variable in model.weights:
        finite = np.isfinite(np.asarray(variable.value, np.float32))
        if finite.all():
            continue
        classes = ""
        if variable.path.startswith("logits/"):
            by_class = finite.reshape(-1, finite.shape[-1])  # [n, K]
            names = [
                n for i, n in enumerate(info.class_names) if not all(by_class[:, i])
            ]
            classes = f" (classes {', '.join(names)})"
        broken.append(variable.path + classes)
    return broken


def _examples(run: Run, state: TrainState, step: int) -> list[Example]:
    (batch,) = reading.read_crops(
        run.config,
        run.info,
        1,
        fill=backbones.get_spec(run.config.model.backbone).mean,
        start_step=step - 1,
        filenames=True,
    )
    # A copy that belongs to no strategy, so that one worker alone can ask it.
    model = keras.models.clone_model(state.model)
    model.set_weights(state.model.get_weights())
    names = [records.name_of({"filename": name}) for name in batch["filename"]]
    rows = zip(names, batch["image"], batch["labels"], strict=True)
    return [_describe(run, model, step, *row) for row in rows]


def _describe(
    run: Run,
    model: keras.Model,
    step: int,
    filename: str,
    image: tf.Tensor,
    labels: tf.Tensor,
) -> Example:
    info = run.info
    values, counts = np.unique(labels, return_counts=True)
    pixels = {int(v): int(c) for v, c in zip(values, counts, strict=True)}
    known = {*range(info.num_classes), info.ignore_label}
    unknown = sorted(set(pixels) - known)
    # Such a label has no loss; some devices refuse it.
    valid = tf.where(tf.reduce_any([labels == v for v in known], axis=0), labels, 0)
    logits, loss, norm = _pass(run, model, step, image[None], valid[None])
    return Example(
        filename=filename,
        image_is_finite=_is_finite(image),
        image_range=(str(np.min(image)), str(np.max(image))),
        label_pixels={str(value): count for value, count in pixels.items()},
        labels_without_class=unknown,
        all_void=set(pixels) == {info.ignore_label},
        logits_are_finite=_is_finite(logits),
        loss=f"{loss:g}",
        gradient_norm=f"{norm:g}",
    )


def _pass(
    run: Run, model: keras.Model, step: int, image: tf.Tensor, labels: tf.Tensor
) -> tuple[tf.Tensor, float, float]:
    """Logits, loss and gradient norm of a batch of one."""
    config = run.config
    objective = recipe.make_objective(config, run.info)
    progress = tf.constant(step / config.train.steps, tf.float32)
    with tf.GradientTape() as tape:
        logits = model(image, training=False)
        terms = objective(logits, labels, progress)
        counts = [tf.maximum(count, 1.0) for _, count in terms.values()]
        loss = total_loss(terms, config.loss, counts)
    gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
    norm = tf.linalg.global_norm([g for g in gradients if g is not None])
    return logits, float(loss), float(norm)


def _likely_cause(run: Run, examples: list[Example], broken: list[str]) -> str:
    bad = [e.filename for e in examples if not e.image_is_finite]
    if bad:
        return f"pictures with values that are not finite: {', '.join(bad)}"
    odd = [
        f"{e.filename} {e.labels_without_class}"
        for e in examples
        if e.labels_without_class
    ]
    if odd:
        return f"labels that are no class of the data set: {', '.join(odd)}"
    if broken:
        return (
            f"{len(broken)} weights are not finite before the step already, the first "
            f"{broken[0]}: an earlier step or the initial weights"
        )
    if all(e.all_void for e in examples):
        return "no labelled pixel in the batch"
    lost = [e.filename for e in examples if e.logits_are_finite and _overflows(e)]
    if lost:
        return (
            "the loss overflows though the network's output is finite: the loss "
            f"settings, as class weights {list(run.config.loss.class_weights)} of "
            f"{', '.join(run.info.class_names)}, or logits too large; pictures "
            f"{', '.join(lost)}"
        )
    return (
        "the weights have grown: the learning rate is too high for this model and "
        "batch, or its warm-up too short"
    )


def _overflows(example: Example) -> bool:
    return not math.isfinite(float(example.loss))


def _largest(state: TrainState, count: int = 5) -> dict[str, float]:
    sizes = {v.path: float(tf.reduce_max(tf.abs(v.value))) for v in state.model.weights}
    finite = {path: size for path, size in sizes.items() if math.isfinite(size)}
    top = sorted(finite, key=finite.__getitem__, reverse=True)[:count]
    return {path: finite[path] for path in top}


def _is_finite(value: object) -> bool:
    return bool(tf.reduce_all(tf.math.is_finite(tf.cast(value, tf.float32))))
