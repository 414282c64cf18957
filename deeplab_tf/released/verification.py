"""Compares our network with the released frozen graph, layer by layer."""

import dataclasses
from collections.abc import Iterable

import keras
import numpy as np

from deeplab_tf.config import Model
from deeplab_tf.errors import UserError
from deeplab_tf.released import variable_names
from deeplab_tf.released.frozen_graph import LABELS, FrozenGraph

LOGITS_TOLERANCE = 1e-4  # of the greatest logit
LABELS_SHARE = 0.9995  # of the pixels
# The operations, one of which is the output of a batch norm or a classifier.
_NORMS = ("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3", "batchnorm/add_1")


@dataclasses.dataclass(kw_only=True)
class Row:
    """The difference of one layer, over all pictures.

    Attributes:
      layer: ours.
      node: the graph's operation.
      difference: greatest absolute one.
      magnitude: greatest absolute value in the graph.
    """

    layer: str
    node: str
    difference: float = 0.0
    magnitude: float = 0.0

    @property
    def relative(self) -> float:
        """Greatest difference over greatest value."""
        return self.difference / self.magnitude if self.magnitude else self.difference

    def add(self, ours: np.ndarray, theirs: np.ndarray) -> None:
        """Takes one picture in; maps of different sizes differ without bound."""
        if ours.shape != theirs.shape:
            self.difference = np.inf
            return
        self.difference = max(self.difference, float(np.abs(ours - theirs).max()))
        self.magnitude = max(self.magnitude, float(np.abs(theirs).max()))


@dataclasses.dataclass(kw_only=True)
class Comparison:
    """What `compare` found: a row a layer, logits last, and the labels."""

    rows: list[Row]
    pictures: int = 0
    pixels: int = 0
    equal_labels: int = 0

    @property
    def labels_share(self) -> float:
        """Share of the pixels that have the same label."""
        return self.equal_labels / self.pixels

    def is_close(self) -> bool:
        """Whether logits and labels agree within the tolerances of this module."""
        close = self.rows[-1].relative <= LOGITS_TOLERANCE
        return close and self.labels_share >= LABELS_SHARE

    def __str__(self) -> str:
        """A table."""
        width = max(len(row.layer) for row in self.rows)
        lines = [f"{'layer':<{width}}  max difference  relative"]
        lines += [
            f"{row.layer:<{width}}  {row.difference:14.3g}  {row.relative:8.2g}"
            for row in self.rows
        ]
        lines.append(
            f"labels equal: {self.equal_labels} of {self.pixels} pixels "
            f"({100 * self.labels_share:.5f} %) in {self.pictures} pictures"
        )
        return "\n".join(lines)


def compare(
    graph: FrozenGraph,
    network: keras.Model,
    model: Model,
    pictures: Iterable[np.ndarray],
) -> Comparison:
    """Runs both on the same pictures.

    Args:
      graph: the released one.
      network: ours with the released weights, at the graph's output stride and
        padded size.
      model: the network's.
      pictures: uint8 [H, W, 3], no larger than the graph's padded size.

    Raises:
      UserError: there is no picture, or one is too large for the graph.
    """
    nodes = dict(_pairs(graph, network, model))
    outputs = [network.get_layer(layer).output for layer in nodes]
    inspected = keras.Model(network.input, [*outputs, network.output])
    rows = [Row(layer=layer, node=node) for layer, node in nodes.items()]
    result = Comparison(rows=[*rows, Row(layer="logits at size", node=graph.logits)])
    names = [row.node for row in result.rows]
    for picture in pictures:
        height, width = picture.shape[:2]
        _require_room(graph, height, width)
        theirs = graph.run(picture, [*names, LABELS])
        ours = inspected(np.float32(picture[None]), training=False)
        logits = np.asarray(ours[-1])
        for row, value in zip(rows, ours[:-1], strict=True):
            row.add(np.asarray(value), theirs[row.node])
        cut = theirs[graph.logits][:, :height, :width]
        result.rows[-1].add(logits, cut)
        labels = np.reshape(theirs[LABELS], (height, width))
        result.equal_labels += int((logits[0].argmax(-1) == labels).sum())
        result.pixels += height * width
        result.pictures += 1
    if not result.pictures:
        raise UserError("there is no picture to compare on; give --images.")
    return result


def _pairs(
    graph: FrozenGraph, network: keras.Model, model: Model
) -> Iterable[tuple[str, str]]:
    """(our layer, the graph's operation) for batch norms and the classifier."""
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            scope = variable_names.scope(layer.name.removesuffix(".batch_norm"), model)
            candidates = [f"{scope}/BatchNorm/{name}" for name in _NORMS]
        elif layer.name == "logits":
            candidates = [f"{variable_names.scope(layer.name, model)}/BiasAdd"]
        else:
            continue
        for name in candidates:
            if name in graph.nodes:
                yield layer.name, name
                break


def _require_room(graph: FrozenGraph, height: int, width: int) -> None:
    size = graph.settings().get("padded_size", (height, width))
    if height > size[0] or width > size[1]:
        raise UserError(
            f"the frozen graph takes pictures of at most {size[0]}x{size[1]}; "
            f"received {height}x{width}."
        )
