"""Which operations a graph may have that came from somebody else.

A TensorFlow graph is a program: some operations read and write files, call Python or
reach over the network. A graph is therefore run only where each of its operations is
on a list of those that the networks need.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from deeplab_tf.errors import UserError

if TYPE_CHECKING:
    import tensorflow as tf
    from tensorflow.core.framework.function_pb2 import FunctionDef
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
    from tensorflow.core.protobuf.saved_object_graph_pb2 import SavedObjectGraph

_NAMED = 5  # operations in a message

# The numbers of a network, its padding and its resizing; all without side effects,
# but for Assert, which ends the run.
ARITHMETIC = frozenset(
    """
    Add AddN AddV2 All Any ArgMax Assert AvgPool BatchToSpaceND BiasAdd Cast Concat
    ConcatV2 Const Conv2D DepthwiseConv2dNative Div Einsum EnsureShape Equal Exp
    ExpandDims FakeQuantWithMinMaxArgs FakeQuantWithMinMaxVars
    FakeQuantWithMinMaxVarsPerChannel Fill Floor FloorDiv FloorMod FusedBatchNorm
    FusedBatchNormV2 FusedBatchNormV3 Gather GatherV2 Greater GreaterEqual Identity
    IdentityN IdentityN LeakyRelu Less LessEqual LogicalAnd LogicalNot LogicalOr
    MatMul Max MaxPool Maximum Mean Merge Min Minimum MirrorPad Mul Neg NoOp
    NotEqual OneHot Pack Pad PadV2 Placeholder PlaceholderWithDefault Pow Prod Range
    Rank RealDiv Relu Relu6 Reshape ResizeBilinear ResizeNearestNeighbor ReverseV2
    Round Rsqrt Select SelectV2 Shape Sigmoid Size Slice Softmax SpaceToBatchND
    Split SplitV Sqrt Square SquaredDifference Squeeze StopGradient StridedSlice Sub
    Sum Switch Tanh Tile TopKV2 Transpose Unpack Where ZerosLike
    """.split()  # noqa: SIM905
)
# What a SavedModel of export/ has besides: encoded pictures, batches of several sizes,
# and the calls of its functions.
SERVING = ARITHMETIC | frozenset(
    """
    DecodeJpeg DecodePaddedRaw DecodeRaw ExtractJpegShape If PartitionedCall
    RaggedTensorFromVariant RaggedTensorToTensor RaggedTensorToVariant
    StatefulPartitionedCall StatelessIf StatelessWhile Substr TensorListFromTensor
    TensorListGetItem TensorListReserve TensorListSetItem TensorListStack While
    """.split()  # noqa: SIM905
)


def require_graph(graph: "tf.compat.v1.GraphDef", source: str) -> None:
    """Refuses a frozen graph that is more than arithmetic.

    Args:
      graph: GraphDef.
      source: its file, for messages.

    Raises:
      UserError: an operation is not on the list, or it calls functions.
    """
    called = {name for node in graph.node for name in _called(node)}
    if graph.library.function or called:
        raise UserError(
            f"{source}: is refused: it has functions, and released graphs have none."
        )
    _require(graph.node, ARITHMETIC, source)


def require_saved_model(saved_model: "SavedModel", source: str) -> None:
    """Refuses a SavedModel that is none of export/, before it is loaded.

    What loading and calling it can run are the functions of its object graph and
    those that they call. TensorFlow's own functions that save and restore variables
    are in the file, too; they run only for who saves it again.

    Args:
      saved_model: its protocol buffer.
      source: its folder, for messages.

    Raises:
      UserError: an operation is not on the list, or it is of TensorFlow 1, which has
        no object graph.
    """
    graphs = saved_model.meta_graphs
    if len(graphs) != 1 or not graphs[0].HasField("object_graph_def"):
        raise UserError(
            f"{source}: is no SavedModel of this program: it has {len(graphs)} graphs "
            "or no objects."
        )
    functions = {
        item.signature.name: item for item in graphs[0].graph_def.library.function
    }
    called = _reachable(graphs[0].object_graph_def, functions)
    missing = sorted(called - set(functions))
    if missing:
        raise UserError(f"{source}: is damaged: the function {missing[0]} is missing.")
    nodes = [node for name in called for node in functions[name].node_def]
    _require(nodes, SERVING, source)


def _reachable(
    objects: "SavedObjectGraph", functions: Mapping[str, "FunctionDef"]
) -> set[str]:
    """Names of the functions that the objects have, and of those called by them."""
    waiting = set(objects.concrete_functions)
    for node in objects.nodes:
        waiting |= set(node.function.concrete_functions)
        waiting |= {node.bare_concrete_function.concrete_function_name} - {""}
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        found.add(name)
        nodes = functions[name].node_def if name in functions else ()
        waiting |= {other for node in nodes for other in _called(node)} - found
    return found


def _called(node: "tf.compat.v1.NodeDef") -> Iterator[str]:
    """The functions that the attributes of an operation name."""
    waiting = list(node.attr.values())
    while waiting:
        value = waiting.pop()
        for function in [value.func, *value.list.func]:
            if function.name:
                yield function.name
            waiting += function.attr.values()


def _require(
    nodes: Iterable["tf.compat.v1.NodeDef"], allowed: Collection[str], source: str
) -> None:
    others = sorted({node.op for node in nodes} - set(allowed))
    if others:
        more = "..." if len(others) > _NAMED else ""
        raise UserError(
            f"{source}: is refused, for it could do more than label pictures: it has "
            f"the operations {', '.join(others[:_NAMED])}{more}, which no model of "
            "this program needs."
        )
