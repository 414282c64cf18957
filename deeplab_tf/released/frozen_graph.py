"""A released frozen graph: what it says of itself, and running it."""

import functools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from deeplab_tf.errors import UserError
from deeplab_tf.files import Json

PICTURE = "ImageTensor"
LABELS = "SemanticPredictions"
# The mean over the picture, and the first convolution that reads it.
_POOLED = "image_pooling/Conv2D"


class FrozenGraph:
    """A graph that the released export made, from a picture to its labels.

    Args:
      graph: with `PICTURE` (uint8 [1, H, W, 3]) and `LABELS`.
      source: the file's name, for messages.
    """

    def __init__(self, graph: tf.compat.v1.GraphDef, source: str) -> None:
        self.nodes = {node.name: node for node in graph.node}
        self._graph = graph
        self._functions: dict[tuple[str, ...], Callable[[tf.Tensor], tf.Tensor]] = {}
        missing = {PICTURE, LABELS} - set(self.nodes)
        if missing:
            raise UserError(
                f"{source}: is no graph of the released export, which has {PICTURE} "
                f"and {LABELS}; {', '.join(sorted(missing))} missing."
            )

    def run(self, picture: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
        """The named operations' first outputs for one picture uint8 [H, W, 3]."""
        key = tuple(names)
        if key not in self._functions:
            tensors = [f"{name}:0" for name in names]
            self._functions[key] = self._wrapped.prune(f"{PICTURE}:0", tensors)
        values = self._functions[key](tf.constant(picture[None]))
        return {name: value.numpy() for name, value in zip(names, values, strict=True)}

    @functools.cached_property
    def _wrapped(self) -> tf.types.experimental.ConcreteFunction:
        def build() -> None:
            tf.graph_util.import_graph_def(self._graph, name="")

        return tf.compat.v1.wrap_function(build, [])

    @property
    def logits(self) -> str:
        """Name of the logits at the padded picture's size: what ArgMax takes."""
        argmax = [node for node in self.nodes.values() if node.op == "ArgMax"]
        if len(argmax) != 1:
            raise UserError("the frozen graph has no single ArgMax over its logits.")
        return argmax[0].input[0].split(":")[0]

    def settings(self) -> Json:
        """The leaves of config.Model that a checkpoint does not tell.

        padded_size from the padding in front of the network, output_stride from the
        window of the image pooling, which is that size's map, and the atrous rates
        where they are folded into the batch. What the graph does not show is left
        out.
        """
        found: Json = {}
        size = self._padded_size()
        if size:
            found["padded_size"] = size
        pooled = self.nodes.get(_POOLED)
        pool = self.nodes.get(pooled.input[0]) if pooled else None
        if size and pool is not None and pool.op == "AvgPool":
            window = pool.attr["ksize"].list.i[1]
            found["output_stride"] = (size[0] - 1) // (window - 1)
            rates = tuple(self._rates())
            if rates:
                stride = found["output_stride"]
                found["atrous_rates"] = tuple(rate * stride // 16 for rate in rates)
        return found

    def _padded_size(self) -> tuple[int, ...]:
        """The sides of which max(side - picture's side, 0) is padded."""
        sides = []
        for node in self.nodes.values():
            inner = self.nodes.get(node.input[0]) if node.op == "Maximum" else None
            if inner is not None and inner.op == "Sub":
                side = self._constant(inner.input[0])
                if side is not None:
                    sides.append(int(side))
        return tuple(sides[:2]) if len(sides) >= 2 else ()

    def _rates(self) -> Iterator[int]:
        """Rates of aspp1, aspp2..., as the block of the SpaceToBatch around them."""
        number = 1
        while True:
            scopes = (f"aspp{number}_depthwise/depthwise", f"aspp{number}")
            shapes = [
                self._constant(f"{scope}/SpaceToBatchND/block_shape")
                for scope in scopes
            ]
            rate = next((shape for shape in shapes if shape is not None), None)
            if rate is None:
                return
            yield int(np.ravel(rate)[0])
            number += 1

    def _constant(self, name: str) -> np.ndarray | None:
        node = self.nodes.get(name)
        if node is None or node.op != "Const":
            return None
        return tf.make_ndarray(node.attr["value"].tensor)
