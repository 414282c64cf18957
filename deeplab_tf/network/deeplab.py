"""DeepLabv3 and v3+ as one Keras model: the paper's figure 2."""

from typing import Any

import keras
import numpy as np

from deeplab_tf import config
from deeplab_tf.errors import UserError
from deeplab_tf.network import backbones, context, decoder
from deeplab_tf.network.layers import blocks
from deeplab_tf.network.layers.padding import CutLike, Pad
from deeplab_tf.network.layers.resize import ResizeLike, Zoom

# Batch norm outside the backbone, as released.
HEAD_MOMENTUM = 0.9997
HEAD_EPSILON = 1e-5
# Fields that only some backbones take.
BACKBONE_OPTIONS = ("depth_multiplier", "multi_grid", "depthwise_activation")


def build_model(
    model: config.Model,
    num_classes: int,
    *,
    channels: int = 3,
    batch_norm_momentum: float | None = None,
    freeze_batch_norm: bool = False,
    frozen_stride: int = 0,
    name: str = "deeplab",
) -> keras.Model:
    """Builds the network with random weights.

    They depend on keras.utils.set_random_seed alone. Models that differ in
    `output_stride` only have the same weights, in order, name and shape, so one set
    of weights serves all.

    Args:
      model: backbone, context module, decoder.
      num_classes: channels of the logits.
      channels: of the picture. Other than 3, each is normalised by the mean of the
        backbone's RGB means.
      batch_norm_momentum: decay of all moving statistics; None: the released values.
      freeze_batch_norm: use and keep the moving statistics in training.
      frozen_stride: what the backbone's tap of this stride is computed from does not
        train, nor does its batch norm; 0: all trains.
      name: of the Keras model.

    Returns:
      A functional model from float32 [B, H, W, channels], RGB in [0, 255], any H and
      W, to float32 logits [B, H, W, num_classes].

    Raises:
      UserError: an option that the backbone does not have.
    """
    spec = backbones.get_spec(model.backbone)
    _require_options(model, spec)
    body, head = _styles(model, spec, batch_norm_momentum, freeze_batch_norm)
    image = keras.Input((None, None, channels), name="image", dtype="float32")
    seen = image
    if model.input_scale != 1.0:
        seen = Zoom(model.input_scale, dtype="float32", name="zoom")(image)
    padding = Pad(
        model.output_stride, model.padded_size, dtype="float32", name="padding"
    )
    picture = padding(_normalize(seen, spec))
    features = spec.build(picture, model, body)
    if frozen_stride:
        _freeze(image, features.low_level[frozen_stride])
    x = context.MODULES[model.context](features.high_level, model, head)
    x = decoder.build(x, features.low_level, model, head)
    logits = ResizeLike(name="logits.resize", dtype="float32")(
        [_classify(x, num_classes), picture]
    )
    logits = CutLike(name="logits.cut", dtype="float32")([logits, seen])
    if seen is not image:
        logits = ResizeLike(name="logits.zoom", dtype="float32")([logits, image])
    return keras.Model(image, logits, name=name)


def _classify(x: keras.KerasTensor, num_classes: int) -> keras.KerasTensor:
    """Logits of the map's cells.

    In float32: bfloat16 sums the bias' gradient over all pixels in 8 bits, where most
    of them are lost.
    """
    return keras.layers.Conv2D(
        num_classes,
        1,
        kernel_initializer=blocks.initializer(0.01),
        dtype="float32",
        name="logits",
    )(x)


def _freeze(image: keras.KerasTensor, tap: keras.KerasTensor) -> None:
    """Ends the training of all between them; no gradient is computed for it either."""
    for layer in keras.Model(image, tap).layers:
        layer.trainable = False


def _styles(
    model: config.Model,
    spec: backbones.BackboneSpec,
    momentum: float | None,
    frozen: bool,
) -> tuple[blocks.Style, blocks.Style]:
    """Initialisers and normalisation of the backbone and of all that follows it."""
    groups = model.group_norm_groups if model.normalization == "group" else 0
    body = blocks.Style(
        momentum=spec.batch_norm_momentum if momentum is None else momentum,
        epsilon=spec.batch_norm_epsilon,
        frozen=frozen,
        groups=groups,
        kernel=spec.kernel,
        depthwise=spec.depthwise,
        pointwise=spec.kernel,
    )
    head = blocks.Style(
        momentum=HEAD_MOMENTUM if momentum is None else momentum,
        epsilon=HEAD_EPSILON,
        frozen=frozen,
        groups=groups,
    )
    return body, head


def _normalize(
    image: keras.KerasTensor, spec: backbones.BackboneSpec
) -> keras.KerasTensor:
    """(image - mean) * scale in float32, also where the rest computes in bfloat16."""
    mean, channels = spec.mean, image.shape[-1]
    if channels != len(mean):
        mean = (sum(mean) / len(mean),) * channels
    return keras.layers.Rescaling(
        spec.scale,
        offset=[-spec.scale * value for value in mean],
        dtype="float32",
        name="normalization",
    )(image)


def _require_options(model: config.Model, spec: backbones.BackboneSpec) -> None:
    """Refuses fields that were set and that this backbone does not take."""
    default = config.Model()
    for option in BACKBONE_OPTIONS:
        value = getattr(model, option)
        if option not in spec.options and value != getattr(default, option):
            raise UserError(
                f"model.{option} does not apply to {model.backbone}, which takes "
                f"{', '.join(spec.options) or 'no options'}; received {value!r}."
            )


def weight_decay_variables(model: keras.Model) -> list[keras.Variable]:
    """The variables that decay: kernels of ordinary and of pointwise convolutions.

    As released: not the depthwise kernels, nor normalisation, nor biases.
    """
    return [
        layer.kernel
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv2D)  # depthwise ones are no subclass
    ]


def fit_input_channels(kernel: np.ndarray, channels: int) -> np.ndarray:
    """A first kernel for RGB made to fit pictures of another number of channels.

    A constant picture gets the answer that it got, whatever the channels: fewer than
    three share the sum of the RGB kernels evenly; more keep the RGB kernels, get
    their mean for the new channels, and all are weakened by 3 / channels.

    Args:
      kernel: [h, w, 3, C].
      channels: of the new kernel.

    Returns:
      [h, w, channels, C].
    """
    old = kernel.shape[2]
    mean = kernel.mean(axis=2, keepdims=True)
    kept = kernel if channels >= old else kernel[:, :, :0]
    new = np.repeat(mean, channels - kept.shape[2], axis=2)
    return np.concatenate([kept, new], axis=2) * np.float32(old / channels)


def DeepLabV3Plus(  # noqa: N802
    backbone: str = "xception_65", num_classes: int = 21, **options: Any
) -> keras.Model:
    """`build_model` with the fields of config.Model as keywords.

    Example:
      model = DeepLabV3Plus(backbone="mobilenet_v2", num_classes=11, output_stride=8)
      logits = model(images)  # float32 RGB in [0, 255] -> the pictures' own size

    Args:
      backbone: a name of `backbones.MODULES`.
      num_classes: channels of the logits.
      **options: fields of config.Model, and keywords of `build_model`.

    Raises:
      UserError: unknown option or a value that is not allowed.
    """
    keywords = {
        key: options.pop(key)
        for key in (
            "channels",
            "batch_norm_momentum",
            "freeze_batch_norm",
            "frozen_stride",
            "name",
        )
        if key in options
    }
    fields = {"backbone": backbone, **options}
    section = config.Config().replace({f"model.{k}": v for k, v in fields.items()})
    return build_model(section.model, num_classes, **keywords)
