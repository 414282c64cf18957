"""The settings of what is done with a trained run: predict, evaluate, draw, export.

Of the same kind as those of training, and like them the flags of their commands
(`--output_stride`), though none is part of run.json.
"""

import dataclasses

from deeplab_tf.config.fields import (
    AT_LEAST_ONE,
    NOT_NEGATIVE,
    SIZE_OR_EMPTY,
    Section,
    leaf,
    one_of,
)

CHECKPOINTS = ("best", "latest")
DRAWINGS = ("masks", "overlays", "raw", "confidence", "errors")
OUTPUT_TYPES = ("logits", "probabilities", "labels")
QUANTIZATIONS = ("none", "float16", "dynamic", "int8", "int16x8")
SUBMISSIONS = ("cityscapes", "voc2012", "ade20k")
MIN_TILE = 65
MIN_INPUT = 33
_STRIDE = one_of(8, 16, 32)
_SCALES = (
    "positive numbers, as 0.5,1.0",
    lambda scales: bool(scales) and all(scale > 0 for scale in scales),
)


class Options(Section):
    """Settings that are no part of a run; messages name them as flags."""

    @classmethod
    def full_name(cls, name: str) -> str:
        """As the command line spells it."""
        return f"--{name}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunOptions(Options):
    """Which weights and which shards of a run are meant."""

    checkpoint: str = leaf("best", "Weights to take from the run.", choices=CHECKPOINTS)
    dataset_dir: str | None = leaf(None, "Folder of the shards, if it moved.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class PredictOptions(RunOptions):
    """How images are labelled."""

    output_stride: int | None = leaf(
        None, "Another than trained at: 8, 16, 32.", _STRIDE
    )
    scales: tuple[float, ...] = leaf(
        (1.0,), "Factors whose predictions are averaged.", _SCALES
    )
    flip: bool = leaf(False, "Average with the mirrored image, too.")
    tile_size: int | None = leaf(
        None,
        "Predict in tiles of so many pixels.",
        (f"at least {MIN_TILE}", lambda side: side >= MIN_TILE),
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluateOptions(PredictOptions):
    """What is measured, on which images."""

    split: str | None = leaf(None, "Split; none: the run's data.eval_split.")
    batch_size: int = leaf(1, "Images of one size predicted at once.", AT_LEAST_ONE)
    details: bool = leaf(
        True, "Boundaries, calibration, interval and each image's scores."
    )
    compare_to: str | None = leaf(
        None, "Another run, evaluated on this split: a paired test."
    )
    saved_model: str | None = leaf(None, "Evaluate this export of the run.")
    tflite: str | None = leaf(None, "Evaluate this export of the run.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DrawOptions(PredictOptions):
    """What is drawn, of which images."""

    split: str | None = leaf(None, "Split of the run's data set to draw.")
    images: str | None = leaf(None, "Folder, glob, file or film to draw instead.")
    limit: int | None = leaf(None, "At most so many images.", AT_LEAST_ONE)
    kinds: tuple[str, ...] = leaf(
        ("masks", "overlays"),
        f"What to draw: {', '.join(DRAWINGS)}.",
        (f"of {', '.join(DRAWINGS)}", lambda kinds: set(kinds) <= set(DRAWINGS)),
    )
    submission: str | None = leaf(
        None, "Also files for this benchmark's server.", choices=SUBMISSIONS
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExploreOptions(Options):
    """Which settings are tried."""

    output_strides: tuple[int, ...] = leaf(
        (8, 16, 32),
        "Strides to try.",
        ("8, 16, 32", lambda strides: bool(strides) and set(strides) <= {8, 16, 32}),
    )
    scales: tuple[tuple[float, ...], ...] = leaf(
        ((0.5,), (0.75,), (1.0,), (0.75, 1.0, 1.25)),
        "Scales to average; repeat it.",
        (_SCALES[0], lambda groups: bool(groups) and all(map(_SCALES[1], groups))),
    )
    flip: bool = leaf(True, "Try each setting with the mirrored image, too.")
    size: tuple[int, ...] = leaf(
        (),
        "height,width whose cost is measured; empty: the training crop.",
        SIZE_OR_EMPTY,
    )
    split: str | None = leaf(None, "Split; none: the run's data.eval_split.")
    dataset_dir: str | None = leaf(None, "Folder of the shards, if it moved.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReportOptions(RunOptions):
    """What the report shows."""

    split: str | None = leaf(None, "Split; none: the run's data.eval_split.")
    pictures: int = leaf(4, "Images under each heading; 0: none.", NOT_NEGATIVE)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportOptions(RunOptions):
    """What every export is given, and what it is held against."""

    output_stride: int | None = leaf(
        None, "Another than trained at: 8, 16, 32.", _STRIDE
    )
    check_pictures: int = leaf(
        50, "Images of the run's eval_split to compare with Keras.", AT_LEAST_ONE
    )
    max_miou_drop: float = leaf(0.05, "An export that loses more mIoU is not written.")
    measure: bool = leaf(True, "Measure speed and memory, too.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SavedModelOptions(ExportOptions):
    """What a SavedModel serves."""

    scales: tuple[float, ...] = leaf(
        (1.0,), "Factors whose predictions are averaged.", _SCALES
    )
    flip: bool = leaf(False, "Average with the mirrored image, too.")
    max_pixels: int = leaf(2**24, "Pixels that a request may hold.", AT_LEAST_ONE)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TFLiteOptions(ExportOptions):
    """Sizes, output and quantisation of a .tflite file."""

    input_size: tuple[int, ...] = leaf(
        (),
        "height,width of the image, several times for several signatures: "
        "257,257,513,513. Empty: the smallest size that suits the network and holds "
        "the data set's usual image.",
        (
            f"height,width of at least {MIN_INPUT} pixels each",
            lambda sides: len(sides) % 2 == 0 and min(sides, default=99) >= MIN_INPUT,
        ),
    )
    output_type: str = leaf("logits", "What it gives.", choices=OUTPUT_TYPES)
    quantize: str = leaf(
        "none",
        "float16: half the size. dynamic: int8 weights. int8: all of it, for integer "
        "hardware and fast CPUs. int16x8: int8 weights, activations of 16 bits.",
        choices=QUANTIZATIONS,
    )
    calibration_pictures: int = leaf(
        100,
        "Training images from which int8 and int16x8 take the ranges of activations.",
        AT_LEAST_ONE,
    )

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """Each height, width of `input_size`."""
        sides = self.input_size
        return list(zip(sides[::2], sides[1::2], strict=True))
