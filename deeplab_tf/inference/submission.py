"""Label maps as the benchmarks' servers want them."""

import dataclasses

import numpy as np

from deeplab_tf.config.options import SUBMISSIONS
from deeplab_tf.data.sources import cityscapes
from deeplab_tf.errors import UserError, unknown


@dataclasses.dataclass(frozen=True, kw_only=True)
class Submission:
    """What a server takes.

    Attributes:
      values: [256], the value of each label in the file.
      is_palette: palette PNG with the data set's colours; else greyscale.
      suffix: of the file name, before ".png".
    """

    values: np.ndarray
    is_palette: bool = False
    suffix: str = ""


def get(name: str, class_names: tuple[str, ...]) -> Submission:
    """The format of a benchmark for a run with these classes.

    cityscapes: greyscale of the label ids ("evalIds"), *_pred.png. voc2012: palette
    PNG of class numbers. ade20k: greyscale, classes from 1.

    Raises:
      UserError: there is no such format, or the classes are not the benchmark's.
    """
    if name not in SUBMISSIONS:
        raise unknown("submission format", name, SUBMISSIONS)
    same = np.arange(256, dtype=np.uint8)
    if name == "voc2012":
        _require(len(class_names) == 21, name, "21 classes", class_names)
        return Submission(values=same, is_palette=True)
    if name == "ade20k":
        _require(len(class_names) == 150, name, "150 classes", class_names)
        return Submission(values=same + np.uint8(1))
    foreign = [one for one in class_names if _plain(one) not in cityscapes.LABEL_IDS]
    _require(not foreign, name, f"none of the classes {foreign}", class_names)
    values = np.zeros(256, np.uint8)
    values[: len(class_names)] = [
        cityscapes.LABEL_IDS[_plain(one)] for one in class_names
    ]
    return Submission(values=values, suffix="_pred")


def _plain(name: str) -> str:
    return name.lower().replace("_", " ")


def _require(condition: bool, name: str, allowed: str, received: object) -> None:
    if not condition:
        raise UserError(f"--submission={name} wants {allowed}; the run has {received}.")
