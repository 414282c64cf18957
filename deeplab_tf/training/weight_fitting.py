"""Weights of another network made to fit: channels, branches, decoder, classes."""

import math
from collections.abc import Mapping

import keras
import numpy as np

from deeplab_tf.network import decoder
from deeplab_tf.network.context import aspp
from deeplab_tf.network.deeplab import HEAD_EPSILON, fit_input_channels
from deeplab_tf.training.weight_sources import Source

Values = Mapping[str, np.ndarray]  # by the path of the variable
Fitted = tuple[Values, dict[str, str]]  # and of those that were changed: how

CLASSIFIER = "logits/"


def fit(model: keras.Model, source: Source, class_names: tuple[str, ...]) -> Fitted:
    """The source's values, changed where that makes them fit the model.

    Args:
      model: with its initial weights.
      source: the other network's.
      class_names: of the model's classes.
    """
    told: dict[str, str] = {}
    values: Values = source.values
    for change in (_fit_first_kernel, _fit_projection, _pass_through_decoder):
        values, changed = change(model, values)
        told |= changed
    values, changed = _fit_classifier(model, values, source.class_names, class_names)
    return values, told | changed


def by_name(theirs: tuple[str, ...], ours: tuple[str, ...]) -> dict[int, int]:
    """Places of ours -> of theirs, where most of ours are known; else empty."""
    known = {ours.index(name): theirs.index(name) for name in ours if name in theirs}
    return known if 2 * len(known) > len(ours) else {}


def _fit_classifier(
    model: keras.Model,
    values: Values,
    theirs: tuple[str, ...],
    ours: tuple[str, ...],
) -> Fitted:
    """The values with the classifier's outputs in our order, by the classes' names.

    A class that the source does not know begins at the mean of those it knows, which
    is neither likely nor unlikely, plus its random weights. Also tells of the change.
    """
    known = by_name(theirs, ours)
    if theirs == ours or not known:
        return values, {}
    columns, fitted = list(known.values()), {}
    for variable in model.weights:
        source = values.get(variable.path, np.zeros(0))
        if not variable.path.startswith(CLASSIFIER) or source.shape[:-1] != tuple(
            variable.shape[:-1]
        ):
            continue
        value = np.array(variable) + source[..., columns].mean(-1, keepdims=True)
        value[..., list(known)] = source[..., columns]
        fitted[variable.path] = value
    new = [name for place, name in enumerate(ours) if place not in known]
    told = f"{len(known)} of {len(ours)} classes by name"
    told += f", new: {', '.join(new)}" if new else ""
    return {**values, **fitted}, dict.fromkeys(fitted, told)


def _fit_first_kernel(model: keras.Model, values: Values) -> Fitted:
    """The values with the first kernel fitted to the model's input channels.

    Also tells of the change: path -> how.
    """
    first = next(variable for variable in model.weights)
    value, (height, width, channels, filters) = values.get(first.path), first.shape
    if value is None or value.shape[2:] == (channels, filters) or value.ndim != 4:
        return values, {}
    if (value.shape[:2], value.shape[3]) != ((height, width), filters):
        return values, {}
    told = f"{value.shape[2]} input channels made to fit {channels}"
    fitted = fit_input_channels(value, channels)
    return {**values, first.path: fitted}, {first.path: told}


def _fit_projection(model: keras.Model, values: Values) -> Fitted:
    """The values with zeros in the projection for atrous branches that are new.

    Of a source without any, as the released MobileNetV2: its branches are the model's
    first. Also tells of the change: path -> how.
    """
    ours = {variable.path: tuple(variable.shape) for variable in model.weights}
    path, pooling = (
        f"{aspp.NAME}.projection/kernel",
        f"{aspp.NAME}.image_pooling/kernel",
    )
    has_branches = any(name.startswith(f"{aspp.NAME}.atrous_") for name in values)
    if not {path} <= ours.keys() & values.keys() or has_branches:
        return values, {}
    fitted, (*window, inputs, outputs) = values[path], ours[path]
    new = inputs - fitted.shape[2]
    same = (*fitted.shape[:2], fitted.shape[3]) == (*window, outputs)
    if not same or new <= 0 or (pooling in ours) != (pooling in values):
        return values, {}
    fitted = np.pad(fitted, ((0, 0), (0, 0), (0, new), (0, 0)))
    return {**values, path: fitted}, {path: f"{new} inputs of new branches begin at 0"}


def _pass_through_decoder(model: keras.Model, values: Values) -> Fitted:
    """The values with kernels for a new decoder that repeat its first input channels.

    These are the context's. Where the decoder is narrower it could not repeat them,
    nor behind group norm: it keeps its random kernels. Also tells of the change:
    path -> how.
    """
    ours = {variable.path: tuple(variable.shape) for variable in model.weights}
    kernels = [
        path
        for path in ours
        if path.startswith(f"{decoder.NAME}.")
        and path.endswith("/kernel")
        and ".low_level" not in path
    ]
    width = values.get(f"{aspp.NAME}.projection/kernel", np.zeros(0)).shape[-1]
    grouped = any(".group_norm/" in path for path in ours)
    has_decoder = any(path.startswith(f"{decoder.NAME}.") for path in values)
    widths = {
        ours[path][-1] for path in kernels if not path.endswith("depthwise/kernel")
    }
    if has_decoder or grouped or widths != {width}:
        return values, {}
    passing = {path: _passing(ours[path]) for path in kernels}
    return {**values, **passing}, dict.fromkeys(kernels, "passes its input on at first")


def _passing(shape: tuple[int, ...]) -> np.ndarray:
    """A kernel [h, w, C, D], or depthwise [h, w, C, 1], that repeats what it can.

    The batch norm behind it, which is fresh, divides by the root of 1 + epsilon.
    """
    height, width, inputs, outputs = shape
    kernel = np.zeros(shape, np.float32)
    depthwise = outputs == 1
    same = np.ones([inputs, 1]) if depthwise else np.eye(inputs, outputs)
    kernel[height // 2, width // 2] = same * math.sqrt(1.0 + HEAD_EPSILON)
    return kernel
