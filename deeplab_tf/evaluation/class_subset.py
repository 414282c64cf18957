"""A network scored in the classes of another that knows fewer: its data set grew.

The classes join by their names. Where the larger network says a class that the other
does not know, the likeliest of the others counts, as its labels have no such class.
"""

import dataclasses

import keras
import numpy as np

from deeplab_tf.errors import UserError
from deeplab_tf.inference.predictor import Images, Predictor, label_type
from deeplab_tf.runs import Run


@dataclasses.dataclass(frozen=True)
class Restricted:
    """A `Predictor` that says some of another's classes.

    Attributes:
      predict: the other.
      places: of these classes among the other's, in the order of the numbers that
        they have here.
    """

    predict: Predictor
    places: tuple[int, ...]

    @property
    def model(self) -> keras.Model | None:
        """The other's."""
        return self.predict.model

    def labels(self, images: Images) -> np.ndarray:
        """As in `Predictor`."""
        return self.labels_and_confidence(images)[0]

    def labels_and_confidence(self, images: Images) -> tuple[np.ndarray, np.ndarray]:
        """As in `Predictor`."""
        shares = self.probabilities(images)
        kind = label_type(len(self.places))
        return shares.argmax(-1).astype(kind), shares.max(-1)

    def probabilities(self, images: Images) -> np.ndarray:
        """As in `Predictor`: given that it is one of these classes."""
        shares = np.asarray(self.predict.probabilities(images))[..., self.places]
        total = shares.sum(-1, keepdims=True)
        return shares / np.maximum(total, np.finfo(np.float32).tiny)


def restrict(predict: Predictor, run: Run, scorer: Run) -> Predictor:
    """The run's predictor in the classes of another run.

    Raises:
      UserError: the run does not know one of them.
    """
    theirs, ours = run.info.class_names, scorer.info.class_names
    if theirs == ours:
        return predict
    require_known(run, scorer)
    return Restricted(predict, tuple(theirs.index(name) for name in ours))


def require_known(run: Run, scorer: Run) -> None:
    """Raises UserError where a run does not know all classes of another."""
    if missing := set(scorer.info.class_names) - set(run.info.class_names):
        raise UserError(
            f"{run.path} and {scorer.path} have different classes: the first does not "
            f"know {', '.join(sorted(missing))}. The one that knows more can be "
            "compared to the other: --run_dir=MORE --compare_to=FEWER."
        )


def left_out(run: Run, scorer: Run) -> list[str]:
    """The classes of a run that another does not know."""
    return [c for c in run.info.class_names if c not in scorer.info.class_names]


def file_suffix(run: Run, scorer: Run) -> str:
    """What parts the results in another run's classes from those in its own."""
    same = run.info.class_names == scorer.info.class_names
    return "" if same else f".on_{scorer.path.resolve().name}"
