"""Int8 ReLUs that stand alone, as an operation that XNNPACK takes.

The pre-activation units of Xception read a sum twice, once through a ReLU, so that the
converter cannot make it part of the sum. XNNPACK has no such operation for int8: each
falls out of the delegate and parts what lies before it from what follows.
"""

from ai_edge_litert import schema_py_generated as schema

from deeplab_tf.export.tflite import inspection

_ADD_VERSION = 2  # of int8


def fuse(content: bytes) -> bytes:
    """The model with each such ReLU as a sum with 0 that ends in one: equal values."""
    model = inspection.unpack(content)
    for graph in model.subgraphs:
        for operator in graph.operators:
            code = model.operatorCodes[operator.opcodeIndex]
            kind = graph.tensors[operator.outputs[0]].type
            is_int8 = kind == schema.TensorType.INT8
            if _builtin(code) == schema.BuiltinOperator.RELU and is_int8:
                _as_sum(model, graph, operator)
    return inspection.pack(model)


def _as_sum(
    model: schema.ModelT, graph: schema.SubGraphT, operator: schema.OperatorT
) -> None:
    scale = graph.tensors[operator.inputs[0]].quantization.scale[0]
    operator.inputs = [operator.inputs[0], _zero(model, graph, float(scale))]
    operator.opcodeIndex = _code_of_add(model)
    options = schema.AddOptionsT()
    options.fusedActivationFunction = schema.ActivationFunctionType.RELU
    operator.builtinOptionsType = schema.BuiltinOptions.AddOptions
    operator.builtinOptions = options


def _zero(model: schema.ModelT, graph: schema.SubGraphT, scale: float) -> int:
    """Number of a new tensor that holds a 0 in the steps of the other summand."""
    buffer = schema.BufferT()
    buffer.data = [0]
    model.buffers.append(buffer)
    steps = schema.QuantizationParametersT()
    steps.scale, steps.zeroPoint = [scale], [0]
    tensor = schema.TensorT()
    tensor.name = f"zero_{len(graph.tensors)}".encode()
    tensor.type, tensor.shape = schema.TensorType.INT8, [1]
    tensor.buffer, tensor.quantization = len(model.buffers) - 1, steps
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def _code_of_add(model: schema.ModelT) -> int:
    add = schema.BuiltinOperator.ADD
    for number, code in enumerate(model.operatorCodes):
        if _builtin(code) == add:
            return number
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = add
    code.version = _ADD_VERSION
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1


def _builtin(code: schema.OperatorCodeT) -> int:
    # Old files have the operation in a byte, where newer ones say 127.
    return max(code.builtinCode, code.deprecatedBuiltinCode)
