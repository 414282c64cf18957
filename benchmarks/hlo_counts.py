"""What an HLO module does in a step: operations, convolutions, copies, transfers.

A library of benchmarks/hlo.py. It reads the protocol buffer, not the text, so that
shapes, windows and layouts are fields.
"""

import collections
import math
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

from tensorflow.compiler.xla import xla_data_pb2
from tensorflow.compiler.xla.service import hlo_pb2

# Generated classes, of which type checkers know nothing.
Module: TypeAlias = Any  # hlo_pb2.HloModuleProto
Instruction: TypeAlias = Any  # hlo_pb2.HloInstructionProto

# They compute nothing and move nothing.
_FREE = {"parameter", "constant", "get-tuple-element", "tuple", "bitcast"}
_CONTROL = {"while", "conditional", "call"}
_TRANSFERS = {"infeed", "outfeed", "send", "recv", "send-done", "recv-done"}
_GIGA = 1e9


def read(content: bytes) -> Module:
    """The module of a serialized HloModuleProto."""
    return hlo_pb2.HloModuleProto.FromString(content)


def without_copies(module: Module) -> Module:
    """The module without copies, which StableHLO lacks; they change no value."""
    result = hlo_pb2.HloModuleProto()
    result.CopyFrom(module)
    for computation in result.computations:
        copies = {
            one.id: one.operand_ids[0]
            for one in computation.instructions
            if one.opcode == "copy"
        }
        kept = [one for one in computation.instructions if one.id not in copies]
        for one in kept:
            one.operand_ids[:] = [_behind(i, copies) for i in one.operand_ids]
        computation.root_id = _behind(computation.root_id, copies)
        # Deleting the field would empty those that are kept.
        copied = [
            hlo_pb2.HloInstructionProto.FromString(one.SerializeToString())
            for one in kept
        ]
        del computation.instructions[:]
        computation.instructions.extend(copied)
    return result


def _behind(identity: int, copies: dict[int, int]) -> int:
    while identity in copies:
        identity = copies[identity]
    return identity


def summary(module: Module) -> dict[str, Any]:
    """What one step does: the body of the largest loop, or all where there is none.

    Returns:
      `operations` by kind, `fusions` by kind, `convolutions` (see `_convolutions`),
      `transposes` and `copies` with their megabytes, `layout_changes` among the
      copies, `custom_calls` by target, `transfers` from and to the host, and, where
      the module is compiled, `megabytes` read and written by kind of operation: those
      of an operation's operands and results, wherever they lie.
    """
    by_id = {one.id: one for one in module.computations}
    root = _step(module, by_id)
    found = [by_id[i] for i in _reached(root, by_id, fused=True)]
    instructions = [one for part in found for one in part.instructions]
    counted = [one for one in instructions if one.opcode not in _FREE]
    result: dict[str, Any] = {
        "in_a_loop": root != module.entry_computation_id,
        "operations": dict(_counter(one.opcode for one in counted)),
        "fusions": dict(_counter(one.fusion_kind for one in _of(counted, "fusion"))),
        "convolutions": _convolutions(found),
        "transposes": _moved(_of(counted, "transpose")),
        "copies": _moved([*_of(counted, "copy"), *_of(counted, "copy-start")]),
        "layout_changes": sum(_changes_layout(part) for part in found),
        "custom_calls": dict(
            _counter(one.custom_call_target for one in _of(counted, "custom-call"))
        ),
        "transfers": dict(
            _counter(one.opcode for one in counted if one.opcode in _TRANSFERS)
        ),
    }
    if result["fusions"]:
        outer = [by_id[i] for i in _reached(root, by_id, fused=False)]
        result["megabytes"] = _traffic(outer)
    return result


def _of(instructions: Iterable[Instruction], opcode: str) -> list[Instruction]:
    return [one for one in instructions if one.opcode == opcode]


def _counter(names: Iterable[str]) -> list[tuple[str, int]]:
    return collections.Counter(names).most_common()


def _step(module: Module, by_id: dict[int, Any]) -> int:
    """The computation that is a step: the body with the most instructions."""
    bodies = [
        identity
        for part in module.computations
        for one in _of(part.instructions, "while")
        for identity in one.called_computation_ids
    ]

    def size(identity: int) -> int:
        reached = _reached(identity, by_id, fused=True)
        return sum(len(by_id[i].instructions) for i in reached)

    largest = max(bodies, key=size, default=module.entry_computation_id)
    # A small loop, as of a random generator, is a part of a step.
    whole = size(module.entry_computation_id)
    return largest if 4 * size(largest) > whole else module.entry_computation_id


def _reached(root: int, by_id: dict[int, Any], *, fused: bool) -> list[int]:
    """The computations that a computation calls; fused ones and reducers, too."""
    seen, waiting = [], [root]
    while waiting:
        identity = waiting.pop()
        if identity in seen:
            continue
        seen.append(identity)
        for one in by_id[identity].instructions:
            if fused or one.opcode in _CONTROL:
                waiting += one.called_computation_ids
    return seen


def _convolutions(parts: Iterable[Any]) -> dict[str, Any]:
    """Number and 10^9 operations (a multiply-add is two) of convolutions and dots.

    `lhs_dilate`: the input is spread by zeros, as in the gradient of a strided one;
    `rhs_dilate`: the kernel is, as in an atrous one; `grouped`: depthwise.
    """
    found: dict[str, int] = collections.Counter()
    work: dict[str, float] = collections.defaultdict(float)
    for one, operands in _with_operands(parts):
        if one.opcode not in ("convolution", "dot"):
            continue
        found[one.opcode] += 1
        work[one.metadata.op_type or one.opcode] += _operations(one, operands) / _GIGA
        window = one.window.dimensions
        found["lhs_dilate"] += any(side.base_dilation > 1 for side in window)
        found["rhs_dilate"] += any(side.window_dilation > 1 for side in window)
        found["grouped"] += max(one.feature_group_count, one.batch_group_count) > 1
    return {
        **found,
        "gflop": round(sum(work.values()), 2),
        "gflop_by_type": {key: round(value, 2) for key, value in sorted(work.items())},
    }


def _with_operands(
    parts: Iterable[Any],
) -> Iterator[tuple[Instruction, list[Instruction]]]:
    for part in parts:
        known = {one.id: one for one in part.instructions}
        for one in part.instructions:
            yield one, [known[i] for i in one.operand_ids]


def _operations(one: Instruction, operands: list[Instruction]) -> float:
    outputs = math.prod(one.shape.dimensions)
    if one.opcode == "dot":
        shape = operands[0].shape.dimensions
        contracted = one.dot_dimension_numbers.lhs_contracting_dimensions
        return 2.0 * outputs * math.prod(shape[i] for i in contracted)
    numbers = one.convolution_dimension_numbers
    inputs = operands[1].shape.dimensions[numbers.kernel_input_feature_dimension]
    window = one.window.dimensions
    # Of a spread input only each base_dilation-th pixel is not zero.
    taps = math.prod(side.size / max(side.base_dilation, 1) for side in window)
    return 2.0 * outputs * inputs * taps


def _moved(instructions: list[Instruction]) -> dict[str, Any]:
    size = sum(_bytes(one.shape) for one in instructions)
    return {"number": len(instructions), "megabytes": round(size / 2**20, 1)}


def _changes_layout(part: Any) -> int:
    return sum(
        one.opcode in ("copy", "copy-start")
        and not one.shape.tuple_shapes
        and list(one.shape.layout.minor_to_major)
        != list(operands[0].shape.layout.minor_to_major)
        for one, operands in _with_operands([part])
    )


def _traffic(parts: Iterable[Any]) -> dict[str, float]:
    """2^20 bytes by kind, the most first; a fusion is named by what it holds."""
    moved: dict[str, int] = collections.Counter()
    for one, operands in _with_operands(parts):
        if one.opcode not in _FREE | _CONTROL:
            shapes = [one.shape, *(operand.shape for operand in operands)]
            moved[one.opcode] += sum(map(_bytes, shapes))
    most = sorted(moved.items(), key=lambda item: -item[1])[:12]
    return {kind: round(size / 2**20, 1) for kind, size in most}


def _bytes(shape: Any) -> int:
    if shape.tuple_shapes:
        return sum(map(_bytes, shape.tuple_shapes))
    name = xla_data_pb2.PrimitiveType.Name(shape.element_type)
    digits = "".join(filter(str.isdigit, name))
    bits = 8 if name == "PRED" else int(digits or 0)
    return math.prod(shape.dimensions) * bits // 8
