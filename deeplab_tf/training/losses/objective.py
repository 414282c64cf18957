"""From the loss section of a config, and a data set's facts, to the loss function."""

import dataclasses

from deeplab_tf.config import Loss
from deeplab_tf.data.class_weights import make_class_weights
from deeplab_tf.data.dataset_info import DatasetInfo
from deeplab_tf.training.losses.pixels import LossFunction, Settings, make_loss


def make_objective(loss: Loss, info: DatasetInfo, split: str) -> LossFunction:
    """The function from logits, labels and progress to each term's sum and count.

    What is minimised is the sum over the terms of `loss.factors[term]` times the
    term's sum over all devices / its count over all devices (at least 1).

    Args:
      loss: its settings.
      info: of the data set.
      split: that is trained on, for class weights from its pixel counts.

    Raises:
      UserError: class weights do not fit the data set, or it lacks the counts.
    """
    names = (field.name for field in dataclasses.fields(Settings))
    return make_loss(
        loss.factors,
        num_classes=info.num_classes,
        ignore_label=info.ignore_label,
        class_weights=make_class_weights(
            loss.class_weights, loss.class_weighting, info, split
        ),
        settings=Settings(**{name: getattr(loss, name) for name in names}),
    )
