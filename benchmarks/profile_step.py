"""Where the time of a training step, a prediction or an evaluation goes, by operation.

    python benchmarks/profile_step.py --dataset_dir=OUT [--crop_size=257] [--steps=5] \
        [--precision=mixed_bfloat16]

Reads the profile that TensorFlow writes (an xplane file): milliseconds, share and calls
by type of operation. Beside it the floor: the multiply-adds of the step (three times
those of the forward pass) at the rate of a large matrix product on this machine, and
how long it takes to copy what the layers' outputs hold. The machine should have nothing
else to do.
"""

import argparse
import collections
import dataclasses
import math
import pathlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterable

import keras
import numpy as np
import tensorflow as tf
from tensorflow.tsl.profiler.protobuf import xplane_pb2
from training import WARM_UP, own_step

from deeplab_tf.config import Config
from deeplab_tf.data import dataset_info
from deeplab_tf.data.pipeline import make_eval_dataset, make_train_dataset
from deeplab_tf.evaluation import metrics
from deeplab_tf.inference.predictor import make_predictor
from deeplab_tf.network import backbones, cost
from deeplab_tf.training.train_state import TrainState

_MATRIX = 2048  # rows of the product that tells the machine's rate
_COPIED = 2**26  # float32 values
_SHOWN = 15
_PASSES = 3  # forward, gradient by inputs, gradient by kernels


@dataclasses.dataclass
class Spent:
    """What one type of operation took.

    Attributes:
      seconds: of all its calls, over all threads.
      calls: how many.
    """

    seconds: float = 0.0
    calls: int = 0


def main() -> None:
    arguments = _arguments()
    size = (arguments.crop_size,) * 2
    config = Config().replace(
        {
            "data.dataset_dir": arguments.dataset_dir,
            "data.crop_size": size,
            "model.backbone": arguments.backbone,
            "train.batch_size": arguments.batch_size,
            "train.precision": arguments.precision,
        }
    )
    info = dataset_info.load(arguments.dataset_dir)
    state = TrainState(config, info)
    batches = make_train_dataset(
        config, info, fill=backbones.get_spec(arguments.backbone).mean
    )
    batch = next(iter(batches))
    step = own_step(state, config, info)
    predict = make_predictor(state.model)
    image = np.random.default_rng(0).uniform(0, 255, (1, *size, info.channels))
    images = make_eval_dataset(arguments.dataset_dir, info, config.data.eval_split)
    one = next(iter(images.take(1)))

    def evaluate() -> None:
        labels = np.asarray(predict.labels(one["image"][None]))[0]
        metrics.confusion_matrix(
            one["labels"].numpy(), labels, info.num_classes, info.ignore_label
        )

    adds = cost.multiply_adds(state.model, *size)
    values = _values(state.model, size)
    rates = machine_rates()
    for title, run, images_at_once, passes in (
        ("training step", lambda: step(batch), arguments.batch_size, _PASSES),
        ("prediction", lambda: predict.labels(np.float32(image)), 1, 1),
        ("evaluation of one image", evaluate, 1, 1),
    ):
        seconds, spent = profile(run, arguments.steps)
        _print(title, seconds, spent, arguments.steps)
        work = images_at_once * passes
        _print_floor(seconds, work * adds, work * values, *rates)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--dataset_dir", required=True)
    add("--backbone", default="mobilenet_v2")
    add("--crop_size", type=int, default=257)
    add("--batch_size", type=int, default=8)
    add("--precision", default="float32", help="as train.precision")
    add("--steps", type=int, default=5, help="profiled ones")
    return parser.parse_args()


def profile(run: Callable[[], object], steps: int) -> tuple[float, dict[str, Spent]]:
    """Seconds of one call, and what its operations took in all calls."""
    for _ in range(WARM_UP):
        run()
    begin = time.perf_counter()
    for _ in range(steps):
        run()
    seconds = (time.perf_counter() - begin) / steps  # a profile slows it down
    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder):
            for _ in range(steps):
                run()
        (path,) = pathlib.Path(folder).rglob("*.xplane.pb")
        return seconds, by_type(path.read_bytes())


def by_type(content: bytes) -> dict[str, Spent]:
    """Time by type of operation, of the host's planes; events are "NAME:TYPE"."""
    space = xplane_pb2.XSpace.FromString(content)
    spent: dict[str, Spent] = collections.defaultdict(Spent)
    for plane in space.planes:
        names = {key: value.name for key, value in plane.event_metadata.items()}
        for line in plane.lines:
            for event in line.events:
                name, colon, kind = names[event.metadata_id].rpartition(":")
                # ExecutorState::Process and its like hold the operations.
                if colon and kind.isidentifier() and not name.endswith(":"):
                    spent[kind].seconds += event.duration_ps / 1e12
                    spent[kind].calls += 1
    return spent


def machine_rates() -> tuple[float, float]:
    """Multiply-adds a second of a matrix product, and bytes a second of a copy."""
    matrix = tf.random.uniform([_MATRIX, _MATRIX])
    values = tf.random.uniform([_COPIED])
    product = _fastest(lambda: tf.linalg.matmul(matrix, matrix))
    copied = _fastest(lambda: values + 1.0)
    return _MATRIX**3 / product, 2 * 4 * _COPIED / copied


def _fastest(run: Callable[[], tf.Tensor], tries: int = 5) -> float:
    def timed() -> float:
        begin = time.perf_counter()
        run().numpy()
        return time.perf_counter() - begin

    return min(timed() for _ in range(tries))


def _values(model: keras.Model, size: tuple[int, int]) -> int:
    """Numbers that the layers' outputs hold for one image."""
    found: Iterable[tuple[object, object, tuple[int, ...]]] = cost.shapes(
        model, (1, *size, model.input_shape[-1])
    )
    return sum(math.prod(shape) for _, _, shape in found)


def _print(title: str, seconds: float, spent: dict[str, Spent], steps: int) -> None:
    total = sum(one.seconds for one in spent.values())
    print(f"\n{title}: {1000 * seconds:.1f} ms")
    rows = sorted(spent.items(), key=lambda item: -item[1].seconds)
    for kind, one in rows[:_SHOWN]:
        share, calls = one.seconds / total, one.calls / steps
        milliseconds = 1000 * one.seconds / steps
        print(f"  {kind:42} {milliseconds:9.2f} ms {share:6.1%} {calls:7.0f} calls")
    rest = sum(one.seconds for _, one in rows[_SHOWN:])
    print(f"  {'all others':42} {1000 * rest / steps:9.2f} ms {rest / total:6.1%}")
    sys.stdout.flush()


def _print_floor(
    seconds: float,
    adds: float,
    values: float,
    adds_a_second: float,
    bytes_a_second: float,
) -> None:
    arithmetic = adds / adds_a_second
    copies = 2 * 4 * values / bytes_a_second
    print(
        f"  floor: {1000 * arithmetic:.1f} ms of arithmetic ({adds / 1e9:.1f} G "
        f"multiply-adds at {adds_a_second / 1e9:.0f} G/s), {1000 * copies:.1f} ms to "
        f"read and write each map once ({bytes_a_second / 1e9:.1f} GB/s); taken: "
        f"{seconds / (arithmetic + copies):.2f} times both"
    )


if __name__ == "__main__":
    main()
