"""The README of a fitted model: how good it is, what limits it, how it is run."""

import pathlib
from collections.abc import Mapping, Sequence

from deeplab_tf.data.dataset_info import DatasetInfo
from deeplab_tf.files import Values
from deeplab_tf.runs import Run

_WEAK = 0.5  # IoU below which a class is named
_FEW_PIXELS = 0.01  # of the training pixels
_PASSES = 50  # over the images, below which a network has hardly learnt

_TEXT = """# {name}: a DeepLabv3+ model of {classes} classes

Trained on {train_count} images, measured on {val_count} that it had not seen
(split `{split}`): **mIoU {miou}**, {accuracy} of the pixels right.

| class | IoU | share of the training pixels |
|---|---|---|
{rows}

{limits}

## What is here

| file | what it is |
|---|---|
{contents}

## Run it

```python
from deeplab_tf import load
model = load("{model}")
labels = model.predict("image.jpg")  # [height, width], 0 is {first_class}
```

Without this library: `saved_model/` is a TensorFlow SavedModel whose
`serving_default` takes uint8 images [B, H, W, {channels}]; the .tflite files run in
LiteRT on phones. Each has a `.proof.json` beside it that tells how near it is to the
trained network.

Train on with other settings: `python -m deeplab_tf.train --help`.
"""
_CONTENTS = {
    "data": "audited TFRecord shards; `audit.json` lists what looked odd",
    "run": "the trained run: settings, weights, curves",
    "report.html": "scores, confusions, the best and the worst images",
    "saved_model": "for TensorFlow and servers",
    "model.tflite": "for phones and CPUs, float32",
    "model_int8.tflite": "the same in 8 bits: smaller and faster",
}


def render(folder: pathlib.Path, run: Run, scores: Values) -> str:
    """The text.

    Args:
      folder: of the fit.
      run: the trained run.
      scores: what evaluation found, as `evaluate_run` gives it.
    """
    info, data = run.info, run.config.data
    model = "saved_model" if (folder / "saved_model").exists() else "run"
    return _TEXT.format(
        name=info.name,
        classes=info.num_classes,
        train_count=info.split(data.train_split).num_examples,
        val_count=scores["num_images"],
        split=scores["split"],
        miou=_score(scores["miou"]),
        accuracy=_percent(scores["pixel_accuracy"]),
        rows="\n".join(_rows(info, data.train_split, scores["per_class_iou"])),
        limits="\n".join([*limits(info, data.train_split, scores), *_haste(run)]),
        contents="\n".join(_contents(folder)),
        model=folder / model,
        first_class=info.class_names[0],
        channels=info.channels,
    )


def _rows(info: DatasetInfo, split: str, iou: Mapping[str, float | None]) -> list[str]:
    shares = _shares(info, split)
    return [
        f"| {name} | {_score(iou[name])} | {share:.2%} |"
        for name, share in zip(info.class_names, shares, strict=True)
    ]


def limits(info: DatasetInfo, split: str, scores: Values) -> list[str]:
    """Which classes are weak, and what would help, the weakest first."""
    iou = scores["per_class_iou"]
    shares = dict(zip(info.class_names, _shares(info, split), strict=True))
    weak = [(v, name) for name, v in iou.items() if v is not None and v < _WEAK]
    lines = ["What limits it:"]
    for value, name in sorted(weak)[:5]:
        cause = (
            f"only {shares[name]:.2%} of the training pixels: label more images of it"
            if shares[name] < _FEW_PIXELS
            else "look at its mistakes in report.html; its labels may disagree"
        )
        lines.append(f"- **{name}** (IoU {value:.2f}): {cause}.")
    absent = [name for name, value in iou.items() if value is None]
    if absent:
        lines.append(
            f"- not measured, for it is in no held-out image: {', '.join(absent)}."
        )
    if scores["num_images"] < 20:
        lines.append(
            f"- {scores['num_images']} held-out images are few: the scores are rough."
        )
    return lines if len(lines) > 1 else ["No class stands out as weak."]


def _haste(run: Run) -> list[str]:
    """A line where the images were seen too few times."""
    train = run.config.train
    images = run.info.split(run.config.data.train_split).num_examples
    passes = train.steps * train.batch_size / images
    if passes >= _PASSES:
        return []
    return [
        f"- {train.steps} steps saw each image about {passes:.0f} times, which is "
        "little: more `--minutes` (into a new folder) will help most."
    ]


def _contents(folder: pathlib.Path) -> list[str]:
    lines = []
    for name, what in _CONTENTS.items():
        refused = folder / f"{name}.refused.txt"
        if (folder / name).exists():
            lines.append(f"| `{name}` | {what} |")
        elif refused.exists():
            lines.append(f"| `{refused.name}` | why `{name}` was not written |")
    return lines


def _shares(info: DatasetInfo, split: str) -> Sequence[float]:
    pixels = info.splits[split].class_pixels or (0,) * info.num_classes
    total = max(sum(pixels), 1)
    return [count / total for count in pixels]


def _score(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.3f}"


def _percent(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.1%}"
