"""Keras' optimisers by name, with weight decay on the convolution kernels alone."""

import ast
from collections.abc import Sequence
from typing import Any

import keras

from deeplab_tf.errors import UserError

# These take the decay away from the weights themselves (Loshchilov and Hutter 2019).
# With the others it is part of the gradient, as L2 regularisation is.
DECOUPLED = ("adamw", "lion")


def make_optimizer(
    name: str,
    *,
    learning_rate: Any,
    momentum: float,
    weight_decay: float,
    variables: Sequence[keras.Variable],
    decayed: Sequence[keras.Variable],
    arguments: str = "",
) -> keras.optimizers.Optimizer:
    """Makes and builds the Keras optimiser of that name.

    Args:
      name: in small letters, as "sgd" or "adamw".
      learning_rate: a number or a schedule.
      momentum: of SGD; the others have their own.
      weight_decay: taken by the optimiser itself where it is DECOUPLED; elsewhere the
        caller adds it to the gradients.
      variables: all that are trained.
      decayed: those of them that decay.
      arguments: further ones of its constructor, as "beta_2=0.99,epsilon=1e-6".

    Raises:
      UserError: the optimiser does not take these arguments.
    """
    keywords = _parse(arguments)
    if name == "sgd":
        keywords.setdefault("momentum", momentum)
    if name in DECOUPLED:
        keywords.setdefault("weight_decay", weight_decay)
    classes = {kind.lower(): value for kind, value in vars(keras.optimizers).items()}
    try:
        # The name goes into the checkpoint's keys; Keras would count it up.
        optimizer = classes[name](learning_rate, name=name, **keywords)
    except (TypeError, ValueError) as error:
        raise UserError(f"optimizer.arguments={arguments!r}: {error}") from None
    if name in DECOUPLED:
        own = {id(variable) for variable in decayed}
        optimizer.exclude_from_weight_decay([v for v in variables if id(v) not in own])
    optimizer.build(variables)
    return optimizer


def _parse(arguments: str) -> dict[str, Any]:
    """ "a=1,b=True" as a dictionary, by Python's own grammar of calls."""
    try:
        call = ast.parse(f"f({arguments})", mode="eval").body
        if not isinstance(call, ast.Call) or call.args:
            raise ValueError
        return {str(item.arg): ast.literal_eval(item.value) for item in call.keywords}
    except (SyntaxError, ValueError):
        raise UserError(
            f"optimizer.arguments must be name=value,...; received {arguments!r}."
        ) from None
