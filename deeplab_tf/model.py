"""DeepLabv3 and v3+ as one Keras model: the paper's figure 2."""

from typing import Any

import keras

from deeplab_tf import aspp, backbones, blocks, config, decoder
from deeplab_tf.layers import AtrousDepthwiseConv2D, ResizeLike

HEAD_MOMENTUM = 0.9997  # of batch norm outside the backbone, as released
HEAD_EPSILON = 1e-5


def build_model(
    model: config.Model,
    num_classes: int,
    *,
    channels: int = 3,
    batch_norm_momentum: float | None = None,
    freeze_batch_norm: bool = False,
    name: str = "deeplab",
) -> keras.Model:
    """Builds the network with random weights.

    They depend on keras.utils.set_random_seed alone. Models that differ in
    `output_stride` only have the same variables, so one set of weights serves all.

    Args:
      model: backbone, context module, decoder.
      num_classes: channels of the logits.
      channels: of the picture; other than 3 it is normalised by the mean of the RGB
        means.
      batch_norm_momentum: decay of all moving statistics; None: the released values.
      freeze_batch_norm: use and keep the moving statistics in training.
      name: of the Keras model.

    Returns:
      A functional model from float32 [B, H, W, channels], RGB in [0, 255], any H and
      W, to float32 logits [B, H, W, num_classes].
    """
    spec = backbones.get_spec(model.backbone)
    body, head = (
        blocks.Style(
            momentum=momentum if batch_norm_momentum is None else batch_norm_momentum,
            epsilon=epsilon,
            frozen=freeze_batch_norm,
            **initializers,
        )
        for momentum, epsilon, initializers in (
            (
                spec.batch_norm_momentum,
                spec.batch_norm_epsilon,
                {
                    "kernel": spec.kernel,
                    "depthwise": spec.depthwise,
                    "pointwise": spec.kernel,
                },
            ),
            (HEAD_MOMENTUM, HEAD_EPSILON, {}),
        )
    )
    image = keras.Input((None, None, channels), name="image", dtype="float32")
    x = normalize_image(image, spec)
    features = spec.build(
        x,
        style=body,
        output_stride=model.output_stride,
        **{option: getattr(model, option) for option in spec.options},
    )
    x = aspp.build(
        features.high_level,
        style=head,
        output_stride=model.output_stride,
        rates=model.atrous_rates,
        channels=model.aspp_channels,
        separable_conv=model.aspp_separable,
        image_pooling=model.image_pooling,
        dropout=model.dropout,
    )
    if model.decoder_strides:
        x = decoder.build(
            x,
            features.low_level,
            style=head,
            strides=model.decoder_strides,
            channels=model.decoder_channels,
            low_level_channels=model.low_level_channels,
            separable_conv=model.decoder_separable,
        )
    x = keras.layers.Conv2D(
        num_classes,
        1,
        kernel_initializer=blocks.initializer(0.01),
        name="logits",
    )(x)
    logits = ResizeLike(name="logits.resize", dtype="float32")([x, image])
    return keras.Model(image, logits, name=name)


def normalize_image(image: Any, spec: backbones.BackboneSpec) -> Any:
    """(image - mean) * scale in float32, also where the rest computes in bfloat16."""
    mean = spec.mean
    if image.shape[-1] != 3:
        mean = (sum(mean) / 3,) * image.shape[-1]
    return keras.layers.Rescaling(
        spec.scale,
        offset=[-spec.scale * value for value in mean],
        dtype="float32",
        name="normalization",
    )(image)


def weight_decay_variables(model: keras.Model) -> list[keras.Variable]:
    """The variables that decay: kernels of ordinary and of pointwise convolutions.

    As released: not the depthwise kernels, nor batch norm, nor biases.
    """
    return [
        layer.kernel
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv2D)
        and not isinstance(layer, AtrousDepthwiseConv2D)
    ]


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
    """
    build_keywords = ("channels", "batch_norm_momentum", "freeze_batch_norm", "name")
    keywords = {key: options.pop(key) for key in build_keywords if key in options}
    section = config.Config().replace(
        {
            f"model.{key}": value
            for key, value in {**options, "backbone": backbone}.items()
        }
    )
    return build_model(section.model, num_classes, **keywords)
