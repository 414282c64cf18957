"""What a run's settings come to where they leave a choice."""

import keras

from deeplab_tf.config import Config
from deeplab_tf.data.class_weights import make_class_weights
from deeplab_tf.data.dataset_info import DatasetInfo
from deeplab_tf.network import backbones
from deeplab_tf.training.losses.pixels import LossFunction, make_loss

# A moving average forgets half of what it began with in about 0.7 / (1 - decay)
# steps. With 20 / steps for 1 - decay it forgets all but 2e-9 of it in the run.
_FORGETTING = 20.0
_SMALL_BATCH = 8


def make_objective(config: Config, info: DatasetInfo) -> LossFunction:
    """The function from logits, labels and progress to each term's sum and count.

    Raises:
      UserError: class weights do not fit the data set, or it lacks the counts.
    """
    loss = config.loss
    weights = make_class_weights(
        loss.class_weights, loss.class_weighting, info, config.data.train_split
    )
    return make_loss(
        loss,
        num_classes=info.num_classes,
        ignore_label=info.ignore_label,
        class_weights=weights,
    )


def weight_decay(config: Config) -> float:
    """The decay that is set, or the backbone's released value."""
    decay = config.optimizer.weight_decay
    if decay is None:
        return backbones.get_spec(config.model.backbone).weight_decay
    return decay


def rate_factors(config: Config, model: keras.Model) -> list[float]:
    """Factors on the learning rate, one for each trainable variable; [] if all 1."""
    settings = config.optimizer
    if settings.backbone_factor == settings.bias_factor == 1.0:
        return []
    backbone = f"{config.model.backbone}."  # its layers' names begin so
    return [
        (settings.backbone_factor if variable.path.startswith(backbone) else 1.0)
        * (settings.bias_factor if variable.path.endswith("/bias") else 1.0)
        for variable in model.trainable_variables
    ]


def batch_norm_momentum(config: Config) -> float:
    """The decay of the moving statistics for the run's length.

    The released 0.9997 needs some 30,000 steps to forget the initial statistics; a
    shorter run evaluated with them is ruined (mIoU near 0).
    """
    if config.train.batch_norm_momentum is not None:
        return config.train.batch_norm_momentum
    released = backbones.get_spec(config.model.backbone).batch_norm_momentum
    return max(0.5, min(released, 1.0 - _FORGETTING / config.train.steps))


def batch_norm_mode(config: Config) -> tuple[str, str]:
    """("train" or "frozen", why)."""
    train = config.train
    if train.quantize != "none":
        return "frozen", "it is part of the quantised kernels"
    if train.batch_norm != "auto":
        return train.batch_norm, "as set"
    if config.model.normalization != "batch":
        return "train", "group norm keeps no statistics"
    part = train.batch_size // train.accumulate_steps
    if part >= _SMALL_BATCH:
        return "train", f"{part} pictures give usable statistics"
    if train.init_checkpoint:
        return "frozen", f"{part} pictures are too few, and the weights bring their own"
    return "train", (
        f"there are no trained statistics to keep, though {part} pictures are few: "
        "consider --model.normalization=group"
    )
