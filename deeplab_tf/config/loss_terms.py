"""The terms of a loss as they are written: "cross_entropy,0.5*lovasz"."""

import math

from deeplab_tf.errors import UserError, unknown

# Their functions are in losses.py.
TERMS = ("cross_entropy", "boundary", "focal", "dice", "lovasz")


def parse(text: str) -> dict[str, float]:
    """The factor of each term, in the order written; a term alone has factor 1.

    Raises:
      UserError: there is no term, one is unknown or comes twice, or a factor is no
        positive number.
    """
    factors: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        factor, _, name = part.rpartition("*")
        name = name.strip()
        if name not in TERMS:
            raise unknown("term of loss.terms", name, TERMS)
        if name in factors:
            raise UserError(f"loss.terms names {name!r} twice: {text!r}.")
        factors[name] = _positive(factor.strip() or "1", part)
    if not factors:
        raise UserError(
            "loss.terms must name a loss, as cross_entropy,0.5*lovasz; received "
            f"{text!r}."
        )
    return factors


def _positive(text: str, part: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < math.inf:
        raise UserError(
            f"loss.terms: the factor in {part!r} must be a positive number; received "
            f"{text!r}."
        )
    return value
