"""The configuration of a run: frozen dataclasses, their checks, strict JSON.

Each leaf stands once, here, with its help text. Its flag (`--model.output_stride`),
its place in run.json and in every exported file follow from it. Neither the number
of classes nor the ignored label is here: they belong to the data set (dataset.json).
"""

import dataclasses
import json
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from deeplab_tf import backbones, loss_terms
from deeplab_tf.errors import UserError, unknown

SCHEMA = 1
T = TypeVar("T")
Rule = tuple[str, Callable[[Any], bool]]  # what is allowed, in words and as a test

POSITIVE: Rule = ("positive", lambda value: value > 0)
NOT_NEGATIVE: Rule = ("at least 0", lambda value: value >= 0)
AT_LEAST_ONE: Rule = ("at least 1", lambda value: value >= 1)
FRACTION: Rule = ("in [0, 1]", lambda value: 0 <= value <= 1)
BELOW_ONE: Rule = ("in [0, 1)", lambda value: 0 <= value < 1)
ALL_POSITIVE: Rule = ("positive numbers", lambda values: all(v > 0 for v in values))
DIFFERENT: Rule = (
    "different positive numbers",
    lambda values: all(v > 0 for v in values) and len(set(values)) == len(values),
)
HALF_TURN: Rule = ("in [0, 180]", lambda value: 0 <= value <= 180)
SIZE_OR_EMPTY: Rule = (
    "height,width or empty",
    lambda size: len(size) in (0, 2) and all(side > 0 for side in size),
)


OPTIMIZERS = (
    *("adadelta", "adafactor", "adagrad", "adam", "adamax", "adamw", "ftrl", "lamb"),
    *("lion", "nadam", "rmsprop", "sgd"),
)


def one_of(*values: Any) -> Rule:
    """The rule that a value is one of those given."""
    return ", ".join(map(str, values)), lambda value: value in values


def leaf(
    default: T,
    help_text: str,
    rule: Rule | None = None,
    choices: tuple[str, ...] | None = None,
) -> T:
    """A dataclass field with its help text and what it may be; None is always let by.

    Args:
      default: its value where nothing else is given; its type is the field's hint.
      help_text: one or two sentences, shown by --help.
      rule: for numbers: the allowed range.
      choices: for strings: the allowed values.
    """
    metadata = {"help": help_text, "rule": rule, "choices": choices}
    return dataclasses.field(default=default, metadata=metadata)


def require(condition: bool, name: str, allowed: str, received: object) -> None:
    """Raises UserError in the one shape that every check of this file has."""
    if not condition:
        raise UserError(f"{name} must be {allowed}; received {received!r}.")


class _Section:
    """Checks type, rule and choices of every leaf."""

    def __post_init__(self) -> None:
        section = type(self).__name__.lower()
        hints = typing.get_type_hints(type(self))
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            name = f"{section}.{field.name}"
            value = _coerce(getattr(self, field.name), hints[field.name], name)
            object.__setattr__(self, field.name, value)
            choices, rule = field.metadata["choices"], field.metadata["rule"]
            if choices is not None and value not in choices:
                raise unknown(name, value, choices)
            if rule is not None and value is not None:
                require(rule[1](value), name, rule[0], value)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Model(_Section):
    """The network: backbone, context module (ASPP), decoder."""

    backbone: str = leaf(
        "mobilenet_v2", "Feature extractor.", choices=tuple(sorted(backbones.MODULES))
    )
    depth_multiplier: float = leaf(1.0, "Factor on MobileNet's channels.", POSITIVE)
    output_stride: int = leaf(
        16, "Size of the input over that of the encoder's map.", one_of(8, 16, 32)
    )
    padded_size: tuple[int, ...] = leaf(
        (),
        "Height,width to which smaller pictures are padded by the mean colour, below "
        "and to the right, as the released models are evaluated; empty: none are.",
        SIZE_OR_EMPTY,
    )
    multi_grid: tuple[int, ...] = leaf(
        (), "Unit rates of the last block, as 1,2,4; empty: all 1.", ALL_POSITIVE
    )
    depthwise_activation: str = leaf(
        "released",
        "Xception: ReLU after the depthwise convolutions of the last block only, as "
        "in the released code, or after all, as in the paper.",
        choices=("released", "paper"),
    )
    normalization: str = leaf(
        "batch", "Normalisation after convolutions.", choices=("batch", "group")
    )
    group_norm_groups: int = leaf(
        32,
        "Groups of group norm; where it does not divide the channels, their greatest "
        "common divisor.",
        POSITIVE,
    )
    context: str = leaf(
        "aspp",
        "What gathers context from the encoder's map; none leaves it to the decoder.",
        choices=("aspp", "pyramid_pooling", "dense_prediction_cell", "none"),
    )
    atrous_rates: tuple[int, ...] = leaf(
        (6, 12, 18),
        "Rates of the ASPP branches at output stride 16; they are scaled by "
        "16 / output_stride. Empty: image pooling and 1x1 only.",
        DIFFERENT,
    )
    pyramid_bins: tuple[int, ...] = leaf(
        (1, 2, 3, 6),
        "Levels of pyramid pooling: a level n has n x n means.",
        DIFFERENT,
    )
    dense_prediction_cell: str = leaf(
        "", "JSON of a dense prediction cell; empty: the one found on Cityscapes."
    )
    aspp_channels: int = leaf(
        256, "Channels of each ASPP or cell branch and of the context.", POSITIVE
    )
    aspp_separable: bool = leaf(True, "Atrous separable convolutions in the ASPP.")
    image_pooling: bool = leaf(True, "The image-level feature of the ASPP.")
    image_pooling_size: tuple[int, ...] = leaf(
        (),
        "Input size (height,width) whose feature map is the pooling window; "
        "empty: the whole picture.",
        SIZE_OR_EMPTY,
    )
    dropout: float = leaf(0.1, "Dropout rate of the context module.", BELOW_ONE)
    decoder_strides: tuple[int, ...] = leaf(
        (4,),
        "Strides of the low-level features that the decoder merges, descending, "
        "as 8,4; empty: DeepLabv3, no decoder.",
        (
            "descending strides out of 16,8,4",
            lambda strides: list(strides) == [s for s in (16, 8, 4) if s in strides],
        ),
    )
    decoder_channels: int = leaf(256, "Channels of the decoder's 3x3s.", POSITIVE)
    decoder_separable: bool = leaf(True, "Separable convolutions in the decoder.")
    low_level_channels: int = leaf(
        48, "Channels of the 1x1 on the low-level features.", POSITIVE
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Data(_Section):
    """Where the examples come from and at what size they are trained."""

    dataset_dir: str = leaf("", "Folder with dataset.json and its TFRecord shards.")
    train_split: str = leaf("train", "Split to train on.")
    eval_split: str = leaf("val", "Split to evaluate on during training.")
    crop_size: tuple[int, ...] = leaf(
        (513, 513),
        "Training crop, height,width; best k * output_stride + 1.",
        (
            "height,width of at least 33 pixels",
            lambda size: len(size) == 2 and min(size) >= 33,
        ),
    )
    min_resize: int = leaf(
        0,
        "Short side to which training pictures are resized before the random scale, "
        "as released for ADE20K; 0: none are.",
        NOT_NEGATIVE,
    )
    max_resize: int = leaf(
        0,
        "Long side that this must not exceed; 0: no limit.",
        NOT_NEGATIVE,
    )
    resize_factor: int = leaf(
        0,
        "Resized sides become k * factor + 1, as with the output stride; 0: any.",
        NOT_NEGATIVE,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("max_resize", "resize_factor"):
            value = getattr(self, name)
            require(
                bool(self.min_resize) or not value,
                f"data.{name}",
                "0 where data.min_resize is 0",
                value,
            )
        require(
            not self.max_resize or self.max_resize >= self.min_resize,
            "data.max_resize",
            f"0 or at least data.min_resize ({self.min_resize})",
            self.max_resize,
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Augment(_Section):
    """Random changes to training pictures; each draw is a function of the seed."""

    min_scale: float = leaf(0.5, "Smallest factor of the random scale.", POSITIVE)
    max_scale: float = leaf(2.0, "Largest factor of the random scale.", POSITIVE)
    scale_step: float = leaf(
        0.25, "Step between the factors; 0: any factor.", NOT_NEGATIVE
    )
    flip: float = leaf(0.5, "Probability of a left-right flip.", FRACTION)
    photometric: float = leaf(
        0.0, "Strength of brightness, contrast and saturation changes.", FRACTION
    )
    rotation: float = leaf(
        0.0, "Largest angle of a random rotation, degrees to either side.", HALF_TURN
    )
    blur: float = leaf(
        0.0,
        "Largest standard deviation of a random Gaussian blur, in pixels.",
        NOT_NEGATIVE,
    )
    class_balanced_crops: float = leaf(
        0.0,
        "Share of crops placed around a pixel of a class that is drawn by its rarity.",
        FRACTION,
    )
    mixing: str = leaf(
        "none",
        "What pairs of pictures in a batch give each other: a box (cutmix), half of "
        "their classes (classmix), or a rare class, moved (copy_paste).",
        choices=("none", "cutmix", "classmix", "copy_paste"),
    )
    mixing_probability: float = leaf(
        0.5, "Probability of a picture to be given something.", FRACTION
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.min_scale <= self.max_scale,
            "augment.max_scale",
            f"at least augment.min_scale ({self.min_scale})",
            self.max_scale,
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Loss(_Section):
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
class Optimizer(_Section):
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
class Train(_Section):
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
        1800, "A step that takes longer than this ends the run.", AT_LEAST_ONE
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Everything that recreates a run, but for the data set's own facts."""

    model: Model = dataclasses.field(default_factory=Model)
    data: Data = dataclasses.field(default_factory=Data)
    augment: Augment = dataclasses.field(default_factory=Augment)
    loss: Loss = dataclasses.field(default_factory=Loss)
    optimizer: Optimizer = dataclasses.field(default_factory=Optimizer)
    train: Train = dataclasses.field(default_factory=Train)

    def leaves(self) -> dict[str, Any]:
        """All values by dotted name, in the order of this file."""
        return {
            f"{section}.{field.name}": getattr(getattr(self, section), field.name)
            for section, field in iterate_leaves()
        }

    def replace(self, changes: Mapping[str, Any]) -> "Config":
        """A copy with the leaves of the dotted names replaced, checked anew."""
        by_section: dict[str, dict[str, Any]] = {}
        known = self.leaves()
        for dotted, value in changes.items():
            if dotted not in known:
                raise unknown("setting", dotted, known)
            section, name = dotted.split(".")
            by_section.setdefault(section, {})[name] = value
        return dataclasses.replace(
            self,
            **{
                section: dataclasses.replace(getattr(self, section), **values)
                for section, values in by_section.items()
            },
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, with the schema number."""
        plain = json.loads(json.dumps(dataclasses.asdict(self)))
        return {"schema": SCHEMA, **plain}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: str) -> "Config":
        """Reads what `to_dict` gave.

        Args:
          values: sections of leaves; what is missing has its default.
          source: the file's name, for messages.

        Raises:
          UserError: a key is unknown, a value has the wrong type or range, or the
            schema is newer than this program.
        """
        schema = values.get("schema", SCHEMA)
        if schema != SCHEMA:
            raise UserError(
                f"{source}: schema must be {SCHEMA}, which this version reads; "
                f"received {schema!r}."
            )
        changes: dict[str, Any] = {}
        for section, content in values.items():
            if section == "schema":
                continue
            if not isinstance(content, Mapping):
                raise UserError(f"{source}: {section!r} must be a section of settings.")
            for name, value in content.items():
                changes[f"{section}.{name}"] = value
        try:
            return cls().replace(changes)
        except UserError as error:
            raise UserError(f"{source}: {error}") from None

    def difference(self, other: "Config") -> list[str]:
        """One line "name: here -> there" for each leaf that differs."""
        mine, theirs = self.leaves(), other.leaves()
        return [
            f"{name}: {mine[name]} -> {theirs[name]}"
            for name in mine
            if mine[name] != theirs[name]
        ]


def iterate_leaves() -> Iterator[tuple[str, dataclasses.Field[Any]]]:
    """Yields (section, field) for each leaf of Config."""
    for section in dataclasses.fields(Config):
        for field in dataclasses.fields(typing.cast(Any, section.type)):
            yield section.name, field


def _coerce(value: Any, hint: Any, name: str) -> Any:
    """Turns JSON's list into a tuple and an int into a float; refuses other types."""
    if isinstance(hint, types.UnionType):
        if value is None:
            return None
        hint = next(arm for arm in typing.get_args(hint) if arm is not type(None))
    if typing.get_origin(hint) is tuple:
        item = typing.get_args(hint)[0]
        require(
            isinstance(value, list | tuple),
            name,
            f"a list of {item.__name__}s",
            value,
        )
        return tuple(_coerce(part, item, name) for part in value)
    if hint is float and type(value) is int:
        return float(value)
    require(type(value) is hint, name, f"of type {hint.__name__}", value)
    return value
