r"""Compiles a training step for a TPU, on a machine that has none.

    python benchmarks/hlo.py --save=step.hlo.pb
    python -m venv tpu && tpu/bin/python -m pip install jax==0.10.2 libtpu==0.0.52
    tpu/bin/python benchmarks/hlo_tpu.py step.hlo.pb [--topology=v5e:1x1] \
        [--output=step.v5e.pb]
    python benchmarks/hlo.py --read=step.v5e.pb

libtpu holds the TPU's own compiler, and needs no TPU for it; an environment of its own,
because TensorFlow would take a libtpu beside it for a TPU. Prints JSON: memory of the
program in GiB (weights and optimiser are its arguments), or what does not fit; and what
the compiler counts and expects of one step: floating-point operations, bytes, and
seconds at the best. That is a model, not a measurement.
"""

import argparse
import json
import os
import pathlib
import time
from typing import Any

# Read when jax is imported: no accelerator is looked for, nor asked what it is.
os.environ |= {"JAX_PLATFORMS": "cpu", "TPU_SKIP_MDS_QUERY": "1"}

import jax
from jax._src.interpreters import mlir
from jax._src.lib import _jax
from jax._src.lib.mlir import ir
from jax.experimental import topologies

_GIB = 2**30


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("program", help="what benchmarks/hlo.py --save wrote")
    parser.add_argument("--topology", default="v5e:1x1", help="chip and how many")
    parser.add_argument("--output", help="file for the compiled program")
    arguments = parser.parse_args()
    begin = time.perf_counter()
    result: dict[str, Any] = {"topology": arguments.topology}
    try:
        compiled = build(pathlib.Path(arguments.program), arguments.topology)
        result |= described(compiled)
        if arguments.output:
            save(compiled, pathlib.Path(arguments.output))
    except jax.errors.JaxRuntimeError as error:
        result["refused"] = str(error).splitlines()[0]
    result["seconds"] = round(time.perf_counter() - begin, 1)
    print(json.dumps(result, indent=1))


def build(path: pathlib.Path, topology: str) -> Any:
    """The program, compiled for the first chip of the topology."""
    code = _jax.mlir.hlo_to_stablehlo(path.read_bytes())
    with mlir.make_ir_context():
        module = ir.Module.parse(code)
    # A host has four chips unless it is told otherwise.
    one = {"chips_per_host_bounds": (1, 1, 1)} if topology.endswith(":1x1") else {}
    chip = topologies.get_topology_desc(topology, "tpu", **one).devices[0]
    return chip.client.compile(module, _jax.DeviceList((chip,)), _jax.CompileOptions())


def save(compiled: Any, path: pathlib.Path) -> None:
    """Writes the compiled program; it appears whole or not at all."""
    (module,) = compiled.hlo_modules()
    unfinished = path.with_name(f"{path.name}.part")
    unfinished.write_bytes(module.as_serialized_hlo_module_proto())
    unfinished.replace(path)


def described(compiled: Any) -> dict[str, Any]:
    memory, counted = compiled.get_compiled_memory_stats(), compiled.cost_analysis()
    return {
        "arguments_gib": round(memory.argument_size_in_bytes / _GIB, 3),
        "temporaries_gib": round(memory.temp_size_in_bytes / _GIB, 3),
        "gflop": round(counted["flops"] / 1e9, 1),
        "gigabytes": round(counted["bytes accessed"] / 1e9, 2),
        "seconds_at_best": counted.get("optimal_seconds"),
    }


if __name__ == "__main__":
    main()
