"""Splits a folder in two so that rare classes fall into both parts."""

import hashlib
from collections.abc import Sequence

from deeplab_tf.data.conversion.labels import classes_in
from deeplab_tf.data.conversion.samples import Sample
from deeplab_tf.data.dataset_info import DatasetInfo


def choose_stratified(
    samples: Sequence[Sample], info: DatasetInfo, fraction: float
) -> set[str]:
    """Names of about `fraction` of the samples, with each class in that proportion.

    Classes are served from the rarest on (iterative stratification, Sechidis et al.
    2011): of the pictures that hold it and are not yet placed, as many are chosen as
    its share still lacks. A class in two pictures or more is in both parts. The order
    of pictures is that of a hash of their names, so the choice is the same anywhere
    and adding pictures moves few others.
    """
    order = sorted(samples, key=lambda s: hashlib.sha1(s.name.encode()).digest())
    holds = {sample.name: _classes(sample, info) for sample in order}
    chosen: set[str] = set()
    if not fraction:
        return chosen
    left = dict.fromkeys(holds)
    totals = [
        sum(c in held for held in holds.values()) for c in range(info.num_classes)
    ]
    for label in sorted(range(info.num_classes), key=lambda c: totals[c]):
        total = totals[label]
        wanted = min(max(round(total * fraction), 1), total - 1) if total > 1 else 0
        wanted -= sum(label in holds[name] for name in chosen)
        candidates = [name for name in left if label in holds[name]]
        chosen.update(candidates[: max(wanted, 0)])
        for name in candidates:
            del left[name]
    wanted = round(len(samples) * fraction) - len(chosen)
    chosen.update(list(left)[: max(wanted, 0)])
    return chosen


def _classes(sample: Sample, info: DatasetInfo) -> frozenset[int]:
    """The classes in a sample's label; none if it cannot be read: the audit tells."""
    try:
        content = sample.label()
        if content is None:
            return frozenset()
        return frozenset(classes_in(content, sample.label_name, info, sample.coding))
    except Exception:  # SampleError, or whatever an odd file leads to
        return frozenset()
