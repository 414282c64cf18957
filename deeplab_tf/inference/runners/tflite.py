"""Runs .tflite files, also those from elsewhere."""

import json
import pathlib
from collections.abc import Collection

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType, SignatureRunner

from deeplab_tf import cli
from deeplab_tf.files import Values
from deeplab_tf.inference.runners import Runner, Size, tflite_file
from deeplab_tf.runs import RUN_FILE


class TFLiteRunner(Runner):
    """A .tflite file, loaded; a `Runner`.

    Attributes:
      num_delegates: pieces that the XNNPACK delegate took; 0 where it refuses the
        file, which then runs on the plain kernels.
    """

    def __init__(self, path: pathlib.Path, num_threads: int | None = None) -> None:
        self._interpreter = _load(path, num_threads)
        attached = tflite_file.read_attached(path, RUN_FILE)
        self.run = json.loads(attached) if attached else {}
        metadata = tflite_file.read_metadata(path.read_bytes())
        self._mean, self._deviation = tflite_file.normalization(metadata)
        signatures = self._interpreter.get_signature_list()
        self._runners = {}
        if len(signatures) > 1:
            runners = map(self._interpreter.get_signature_runner, signatures)
            self._runners = {_runner_size(runner): runner for runner in runners}
        (self._input,) = self._interpreter.get_input_details()
        (self._output,) = self._interpreter.get_output_details()
        self.sizes = tuple(self._runners) or (_size(self._input),)
        self.channels = int(self._input["shape"][-1])
        outputs = [name for s in signatures.values() for name in s["outputs"]]
        is_label = self._output["dtype"] in (np.int32, np.int64)
        self.names = {*outputs} or {"labels" if is_label else "logits"}
        details = self._interpreter._get_ops_details()
        self.num_delegates = sum(op["op_name"] == "DELEGATE" for op in details)

    def __call__(
        self, images: np.ndarray, names: Collection[str]
    ) -> dict[str, np.ndarray]:
        """As in `Runner`: its one output, as real numbers or labels."""
        if self._runners:
            runner = self._runners[images.shape[1], images.shape[2]]
            details = runner.get_output_details()
            outputs = runner(pictures=self._prepare(images))
            return {name: _real(y, details[name]) for name, y in outputs.items()}
        self.infer(images)
        output = self._interpreter.get_tensor(self._output["index"])
        (name,) = self.names
        return {name: _real(output, self._output)}

    def infer(self, images: np.ndarray) -> None:
        """Runs it and leaves the output where it is, for timing."""
        if self._runners:
            self(images, self.names)
        else:
            self._interpreter.set_tensor(self._input["index"], self._prepare(images))
            self._interpreter.invoke()

    def _prepare(self, images: np.ndarray) -> np.ndarray:
        """The images in the type and range of the input."""
        if self._input["dtype"] == np.uint8:
            return np.round(images).astype(np.uint8)
        normalized = (np.float32(images) - self._mean) / self._deviation
        return normalized.astype(np.float32)


def _runner_size(runner: SignatureRunner) -> Size:
    (details,) = runner.get_input_details().values()
    return _size(details)


def _size(details: Values) -> Size:
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


def _real(values: np.ndarray, details: Values) -> np.ndarray:
    """The numbers that quantised values stand for."""
    scale, zero_point = details["quantization"]
    if not scale or values.dtype == np.float32:
        return values
    return (np.float32(values) - zero_point) * np.float32(scale)
