"""What a .tflite file holds: operations, attached texts, metadata."""

import dataclasses
import io
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping

import flatbuffers
from ai_edge_litert import schema_py_generated as schema

from deeplab_tf.inference.runners.tflite_file import BUFFER_NAME

DILATED = "DEPTHWISE_CONV_2D dilated"

# What a file of ours must not hold: the trace of an atrous convolution in pieces, of
# weights that were not frozen, of operations outside of LiteRT, of 64-bit labels.
_FOREIGN = ("SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND", "VAR_HANDLE", "READ_VARIABLE")

# Which of the operations that occur in these networks a delegate lists as supported.
# XNNPACK: the README of tensorflow/lite/delegates/xnnpack; GPU: LiteRT's GPU delegate
# guide and its model builder; Edge TPU: "Supported operations" of the Coral
# documentation (int8 only, no dilated depthwise convolution).
_COMMON = frozenset(
    {
        "ADD",
        "AVERAGE_POOL_2D",
        "CONCATENATION",
        "CONV_2D",
        "DEPTHWISE_CONV_2D",
        "LOGISTIC",
        "MAX_POOL_2D",
        "MEAN",
        "MUL",
        "PAD",
        "RELU",
        "RELU6",
        "RESHAPE",
        "RESIZE_BILINEAR",
        "SOFTMAX",
        "SUB",
    }
)
DELEGATES: Mapping[str, frozenset[str]] = {
    "XNNPACK": _COMMON | {DILATED, "HARD_SWISH", "QUANTIZE", "DEQUANTIZE"},
    "GPU": _COMMON | {DILATED, "HARD_SWISH", "MINIMUM", "MAXIMUM"},
    "Edge TPU": _COMMON | {"QUANTIZE", "MINIMUM", "MAXIMUM"},
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Operation:
    """One kind of operation of a file.

    Attributes:
      name: as BuiltinOperator spells it, "FLEX..." or a custom operation's name.
      count: in all signatures.
      delegates: those that list it as supported.
    """

    name: str
    count: int
    delegates: tuple[str, ...]


def operations(content: bytes) -> list[Operation]:
    """The kinds of operations of a file, the most frequent first."""
    model = schema.Model.GetRootAs(content, 0)
    counts: Counter[str] = Counter()
    for i in range(model.SubgraphsLength()):
        graph = model.Subgraphs(i)
        for j in range(graph.OperatorsLength()):
            counts[_name(model, graph.Operators(j))] += 1
    return [
        Operation(
            name=name,
            count=count,
            delegates=tuple(d for d, taken in DELEGATES.items() if name in taken),
        )
        for name, count in counts.most_common()
    ]


def faults(content: bytes) -> list[str]:
    """What a file of ours must not hold but does, in words; empty: it is clean."""
    found = [
        operation.name
        for operation in operations(content)
        if operation.name in _FOREIGN or operation.name.startswith(("FLEX", "CUSTOM"))
    ]
    model = schema.Model.GetRootAs(content, 0)
    for i in range(model.SubgraphsLength()):
        graph = model.Subgraphs(i)
        for j in range(graph.OutputsLength()):
            if graph.Tensors(graph.Outputs(j)).Type() == schema.TensorType.INT64:
                found.append("int64 output")
    return found


def broken_promises(content: bytes, output_type: str, quantize: str) -> list[str]:
    """What of a file's inputs and outputs is not as export/README.md says, in words.

    Pixels are taken as they are, 0..255: as float32, in an int8 file as bytes of scale
    1. Where the file rounds them itself, to 16 bits, it has steps for all of 0..255.

    Args:
      content: of the file.
      output_type: of the file.
      quantize: its kind.
    """
    kinds = schema.TensorType
    pixel = kinds.UINT8 if quantize == "int8" else kinds.FLOAT32
    result = kinds.INT8 if quantize == "int8" else kinds.FLOAT32
    if output_type == "labels":
        result = kinds.INT32
    model = schema.Model.GetRootAs(content, 0)
    found = []
    for i in range(model.SubgraphsLength()):
        graph = model.Subgraphs(i)
        (given,) = _tensors(graph, graph.Inputs, graph.InputsLength())
        (output,) = _tensors(graph, graph.Outputs, graph.OutputsLength())
        if (given.Type(), output.Type()) != (pixel, result):
            found.append("types of input and output")
        if quantize == "int8" and _steps(given) != (1.0, 0):
            found.append(f"input of scale and zero point {_steps(given)}")
        if quantize == "int16x8":
            found += _narrow(graph)
    return found


def _narrow(graph: schema.SubGraph) -> list[str]:
    """The 16-bit copies of the input whose steps end before 255."""
    copies = []
    for j in range(graph.OperatorsLength()):
        operator = graph.Operators(j)
        reads = {operator.Inputs(k) for k in range(operator.InputsLength())}
        if graph.Inputs(0) in reads:
            copies += _tensors(graph, operator.Outputs, operator.OutputsLength())
    tops = [_steps(one)[0] * 32767 for one in copies]
    return [f"input up to {top:.1f}" for top in tops if abs(top - 255) > 0.5]


def _tensors(
    graph: schema.SubGraph, index: Callable[[int], int], count: int
) -> list[schema.Tensor]:
    return [graph.Tensors(index(k)) for k in range(count)]


def _steps(tensor: schema.Tensor) -> tuple[float, int]:
    """Scale and zero point; 0, 0 of a tensor that is not quantised."""
    steps = tensor.Quantization()
    if steps is None or not steps.ScaleLength():
        return 0.0, 0
    return round(float(steps.Scale(0)), 6), int(steps.ZeroPoint(0))


def add_metadata(content: bytes, metadata: bytes) -> bytes:
    """The model with a buffer of metadata under the name that tools look for."""
    model = unpack(content)
    entry = schema.MetadataT()
    entry.name, entry.buffer = BUFFER_NAME, len(model.buffers)
    buffer = schema.BufferT()
    buffer.data = list(metadata)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or []), entry]
    return pack(model)


def unpack(content: bytes) -> schema.ModelT:
    """The model as objects, to be changed."""
    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))


def pack(model: schema.ModelT) -> bytes:
    """The content of the model's file."""
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def attach(content: bytes, texts: Mapping[str, str]) -> bytes:
    """Appends text files as a zip archive, where LiteRT's tools look for them.

    The model's own bytes stay as they are; `unzip model.tflite` gives the files.
    """
    buffer = io.BytesIO(content)
    with zipfile.ZipFile(buffer, "a") as archive:
        for name, text in texts.items():
            # A fixed time, so that the same run gives the same file.
            archive.writestr(zipfile.ZipInfo(name), text)
    return buffer.getvalue()


def _name(model: schema.Model, operator: schema.Operator) -> str:
    code = model.OperatorCodes(operator.OpcodeIndex())
    # Old files have the operation in a byte, where newer ones say 127.
    number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    if number == schema.BuiltinOperator.CUSTOM:
        name = code.CustomCode().decode()
        return f"FLEX {name[4:]}" if name.startswith("Flex") else f"CUSTOM {name}"
    if number == schema.BuiltinOperator.DEPTHWISE_CONV_2D:
        options = schema.DepthwiseConv2DOptions()
        union = operator.BuiltinOptions()
        options.Init(union.Bytes, union.Pos)
        if options.DilationHFactor() > 1 or options.DilationWFactor() > 1:
            return DILATED
    return _NAMES[number]


_NAMES = {
    number: name
    for name, number in vars(schema.BuiltinOperator).items()
    if not name.startswith("_")
}
