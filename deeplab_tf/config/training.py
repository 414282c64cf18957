"""The settings of how it is trained: loss, optimiser, run."""

import dataclasses

from deeplab_tf.config import loss_terms
from deeplab_tf.config.fields import (
    AT_LEAST_ONE,
    BELOW_ONE,
    FRACTION,
    NOT_NEGATIVE,
    POSITIVE,
    Section,
    leaf,
    require,
)

OPTIMIZERS = (
    *("adadelta", "adafactor", "adagrad", "adam", "adamax", "adamw", "ftrl", "lamb"),
    *("lion", "nadam", "rmsprop", "sgd"),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Loss(Section):
    """What is minimised, over the pixels that are not void."""

    terms: str = leaf(
        "cross_entropy",
        f"Losses to add up, as cross_entropy,0.5*lovasz. Known: "
        f"{', '.join(loss_terms.TERMS)}.",
    )
    class_weights: tuple[float, ...] = leaf(
        (),
        "Weight of each class in the cross entropies and the focal loss, in the order "
        "of dataset.json; empty: class_weighting makes them.",
        ("numbers of at least 0", lambda weights: all(w >= 0 for w in weights)),
    )
    class_weighting: str = leaf(
        "none",
        "Class weights from the pixel counts in dataset.json.",
        choices=("none", "inverse", "median_frequency", "effective_number"),
    )
    top_k: float = leaf(
        1.0,
        "Share of each picture's pixels whose cross entropy is kept, the largest.",
        ("in (0, 1]", lambda share: 0 < share <= 1),
    )
    top_k_ramp: float = leaf(
        0.0, "Share of the run in which that falls from 1 to top_k.", FRACTION
    )
    label_smoothing: float = leaf(
        0.0, "Share of a pixel's target spread evenly over all classes.", BELOW_ONE
    )
    focal_gamma: float = leaf(2.0, "Exponent of the focal loss.", NOT_NEGATIVE)
    boundary_width: int = leaf(
        3, "Pixels around another label in which `boundary` weighs more.", AT_LEAST_ONE
    )
    boundary_weight: float = leaf(
        4.0, "What `boundary` adds to the weight 1 there.", NOT_NEGATIVE
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        loss_terms.parse(self.terms)
        require(
            not self.class_weights or self.class_weighting == "none",
            "loss.class_weighting",
            "none where loss.class_weights are given",
            self.class_weighting,
        )

    @property
    def factors(self) -> dict[str, float]:
        """The factor of each term by its name."""
        return loss_terms.parse(self.terms)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Optimizer(Section):
    """The optimiser, its learning rate and weight decay."""

    name: str = leaf("sgd", "Optimiser of Keras.", choices=OPTIMIZERS)
    arguments: str = leaf(
        "", "Further arguments of the optimiser, as beta_2=0.99,epsilon=1e-6."
    )
    learning_rate: float = leaf(0.007, "Learning rate after the warm-up.", POSITIVE)
    schedule: str = leaf(
        "poly",
        "Course of the learning rate.",
        choices=("poly", "cosine", "step", "constant"),
    )
    power: float = leaf(0.9, "Power of the poly schedule.", POSITIVE)
    end_learning_rate: float = leaf(
        0.0, "Rate at the end of the poly and cosine schedules.", NOT_NEGATIVE
    )
    decay_steps: int = leaf(2000, "Steps between drops of `step`.", AT_LEAST_ONE)
    decay_factor: float = leaf(0.1, "Factor of a drop of `step`.", POSITIVE)
    backbone_factor: float = leaf(
        1.0, "Factor on the learning rate of the backbone.", NOT_NEGATIVE
    )
    bias_factor: float = leaf(
        1.0, "Factor on the learning rate of biases; 2 as released.", NOT_NEGATIVE
    )
    clip_norm: float = leaf(
        0.0, "Gradients are scaled down to this norm; 0: never.", NOT_NEGATIVE
    )
    warmup_steps: int = leaf(0, "Steps of linear warm-up from 0.", NOT_NEGATIVE)
    momentum: float = leaf(0.9, "Momentum of SGD.", BELOW_ONE)
    weight_decay: float | None = leaf(
        None,
        "L2 decay of convolution kernels; none: the backbone's released value.",
        NOT_NEGATIVE,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Train(Section):
    """The run: its length, batch, devices, checkpoints."""

    steps: int = leaf(30_000, "Training steps.", AT_LEAST_ONE)
    batch_size: int = leaf(16, "Global batch size.", AT_LEAST_ONE)
    seed: int = leaf(0, "Seed of weights, augmentation and order.", NOT_NEGATIVE)
    init_checkpoint: str = leaf(
        "",
        "Weights to start from: a run folder, a TF1 checkpoint, archive or frozen "
        "graph, zoo:NAME, a .keras or .weights.h5 file. What does not fit is told.",
    )
    strategy: str = leaf(
        "auto",
        "How the batch is spread; auto: over the workers that TF_CONFIG names, else "
        "over all GPUs.",
        choices=("auto", "one_device", "mirrored", "multi_worker", "tpu"),
    )
    num_devices: int = leaf(
        0,
        "Devices to mirror over; 0: all GPUs. Without a GPU: logical CPUs.",
        NOT_NEGATIVE,
    )
    batch_norm_momentum: float | None = leaf(
        None,
        "Decay of the moving statistics; none: the backbone's released value, "
        "lowered in a run too short for it.",
        BELOW_ONE,
    )
    batch_norm: str = leaf(
        "auto",
        "train: statistics of the global batch; frozen: use and keep the moving ones; "
        "auto: frozen where the batch is under 8 and weights are initialised from "
        "trained ones.",
        choices=("auto", "train", "frozen"),
    )
    precision: str = leaf(
        "float32",
        "Type of the computation; weights stay float32.",
        choices=("float32", "mixed_bfloat16", "mixed_float16"),
    )
    quantize: str = leaf(
        "none",
        "int8: trains on from train.init_checkpoint with kernels and maps rounded as "
        "an int8 file rounds them, for export/to_tflite.py --quantize=int8.",
        choices=("none", "int8"),
    )
    xla: str = leaf(
        "auto",
        "Compile the step; auto: on one GPU or on TPUs, never on CPUs, where it is "
        "many times slower.",
        choices=("auto", "on", "off"),
    )
    steps_per_call: int = leaf(
        0, "Steps for each call from the host; 0: 1 on CPUs, 10 else.", NOT_NEGATIVE
    )
    accumulate_steps: int = leaf(
        1,
        "Parts of the batch whose gradients are added up, to save memory.",
        AT_LEAST_ONE,
    )
    ema_decay: float = leaf(
        0.0,
        "Decay of the average of the weights that is evaluated and exported, as "
        "0.999; 0: none.",
        BELOW_ONE,
    )
    rollbacks: int = leaf(
        3,
        "How often a run whose loss is not finite goes back to its last checkpoint "
        "at half the rate.",
        NOT_NEGATIVE,
    )
    stall_seconds: int = leaf(
        1800,
        "A step or an evaluation that takes longer than this ends the run.",
        AT_LEAST_ONE,
    )
    profile_steps: tuple[int, ...] = leaf(
        (),
        "First and last step to profile for TensorBoard; empty: none.",
        (
            "first,last or empty",
            lambda steps: len(steps) in (0, 2) and list(steps) == sorted(steps),
        ),
    )
    log_steps: int = leaf(10, "Steps between lines of metrics.jsonl.", AT_LEAST_ONE)
    checkpoint_steps: int = leaf(500, "Steps between checkpoints.", AT_LEAST_ONE)
    keep_checkpoints: int = leaf(3, "Checkpoints kept beside the best.", AT_LEAST_ONE)
    eval_steps: int = leaf(
        1000,
        "Steps between evaluations; the last step has one too. 0: none.",
        NOT_NEGATIVE,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
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
            self.precision == "float32",
            "train.precision",
            f"float32 {where}",
            self.precision,
        )
