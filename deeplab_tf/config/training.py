"""The settings of how it is trained: loss, optimiser, run."""

import typing
from typing import Annotated, Literal

from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)

from deeplab_tf.config.fields import (
    COMMA_LIST,
    NONE,
    BelowOne,
    Fraction,
    checked,
    leaf,
    require,
    rule,
)

OptimizerName = Literal[
    "adadelta",
    "adafactor",
    "adagrad",
    "adam",
    "adamax",
    "adamw",
    "ftrl",
    "lamb",
    "lion",
    "nadam",
    "rmsprop",
    "sgd",
]
OPTIMIZERS: tuple[str, ...] = typing.get_args(OptimizerName)
# Their functions are in training/losses.
Term = Literal["cross_entropy", "boundary", "focal", "dice", "lovasz"]
TERMS: tuple[str, ...] = typing.get_args(Term)


def _read_terms(value: object) -> object:
    """The factor of each term, also from "cross_entropy,0.5*lovasz" (flags, old files).

    A term alone has the factor 1.
    """
    if not isinstance(value, str):
        return value
    parts = [part.rpartition("*") for part in value.split(",") if part.strip()]
    names = [name.strip() for *_, name in parts]
    require(len(set(names)) == len(names), "loss.terms", "different losses", value)
    return {
        name: _number(factor or "1")
        for name, (factor, *_) in zip(names, parts, strict=True)
    }


def _number(text: str) -> float | str:
    """The number that a text says; what is none is left to the check of the type."""
    try:
        return float(text)
    except ValueError:
        return text


@checked
class Loss:
    """What is minimised, over the pixels that are not void."""

    terms: Annotated[
        dict[Term, PositiveFloat],
        BeforeValidator(_read_terms),
        rule("at least one loss, as cross_entropy,0.5*lovasz", bool),
    ] = leaf(
        {"cross_entropy": 1.0},
        f"Losses to add up and their factors, as cross_entropy,0.5*lovasz. Known: "
        f"{', '.join(TERMS)}.",
    )
    class_weights: Annotated[tuple[NonNegativeFloat, ...], COMMA_LIST] = leaf(
        (),
        "Weight of each class in the cross entropies and the focal loss, in the order "
        "of dataset.json; empty: class_weighting makes them.",
    )
    class_weighting: Literal[
        "none", "inverse", "inverse_root", "median_frequency", "effective_number"
    ] = leaf("none", "Class weights from the pixel counts in dataset.json.", main=True)
    class_weights_end: Fraction = leaf(
        1.0,
        "Power of the class weights at the end of the run, to which it goes from 1: "
        "below 1 rare classes are found first and their borders set later; 0: none "
        "are left.",
    )
    top_k: Annotated[float, Field(gt=0, le=1)] = leaf(
        1.0, "Share of each picture's pixels whose cross entropy is kept, the largest."
    )
    top_k_ramp: Fraction = leaf(
        0.0, "Share of the run in which that falls from 1 to top_k."
    )
    label_smoothing: BelowOne = leaf(
        0.0, "Share of a pixel's target spread evenly over all classes."
    )
    focal_gamma: NonNegativeFloat = leaf(2.0, "Exponent of the focal loss.")
    boundary_width: PositiveInt = leaf(
        3, "Pixels around another label in which `boundary` weighs more."
    )
    boundary_weight: NonNegativeFloat = leaf(
        4.0, "What `boundary` adds to the weight 1 there."
    )

    def __post_init__(self) -> None:
        require(
            not self.class_weights or self.class_weighting == "none",
            "loss.class_weighting",
            "none where loss.class_weights are given",
            self.class_weighting,
        )


@checked
class Optimizer:
    """The optimiser, its learning rate and weight decay."""

    name: OptimizerName = leaf("sgd", "Optimiser of Keras.")
    arguments: str = leaf(
        "", "Further arguments of the optimiser, as beta_2=0.99,epsilon=1e-6."
    )
    learning_rate: PositiveFloat = leaf(
        0.007, "Learning rate after the warm-up.", main=True
    )
    schedule: Literal["poly", "cosine", "step", "constant"] = leaf(
        "poly", "Course of the learning rate."
    )
    power: PositiveFloat = leaf(0.9, "Power of the poly schedule.")
    end_learning_rate: NonNegativeFloat = leaf(
        0.0, "Rate at the end of the poly and cosine schedules."
    )
    decay_steps: PositiveInt = leaf(2000, "Steps between drops of `step`.")
    decay_factor: PositiveFloat = leaf(0.1, "Factor of a drop of `step`.")
    backbone_factor: NonNegativeFloat = leaf(
        1.0, "Factor on the learning rate of the backbone."
    )
    bias_factor: NonNegativeFloat = leaf(
        1.0, "Factor on the learning rate of biases; 2 as released."
    )
    clip_norm: NonNegativeFloat = leaf(
        0.0, "Gradients are scaled down to this norm; 0: never."
    )
    warmup_steps: NonNegativeInt = leaf(0, "Steps of linear warm-up from 0.")
    momentum: BelowOne = leaf(0.9, "Momentum of SGD.")
    weight_decay: Annotated[NonNegativeFloat | None, NONE] = leaf(
        None, "L2 decay of convolution kernels; none: the backbone's released value."
    )


@checked
class Train:
    """The run: its length, batch, devices, checkpoints."""

    steps: PositiveInt = leaf(30_000, "Training steps.", may_change=True, main=True)
    minutes: NonNegativeFloat = leaf(
        0.0,
        "Time to fill where train.steps is not given: the first steps are measured; "
        "0: as many steps as the data set asks for.",
        may_change=True,
        main=True,
    )
    batch_size: PositiveInt = leaf(16, "Global batch size.", main=True)
    seed: NonNegativeInt = leaf(0, "Seed of weights, augmentation and order.")
    init_checkpoint: str = leaf(
        "",
        "Weights to start from: a run folder, a TF1 checkpoint, archive or frozen "
        "graph, zoo:NAME, a .keras or .weights.h5 file; auto: the best released ones "
        "for the backbone that are in the cache. What does not fit is told.",
        main=True,
    )
    strategy: Literal["auto", "one_device", "mirrored", "multi_worker", "tpu"] = leaf(
        "auto",
        "How the batch is spread; auto: over the workers that TF_CONFIG names, else "
        "over all GPUs.",
    )
    num_devices: NonNegativeInt = leaf(
        0, "Devices to mirror over; 0: all GPUs. Without a GPU: logical CPUs."
    )
    batch_norm_momentum: Annotated[BelowOne | None, NONE] = leaf(
        None,
        "Decay of the moving statistics; none: the backbone's released value, "
        "lowered in a run too short for it.",
    )
    batch_norm: Literal["auto", "train", "frozen"] = leaf(
        "auto",
        "train: statistics of the global batch; frozen: use and keep the moving ones; "
        "auto: frozen where the batch is under 8 and weights are initialised from "
        "trained ones.",
    )
    frozen_stride: Annotated[int, rule("0, 4, 8, 16", (0, 4, 8, 16).__contains__)] = (
        leaf(
            0,
            "The backbone up to its decoder map of this stride keeps the weights it "
            "begins with, which makes steps cheaper; 0: all of it trains.",
        )
    )
    precision: Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"] = leaf(
        "float32",
        "Type of the computation; weights stay float32. auto: mixed_bfloat16 where "
        "the hardware multiplies it (AVX-512 BF16, AMX, GPUs from Ampere on, TPUs).",
    )
    quantize: Literal["none", "int8"] = leaf(
        "none",
        "int8: trains on from train.init_checkpoint with kernels and maps rounded as "
        "an int8 file rounds them, for export/to_tflite.py --quantize=int8.",
    )
    xla: Literal["auto", "on", "off"] = leaf(
        "auto",
        "Compile the step; auto: on one GPU or on TPUs, not on several GPUs, never on "
        "CPUs, where it is many times slower.",
    )
    steps_per_call: NonNegativeInt = leaf(
        0, "Steps for each call from the host; 0: 1 on CPUs, 10 else.", may_change=True
    )
    accumulate_steps: PositiveInt = leaf(
        1, "Parts of the batch whose gradients are added up, to save memory."
    )
    ema_decay: BelowOne = leaf(
        0.0,
        "Decay of the average of the weights that is evaluated and exported, as "
        "0.999; 0: none.",
    )
    rollbacks: NonNegativeInt = leaf(
        3,
        "How often a run whose loss is not finite goes back to its last checkpoint "
        "at half the rate.",
        may_change=True,
    )
    stall_seconds: PositiveInt = leaf(
        1800,
        "A step or an evaluation that takes longer than this ends the run.",
        may_change=True,
    )
    profile_steps: Annotated[
        tuple[int, ...],
        COMMA_LIST,
        rule(
            "first,last or empty",
            lambda steps: len(steps) in (0, 2) and list(steps) == sorted(steps),
        ),
    ] = leaf(
        (),
        "First and last step to profile for TensorBoard; empty: none.",
        may_change=True,
    )
    callbacks: Annotated[
        tuple[Literal["mlflow", "wandb"], ...],
        COMMA_LIST,
        rule("different names", lambda names: len(set(names)) == len(names)),
    ] = leaf(
        (),
        "Trackers that are told what metrics.jsonl is told: mlflow, wandb or both; "
        "empty: none. Where they keep it is in their own environment variables.",
        may_change=True,
    )
    log_steps: PositiveInt = leaf(
        10, "Steps between lines of metrics.jsonl.", may_change=True
    )
    checkpoint_steps: PositiveInt = leaf(
        500, "Steps between checkpoints.", may_change=True
    )
    keep_checkpoints: PositiveInt = leaf(
        3, "Checkpoints kept beside the best.", may_change=True
    )
    eval_steps: NonNegativeInt = leaf(
        1000,
        "Steps between evaluations; the last step has one too. 0: none.",
        may_change=True,
    )

    def __post_init__(self) -> None:
        require(
            bool(self.init_checkpoint) or not self.frozen_stride,
            "train.frozen_stride",
            "0 without train.init_checkpoint: random weights have to train",
            self.frozen_stride,
        )
        if self.quantize == "none":
            return
        where = f"where train.quantize is {self.quantize}"
        require(
            bool(self.init_checkpoint),
            "train.init_checkpoint",
            f"a trained run {where}",
            self.init_checkpoint,
        )
        require(
            self.precision in ("auto", "float32"),
            "train.precision",
            f"float32 {where}",
            self.precision,
        )
