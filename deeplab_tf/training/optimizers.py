"""Keras' optimisers by name, with weight decay on the convolution kernels alone."""

import ast
from collections.abc import Sequence
from typing import TypeVar

import keras
import tensorflow as tf

from deeplab_tf.config import Optimizer
from deeplab_tf.errors import UserError

T = TypeVar("T")

# These take the decay away from the weights themselves (Loshchilov and Hutter 2019).
# With the others it is part of the gradient, as L2 regularisation is.
DECOUPLED = ("adamw", "lion")


def make_optimizer(
    settings: Optimizer,
    *,
    learning_rate: float | keras.optimizers.schedules.LearningRateSchedule,
    weight_decay: float,
    variables: Sequence[keras.Variable],
    decayed: Sequence[keras.Variable],
    rate_factors: Sequence[float],
) -> keras.optimizers.Optimizer:
    """Makes and builds the Keras optimiser that the settings name.

    It takes gradients that are summed over the replicas already (Keras' own would sum
    them again), so that they could be clipped by their global norm.

    Args:
      settings: its name, the momentum of SGD (the others have their own), and further
        arguments of its constructor.
      learning_rate: a number or a schedule.
      weight_decay: taken by the optimiser itself where it is DECOUPLED; elsewhere the
        caller adds it to the gradients.
      variables: all that are trained.
      decayed: those of them that decay.
      rate_factors: on the learning rate, one for each of `variables`; empty: all 1. A
        decoupled decay is a share of the rate, so they act on it, too: a variable with
        the factor 0 stays as it is.

    Raises:
      UserError: the optimiser does not take these arguments.
    """
    name, keywords = settings.name, _parse(settings.arguments)
    if name == "sgd":
        keywords.setdefault("momentum", settings.momentum)
    if name in DECOUPLED:
        keywords.setdefault("weight_decay", weight_decay)
    classes = {kind.lower(): value for kind, value in vars(keras.optimizers).items()}
    kind = _with_summed_gradients(classes[name], rate_factors)
    try:
        # The name goes into the checkpoint's keys; Keras would count it up.
        optimizer = kind(learning_rate, name=name, **keywords)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"optimizer.arguments={settings.arguments!r}: {error}"
        ) from None
    if name in DECOUPLED:
        own = {id(variable) for variable in decayed}
        optimizer.exclude_from_weight_decay([v for v in variables if id(v) not in own])
    optimizer.build(variables)
    return optimizer


def _with_summed_gradients(kind: type, rate_factors: Sequence[float]) -> type:
    class Summed(kind):
        def _all_reduce_sum_gradients(self, grads_and_vars: T) -> T:
            return grads_and_vars

        def _apply_weight_decay(self, variables: Sequence[keras.Variable]) -> None:
            """Nothing: Keras would take it at the full rate, whatever the factors."""

        def update_step(
            self,
            gradient: tf.Tensor,
            variable: keras.Variable,
            learning_rate: tf.Tensor,
        ) -> None:
            if rate_factors:
                index = self._get_variable_index(variable)
                learning_rate = learning_rate * rate_factors[index]
            if self.weight_decay is not None and self._use_weight_decay(variable):
                share = keras.ops.cast(
                    learning_rate * self.weight_decay, variable.dtype
                )
                self.assign_sub(variable, variable * share)
            super().update_step(gradient, variable, learning_rate)

    return Summed


def _parse(arguments: str) -> dict[str, object]:
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
