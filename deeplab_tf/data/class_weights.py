"""Weights against rare classes, from the pixel counts in dataset.json."""

from collections.abc import Callable, Mapping, Sequence

from deeplab_tf.data.dataset_info import DatasetInfo
from deeplab_tf.errors import UserError

Counts = Sequence[int]  # of the classes that occur, so each above 0


def make_class_weights(
    given: Sequence[float], scheme: str, info: DatasetInfo, split: str
) -> tuple[float, ...] | None:
    """The weight of each class; None where all are 1.

    Args:
      given: one weight a class; where empty, `scheme` makes them.
      scheme: a key of SCHEMES, or "none".
      info: of the data set.
      split: whose pixels count. A class without pixels gets weight 1.

    Raises:
      UserError: the number of weights is not that of the classes, or dataset.json
        lacks the counts that the scheme needs.
    """
    if given:
        if len(given) != info.num_classes:
            raise UserError(
                f"loss.class_weights must hold one weight for each of the "
                f"{info.num_classes} classes of {info.name!r}; received {len(given)}."
            )
        return tuple(given)
    if scheme == "none":
        return None
    counts = info.split(split).class_pixels
    if not any(counts):
        raise UserError(
            f"loss.class_weighting={scheme} needs the class_pixels of split {split!r}, "
            "which dataset.json lacks: convert the data again, or give "
            "--loss.class_weights."
        )
    weights = iter(SCHEMES[scheme]([count for count in counts if count]))
    return tuple(next(weights) if count else 1.0 for count in counts)


def inverse(counts: Counts) -> list[float]:
    """1 / count, with a mean of 1 over the pixels."""
    return _normalized([1.0 / count for count in counts], counts)


def inverse_root(counts: Counts) -> list[float]:
    """1 / root of count, with a mean of 1 over the pixels.

    Milder than the others: rare classes are learned sooner than without weights, and
    frequent ones keep their borders.
    """
    return _normalized([count**-0.5 for count in counts], counts)


def median_frequency(counts: Counts) -> list[float]:
    """Median count / count, as Eigen and Fergus 2015; the middle class has weight 1.

    Their frequency leaves out pictures without the class; dataset.json counts the
    pixels of all.
    """
    ordered = sorted(counts)
    half = len(ordered) // 2
    median = (ordered[half] + ordered[-half - 1]) / 2
    return [median / count for count in counts]


def effective_number(counts: Counts) -> list[float]:
    """1 / effective number of pixels (Cui et al. 2019), with a mean of 1 over pixels.

    The number is (1 - b^count) / (1 - b) with b = (N - 1) / N. N is the mean count of
    a class here: rarer classes get about 1 / count, while the weights of the frequent
    ones level out.
    """
    mean = sum(counts) / len(counts)
    base = (mean - 1.0) / mean
    return _normalized([(1.0 - base) / (1.0 - base**count) for count in counts], counts)


SCHEMES: Mapping[str, Callable[[Counts], list[float]]] = {
    "inverse": inverse,
    "inverse_root": inverse_root,
    "median_frequency": median_frequency,
    "effective_number": effective_number,
}


def absent_classes(info: DatasetInfo, split: str) -> list[str]:
    """One message for the classes that have no pixel in a split; none: empty.

    A class that is never seen is never predicted: its IoU will be 0 wherever another
    split shows it.
    """
    counts = info.split(split).class_pixels
    names = [name for name, n in zip(info.class_names, counts, strict=False) if not n]
    if not names:
        return []
    return [
        f"split {split!r} of {info.name!r} has not one pixel of {len(names)} of its "
        f"{info.num_classes} classes, which cannot be learned: {', '.join(names)}."
    ]


def _normalized(weights: list[float], counts: Counts) -> list[float]:
    """Scaled to a mean of 1 over the pixels, so that the learning rate still fits."""
    total = sum(w * count for w, count in zip(weights, counts, strict=True))
    return [w * sum(counts) / total for w in weights]
