"""Runs .tflite files, also those from elsewhere."""

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from deeplab_tf import cli
from deeplab_tf.inference.runners import tflite_file

Size = tuple[int, int]


class TFLiteRunner:
    """A .tflite file, loaded.

    Attributes:
      sizes: height, width of the pictures of each signature.
      num_delegates: pieces that the XNNPACK delegate took; 0 where it refuses the
        file, which then runs on the plain kernels.
    """

    def __init__(self, path: pathlib.Path, num_threads: int | None = None) -> None:
        self._interpreter = _load(path, num_threads)
        metadata = tflite_file.read_metadata(path.read_bytes())
        self._mean, self._deviation = tflite_file.normalization(metadata)
        signatures = self._interpreter.get_signature_list()
        self._runners = {}
        if len(signatures) > 1:
            runners = map(self._interpreter.get_signature_runner, signatures)
            self._runners = {_runner_size(runner): runner for runner in runners}
        self._names = [name for s in signatures.values() for name in s["outputs"]]
        (self._input,) = self._interpreter.get_input_details()
        self.sizes = tuple(self._runners) or (_size(self._input),)
        details = self._interpreter._get_ops_details()
        self.num_delegates = sum(op["op_name"] == "DELEGATE" for op in details)

    def __call__(self, pictures: np.ndarray) -> dict[str, np.ndarray]:
        """uint8 [1, h, w, C] -> the outputs by name, as real numbers or labels."""
        if self._runners:
            runner = self._runners[pictures.shape[1], pictures.shape[2]]
            details = runner.get_output_details()
            outputs = runner(pictures=self._prepare(pictures))
            return {name: _real(y, details[name]) for name, y in outputs.items()}
        self.infer(pictures)
        (details,) = self._interpreter.get_output_details()
        output = self._interpreter.get_tensor(details["index"])
        is_label = details["dtype"] in (np.int32, np.int64)
        name = self._names[0] if self._names else "labels" if is_label else "logits"
        return {name: _real(output, details)}

    def infer(self, pictures: np.ndarray) -> None:
        """Runs it and leaves the output where it is, for timing."""
        if self._runners:
            self(pictures)
        else:
            self._interpreter.set_tensor(self._input["index"], self._prepare(pictures))
            self._interpreter.invoke()

    def _prepare(self, pictures: np.ndarray) -> np.ndarray:
        """The pictures in the type and range of the input."""
        if self._input["dtype"] == np.uint8:
            return pictures.astype(np.uint8)
        normalized = (np.float32(pictures) - self._mean) / self._deviation
        return normalized.astype(np.float32)


def _runner_size(runner: Any) -> Size:
    (details,) = runner.get_input_details().values()
    return _size(details)


def _size(details: Mapping[str, Any]) -> Size:
    height, width = details["shape"][1:3]
    return int(height), int(width)


def _load(path: pathlib.Path, num_threads: int | None) -> Interpreter:
    def load(resolver: OpResolverType) -> Interpreter:
        interpreter = Interpreter(
            str(path), num_threads=num_threads, experimental_op_resolver_type=resolver
        )
        interpreter.allocate_tensors()
        return interpreter

    with cli.filtered_stderr():
        try:
            return load(OpResolverType.AUTO)
        except RuntimeError as error:
            if "delegate" not in str(error).lower():
                raise
            return load(OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)


def _real(values: np.ndarray, details: Mapping[str, Any]) -> np.ndarray:
    """The numbers that quantised values stand for."""
    scale, zero_point = details["quantization"]
    if not scale or values.dtype == np.float32:
        return values
    return (np.float32(values) - zero_point) * np.float32(scale)
