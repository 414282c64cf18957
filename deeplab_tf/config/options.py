"""The settings of what is done with a trained run: predict, evaluate, draw, export.

Of the same kind as those of training, and like them the flags of their commands
(`--output_stride`), though none is part of run.json.
"""

import typing
from typing import Annotated, ClassVar, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)

from deeplab_tf.config.fields import (
    COMMA_LIST,
    NONE,
    PositiveInts,
    SizeOrEmpty,
    checked,
    leaf,
    require,
    rule,
)

Checkpoint = Literal["best", "latest"]
Drawing = Literal["masks", "overlays", "raw", "confidence", "errors"]
OutputType = Literal["logits", "probabilities", "labels"]
Quantization = Literal["none", "float16", "dynamic", "int8", "int16x8"]
Benchmark = Literal["cityscapes", "voc2012", "ade20k"]
Uncertainty = Literal["entropy", "margin", "least_confidence"]
Selection = Literal["k_center", "k_means", "uncertainty"]
DRAWINGS: tuple[str, ...] = typing.get_args(Drawing)
SELECTIONS: tuple[str, ...] = typing.get_args(Selection)
UNCERTAINTIES: tuple[str, ...] = typing.get_args(Uncertainty)
SUBMISSIONS: tuple[str, ...] = typing.get_args(Benchmark)
MIN_TILE = 65
MIN_INPUT = 33
Text = Annotated[str | None, NONE]
Stride = Annotated[int, rule("8, 16, 32", (8, 16, 32).__contains__)]
OtherStride = Annotated[Stride | None, NONE]
Scales = Annotated[
    tuple[PositiveFloat, ...], COMMA_LIST, rule("numbers, as 0.5,1.0", bool)
]


@checked
class Options:
    """Settings that are no part of a run; messages name them as flags."""

    PREFIX: ClassVar[str] = "--"


@checked
class RunOptions(Options):
    """Which weights and which shards of a run are meant."""

    checkpoint: Checkpoint = leaf("best", "Weights to take from the run.")
    dataset_dir: Text = leaf(None, "Folder of the shards, if it moved.")


@checked
class PredictOptions(RunOptions):
    """How images are labelled."""

    output_stride: OtherStride = leaf(None, "Another than trained at: 8, 16, 32.")
    scales: Scales = leaf((1.0,), "Factors whose predictions are averaged.")
    flip: bool = leaf(False, "Average with the mirrored image, too.")
    tile_size: Annotated[Annotated[int, Field(ge=MIN_TILE)] | None, NONE] = leaf(
        None, "Predict in tiles of so many pixels."
    )


@checked
class EvaluateOptions(PredictOptions):
    """What is measured, on which images."""

    split: Text = leaf(None, "Split; none: the run's data.eval_split.")
    batch_size: PositiveInt = leaf(1, "Images of one size predicted at once.")
    details: bool = leaf(
        True, "Boundaries, calibration, interval and each image's scores."
    )
    compare_to: Text = leaf(
        None,
        "Another run, evaluated on this split: a paired test. Where it knows fewer "
        "classes, in these alone and on its data set.",
    )
    saved_model: Text = leaf(None, "Evaluate this export of the run.")
    tflite: Text = leaf(None, "Evaluate this export of the run.")
    output: Text = leaf(None, "Folder for the results; none: RUN/eval.")


@checked
class DrawOptions(PredictOptions):
    """What is drawn, of which images."""

    split: Text = leaf(None, "Split of the run's data set to draw.")
    images: Text = leaf(None, "Folder, glob, file, list or film to draw instead.")
    limit: Annotated[PositiveInt | None, NONE] = leaf(None, "At most so many images.")
    kinds: Annotated[tuple[Drawing, ...], COMMA_LIST] = leaf(
        ("masks", "overlays"), f"What to draw: {', '.join(DRAWINGS)}."
    )
    submission: Benchmark | None = leaf(None, "Also files for this benchmark's server.")


@checked
class SuggestOptions(PredictOptions):
    """Which images are chosen for labelling, and how."""

    images: Text = leaf(None, "Folder, glob or list (.txt, .csv) of unlabelled images.")
    count: PositiveInt = leaf(50, "How many to choose.")
    uncertainty: Uncertainty = leaf("entropy", "How unsure the network is of a pixel.")
    selection: Selection = leaf(
        "k_center",
        "Uncertain and unlike what is labelled: the farthest first (k_center) or by "
        "lot (k_means); or by uncertainty alone.",
    )
    labelled: NonNegativeInt = leaf(
        300, "Images of the run's train_split that count as labelled; 0: none."
    )
    seed: NonNegativeInt = leaf(0, "Of what k_means draws.")
    tolerance: NonNegativeFloat = leaf(
        2.0, "Pixels by which edges of pre-labels may be off, for fewer corners."
    )


@checked
class ReviewOptions(PredictOptions):
    """Whose labels are looked through, and how much is shown."""

    split: Text = leaf(None, "Split; none: the run's data.train_split.")
    count: PositiveInt = leaf(200, "Suspected regions on the page.")
    least: PositiveInt = leaf(25, "Pixels of the smallest region.")
    output: Text = leaf(None, "Folder to write; none: RUN/review/<split>.")
    decisions: tuple[str, ...] = leaf(
        (),
        "File of earlier decisions, whose regions are left out; repeat it. Empty: "
        "decisions*.json in the folder to write.",
    )


@checked
class ExploreOptions(Options):
    """Which settings are tried."""

    output_strides: Annotated[
        tuple[Stride, ...], COMMA_LIST, rule("some of 8, 16, 32", bool)
    ] = leaf((8, 16, 32), "Strides to try.")
    scales: tuple[Scales, ...] = leaf(
        ((0.5,), (0.75,), (1.0,), (0.75, 1.0, 1.25)), "Scales to average; repeat it."
    )
    flip: bool = leaf(True, "Try each setting with the mirrored image, too.")
    size: SizeOrEmpty = leaf(
        (), "height,width whose cost is measured; empty: the training crop."
    )
    budget_ms: NonNegativeFloat = leaf(
        0.0, "Time for an image: says which setting is the best within it."
    )
    split: Text = leaf(None, "Split; none: the run's data.eval_split.")
    dataset_dir: Text = leaf(None, "Folder of the shards, if it moved.")


@checked
class ReportOptions(RunOptions):
    """What the report shows."""

    split: Text = leaf(None, "Split; none: the run's data.eval_split.")
    pictures: NonNegativeInt = leaf(4, "Images under each heading; 0: none.")


@checked
class ExportOptions(RunOptions):
    """What every export is given, and what it is held against."""

    output_stride: OtherStride = leaf(None, "Another than trained at: 8, 16, 32.")
    check_pictures: PositiveInt = leaf(
        50, "Images of the run's eval_split to compare with Keras."
    )
    max_miou_drop: float = leaf(0.05, "An export that loses more mIoU is not written.")
    measure: bool = leaf(True, "Measure speed and memory, too.")


@checked
class SavedModelOptions(ExportOptions):
    """What a SavedModel serves."""

    scales: Scales = leaf((1.0,), "Factors whose predictions are averaged.")
    flip: bool = leaf(False, "Average with the mirrored image, too.")
    max_pixels: PositiveInt = leaf(2**24, "Pixels that a request may hold.")


@checked
class FixedSizeOptions(ExportOptions):
    """Sizes and quantisation of a network for LiteRT."""

    input_size: Annotated[
        PositiveInts,
        rule(
            f"height,width of at least {MIN_INPUT} pixels each",
            lambda sides: len(sides) % 2 == 0 and min(sides, default=99) >= MIN_INPUT,
        ),
    ] = leaf(
        (),
        "height,width of the image, several times for several signatures: "
        "257,257,513,513. Empty: the smallest size that suits the network and holds "
        "the data set's usual image.",
    )
    quantize: Quantization = leaf(
        "none",
        "float16: half the size. dynamic: int8 weights. int8: all of it, for integer "
        "hardware and fast CPUs. int16x8: int8 weights, activations of 16 bits.",
    )
    calibration_pictures: PositiveInt = leaf(
        100,
        "Training images from which int8 and int16x8 take the ranges of activations.",
    )

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """Each height, width of `input_size`."""
        sides = self.input_size
        return list(zip(sides[::2], sides[1::2], strict=True))


@checked
class TFLiteOptions(FixedSizeOptions):
    """What a .tflite file gives."""

    output_type: OutputType = leaf("logits", "What it gives.")

    def __post_init__(self) -> None:
        require(
            (self.quantize, self.output_type) != ("int16x8", "labels"),
            "--output_type",
            "logits or probabilities where --quantize is int16x8: the format has no "
            "argmax of 16 bits",
            self.output_type,
        )


@checked
class WebOptions(FixedSizeOptions):
    """What a page that runs the network takes."""

    output_type: ClassVar[OutputType] = "labels"  # of the .tflite file inside

    def __post_init__(self) -> None:
        require(
            len(self.sizes) <= 1,
            "--input_size",
            "one height,width for a page",
            self.input_size,
        )
        require(
            self.quantize != "int16x8",
            "--quantize",
            "none, float16, dynamic or int8 for a page: int16x8 gives no labels",
            self.quantize,
        )


EXPORTS: dict[str, type[ExportOptions]] = {
    "saved_model": SavedModelOptions,
    "tflite": TFLiteOptions,
    "onnx": ExportOptions,
    "keras": ExportOptions,
    "web": WebOptions,
}
