"""Settings that fit the data and the machine, for those that nobody has given.

The defaults of the settings are the paper's, made for 10,000 images and eight GPUs.
Here each gets the value that a person who knows the trade would begin with, and the
reason for it. What was given always stays.
"""

import dataclasses
import statistics
from collections.abc import Collection, Iterator

from deeplab_tf.config import Config
from deeplab_tf.data.dataset_info import DatasetInfo

_RARE = 0.01  # of the labelled pixels
_FEW = 1000  # images, of which photometric changes make more
_EPOCHS = 200  # after which a small data set has little more to teach
_LEAST_STEPS, _MOST_STEPS = 200, 30_000
_NARROW = 64  # channels of the head of a network that begins from nothing
_STRIDE = 16
_DAY = 24 * 3600.0
_TERMS = {"cross_entropy": 1.0, "lovasz": 0.5}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Choice:
    """A setting that was chosen.

    Attributes:
      name: dotted, as its flag.
      value: chosen.
      reason: why, in a few words.
    """

    name: str
    value: object
    reason: str

    def __str__(self) -> str:
        value = self.value
        shown = ",".join(map(str, value)) if isinstance(value, tuple) else value
        return f"{self.name}={shown} ({self.reason})"


def choose(
    config: Config, given: Collection[str], info: DatasetInfo, *, accelerated: bool
) -> list[Choice]:
    """Chooses crop, rates, batch, augmentation, loss, optimiser, size of the network.

    Args:
      config: the settings given, the others at their defaults.
      given: the dotted names of those that must stay.
      info: the data set; its split to train on tells sizes and pixels by class.
      accelerated: whether a GPU or TPU computes.

    Returns:
      What was chosen, in the order of the settings; nothing that was given.
    """
    drawn = [
        *_sizes(config, given, info, accelerated),
        *_network(config, info, accelerated),
        *_images(config, info),
        *_loss(config, info, accelerated),
        *_optimizer(config),
    ]
    return [choice for choice in drawn if choice.name not in given]


def choose_splits(
    config: Config, given: Collection[str], info: DatasetInfo
) -> list[Choice]:
    """Chooses the splits to train and to evaluate on, where the usual are missing."""
    data, drawn = config.data, []
    labelled = [name for name, split in info.splits.items() if split.has_labels]
    others = [name for name in labelled if name != data.train_split]
    if data.train_split not in info.splits and labelled:
        first = next((name for name in labelled if "train" in name), labelled[0])
        others = [name for name in labelled if name != first]
        drawn.append(
            Choice(name="data.train_split", value=first, reason="what is there")
        )
    if data.eval_split not in info.splits and others:
        held_out = next((name for name in others if "val" in name), others[0])
        drawn.append(Choice(name="data.eval_split", value=held_out, reason="held out"))
    elif data.eval_split not in info.splits:
        drawn.append(
            Choice(name="train.eval_steps", value=0, reason="no split is held out")
        )
    return [choice for choice in drawn if choice.name not in given]


def apply(config: Config, choices: Collection[Choice]) -> Config:
    """The config with what was chosen."""
    return config.replace({choice.name: choice.value for choice in choices})


def _sizes(
    config: Config, given: Collection[str], info: DatasetInfo, accelerated: bool
) -> Iterator[Choice]:
    """Crop, batch and the rates that fit the crop's map."""
    split = info.split(config.data.train_split)
    short = round((min(split.max_size) or 513) * config.model.input_scale)
    crop = config.data.crop_size
    if "data.crop_size" not in given:
        limit = 513 if accelerated else 321
        side = min(max(round(0.75 * short / _STRIDE) * _STRIDE + 1, 97), limit)
        crop = (side, side)
        what = "" if accelerated else ", as a CPU can bear"
        yield Choice(
            name="data.crop_size",
            value=crop,
            reason=f"three quarters of a short side of {short} pixels{what}",
        )
    batch = min(16 if accelerated else 8, split.num_examples)
    yield Choice(
        name="train.batch_size", value=batch, reason="enough for batch norm to train"
    )
    if config.model.context == "aspp":
        cells = (min(crop) - 1) // _STRIDE + 1
        unit = min(6, max(1, round(cells / 4.5)))
        yield Choice(
            name="model.atrous_rates",
            value=(unit, 2 * unit, 3 * unit),
            reason=f"they stay inside a crop's map of {cells} cells",
        )


def _network(config: Config, info: DatasetInfo, accelerated: bool) -> Iterator[Choice]:
    """A narrow network where neither weights nor an accelerator are at hand."""
    if config.train.init_checkpoint or accelerated:
        return
    if not config.model.backbone.startswith("mobilenet"):
        return
    count = info.split(config.data.train_split).num_examples
    why = f"a narrow network, for it begins from nothing on a CPU with {count} images"
    yield Choice(name="model.depth_multiplier", value=0.5, reason=why)
    yield Choice(name="model.aspp_channels", value=_NARROW, reason="narrow, as above")
    yield Choice(name="model.decoder_channels", value=_NARROW, reason="as above")


def _images(config: Config, info: DatasetInfo) -> Iterator[Choice]:
    """Changes to the images."""
    yield Choice(
        name="augment.min_scale",
        value=0.75,
        reason="smaller, a crop would hold more padding than image",
    )
    if not config.train.init_checkpoint:
        yield Choice(
            name="augment.max_scale", value=1.5, reason="what is learnt from nothing"
        )
    count = info.split(config.data.train_split).num_examples
    if count < _FEW and info.channels == 3:
        yield Choice(
            name="augment.photometric",
            value=0.3,
            reason=f"{count} images show few kinds of light",
        )


def _loss(config: Config, info: DatasetInfo, accelerated: bool) -> Iterator[Choice]:
    """What helps rare classes, where there are any.

    Not Lovasz on a CPU: while it sorted the pixels, a step of eight crops of 273 pixels
    and 12 classes took 1.50 s with it and 0.94 s without. With bins it was not tried.
    """
    pixels = info.split(config.data.train_split).class_pixels
    total = sum(pixels)
    rare = [
        name
        for name, count in zip(info.class_names, pixels, strict=False)
        if 0 < count < _RARE * total
    ]
    if not rare:
        return
    why = f"rare classes: {', '.join(rare[:5])}{' ...' if rare[5:] else ''}"
    if accelerated:
        yield Choice(name="loss.terms", value=_TERMS, reason=why)
    yield Choice(name="augment.class_balanced_crops", value=0.3, reason=why)


def _optimizer(config: Config) -> Iterator[Choice]:
    """SGD for weights that are there, AdamW for a network that begins from nothing."""
    if config.train.init_checkpoint:
        yield Choice(
            name="optimizer.learning_rate",
            value=0.02,
            reason="SGD on trained weights with a small batch",
        )
    else:
        why = "learns from nothing in fewer steps than SGD"
        yield Choice(name="optimizer.name", value="adamw", reason=why)
        yield Choice(name="optimizer.learning_rate", value=0.004, reason="for AdamW")
        yield Choice(name="optimizer.weight_decay", value=0.01, reason="for AdamW")
    yield Choice(
        name="optimizer.warmup_steps", value=50, reason="the first steps are the worst"
    )


def choose_length(
    config: Config, given: Collection[str], info: DatasetInfo, pace: "Pace | None"
) -> list[Choice]:
    """Chooses the steps, and when to look, from the images and the time there is.

    Args:
      config: with all other settings as they will be.
      given: names that must stay.
      info: the data set.
      pace: how fast this machine is; None: the time does not count.
    """
    count = info.split(config.data.train_split).num_examples
    epochs = -(-_EPOCHS * count // config.train.batch_size)
    steps = min(max(epochs, _LEAST_STEPS), _MOST_STEPS)
    why = f"{_EPOCHS} times {count} images"
    minutes = config.train.minutes
    if pace is not None and minutes:
        affordable = pace.steps_in(60 * minutes)
        if "train.minutes" in given or affordable < steps:
            steps = max(affordable, _LEAST_STEPS)
            why = f"{pace.step_seconds:.2f} s a step fill {minutes:.3g} minutes"
            if affordable < _LEAST_STEPS:
                why = f"{minutes:.3g} minutes are too few: fewer steps teach nothing"
    if "train.steps" in given:
        steps = config.train.steps
    every = max(1, steps // (5 if steps >= 500 else 2))
    if config.data.eval_split not in info.splits:
        every = 0
    drawn = [
        Choice(name="train.steps", value=steps, reason=why),
        Choice(name="train.eval_steps", value=every, reason="looks a few times"),
        Choice(
            name="train.checkpoint_steps",
            value=max(20, min(500, steps // 5)),
            reason="so that little is lost",
        ),
    ]
    if config.optimizer.warmup_steps > steps // 10:
        drawn.append(
            Choice(
                name="optimizer.warmup_steps", value=steps // 10, reason="a short run"
            )
        )
    return [choice for choice in drawn if choice.name not in given]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pace:
    """How fast a run goes on this machine.

    Attributes:
      step_seconds: of a training step.
      start_seconds: until the first step ends.
      evaluation_seconds: of one evaluation.
    """

    step_seconds: float
    start_seconds: float
    evaluation_seconds: float

    def steps_in(self, seconds: float, evaluations: int = 5) -> int:
        """Steps that fit, with the start and so many evaluations."""
        left = seconds - 2 * self.start_seconds - evaluations * self.evaluation_seconds
        return max(0, int(left / self.step_seconds))

    def seconds_of(self, config: Config) -> float:
        """What a run of these settings takes."""
        train = config.train
        evaluations = -(-train.steps // train.eval_steps) if train.eval_steps else 0
        return (
            self.start_seconds
            + train.steps * self.step_seconds
            + evaluations * self.evaluation_seconds
        )


def pace_of(step_times: Collection[float], **others: float) -> Pace:
    """The pace by the median step, which a hiccup does not move."""
    return Pace(step_seconds=statistics.median(step_times), **others)


def forecast(config: Config, pace: Pace) -> str:
    """How long the run will take, and beyond a day what would be shorter."""
    seconds = pace.seconds_of(config)
    line = (
        f"{config.train.steps} steps at {pace.step_seconds:.2f} s: about "
        f"{_duration(seconds)}."
    )
    if not is_long(config, pace):
        return line
    steps = pace.steps_in(0.5 * _DAY)
    return (
        f"{line} Shorter: --train.minutes=720 (about {steps} steps), a smaller "
        "--data.crop_size or --model.depth_multiplier, another --model.backbone, or "
        "weights to start from (--train.init_checkpoint)."
    )


def is_long(config: Config, pace: Pace) -> bool:
    """Whether the run takes more than a day."""
    return pace.seconds_of(config) > _DAY


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    if seconds < 7200:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours"
