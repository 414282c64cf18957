"""A Keras model with the weights of another one, for own training loops."""

import dataclasses
import pathlib
import sys

import keras

from deeplab_tf import network, runs
from deeplab_tf.config import Config
from deeplab_tf.data.dataset_info import DatasetInfo
from deeplab_tf.files import Json
from deeplab_tf.released import class_lists, importer, recognition
from deeplab_tf.training import initialization

_BACKBONE = "xception_65"
_INFO = class_lists.VOC


def DeepLabV3Plus(  # noqa: N802
    backbone: str | None = None,
    num_classes: int | None = None,
    *,
    weights: str | pathlib.Path | None = None,
    **options: object,
) -> keras.Model:
    """The network of the paper's figure 2, random or with trained weights.

    Args:
      backbone: a name of `config.BACKBONES`; None: that of the weights, else
        xception_65.
      num_classes: channels of the logits; None: as many as the weights have, else 21.
      weights: zoo:NAME, a run folder, a TF1 checkpoint, archive or frozen graph, a
        .keras or .weights.h5 file; None: random. What fits is taken, and what does not
        is told on standard error. Of a .keras or .weights.h5 file the backbone and the
        other fields must be given.
      **options: fields of config.Model, by default those of the weights, and keywords
        of `network.build_model`.

    Returns:
      As `network.build_model`: float32 [B, H, W, C] in [0, 255] -> logits.

    Raises:
      UserError: unknown option, a value that is not allowed, or weights of another
        backbone.

    Example:
      >>> model = deeplab_tf.DeepLabV3Plus(
      ...     weights="zoo:mobilenetv2_coco_voc_trainaug", num_classes=5
      ... )
    """
    if weights is None:
        classes = num_classes or _INFO.num_classes
        return network.DeepLabV3Plus(backbone or _BACKBONE, classes, **options)
    given = {**options, **({"backbone": backbone} if backbone else {})}
    origin, info = _origin(str(weights), num_classes)
    fields = {**_fields(origin), "channels": info.channels, **given}
    model = network.DeepLabV3Plus(num_classes=info.num_classes, **fields)
    config = origin.replace({f"model.{k}": fields[k] for k in _fields(origin)})
    listing = initialization.initialize(model, str(weights), config, info)
    print(f"Initial weights: {listing}", file=sys.stderr)
    return model


def _fields(config: Config) -> Json:
    """The fields of its model."""
    model = config.model
    return {
        field.name: getattr(model, field.name) for field in dataclasses.fields(model)
    }


def _origin(weights: str, num_classes: int | None) -> tuple[Config, DatasetInfo]:
    """The settings that go with the weights, and the classes that are wanted."""
    config, info = _settings(weights)
    if num_classes in (None, info.num_classes):
        return config, info
    # The size that the source's data set was padded to is none of other images.
    other = dataclasses.replace(class_lists.guess(num_classes), channels=info.channels)
    return config.replace({"model.padded_size": ()}), other


def _settings(weights: str) -> tuple[Config, DatasetInfo]:
    """Of the run, or what the released variables tell; files of Keras tell nothing."""
    if (pathlib.Path(weights) / runs.RUN_FILE).is_file():
        run = runs.open_run(weights)
        return run.config, run.info
    if weights.endswith((".keras", ".h5")):
        return Config().replace({"model.backbone": _BACKBONE}), _INFO
    released = importer.fetch(weights)
    if recognition.has_head(released.tensors):
        return importer.settings(released, {})
    fields = recognition.recognize(released.tensors, weights)
    return Config().replace({f"model.{k}": v for k, v in fields.items()}), _INFO
