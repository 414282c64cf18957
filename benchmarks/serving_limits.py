"""Hostile requests to an exported SavedModel: answers, peak memory, growth.

Everything is sent to the signature `serving_bytes` in one process: pictures larger than
the limit, with and without their size hidden, batches whose padding is huge, JPEG of
thousands of segments or scans, cut and damaged files, noise; and between them good
pictures, at the limit too, which must be served. Prints JSON; exit code 1 where a good
picture was refused or memory went over the bound.

The bound is the memory before the first request and so many bytes for each pixel of
`--max_pixels` (the network's maps, probabilities and labels of a request at the limit).

Example:
  python benchmarks/serving_limits.py --requests=10000 2>/dev/null

(libjpeg tells standard error of each damaged file.)
"""

import collections
import io
import json
import pathlib
import struct
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import psutil
from absl import flags as absl_flags
from PIL import Image

from deeplab_tf import cli
from deeplab_tf.config import Config
from deeplab_tf.data.dataset_info import DatasetInfo
from deeplab_tf.errors import UserError

FLAGS = absl_flags.FLAGS
absl_flags.DEFINE_integer("requests", 10_000, "How many.", lower_bound=1)
absl_flags.DEFINE_integer("max_pixels", 2**18, "Of a request.", lower_bound=2**12)
absl_flags.DEFINE_integer("seed", 0, "Of the requests.")
absl_flags.DEFINE_integer("bytes_per_pixel", 1000, "Of the bound.", lower_bound=1)
_CLASSES = 21
_MIB = 2**20

Request = list[bytes]


def main() -> int:
    cli.import_tensorflow()
    import tensorflow as tf

    process, rng = psutil.Process(), np.random.default_rng(FLAGS.seed)
    with tempfile.TemporaryDirectory() as folder:
        serve = _export(pathlib.Path(folder, "export"))
    good = _good(rng)
    serve(contents=tf.constant(good))
    before = peak = process.memory_info().rss
    resident, answers = [], collections.Counter[str]()
    start = time.perf_counter()
    for name, request in _requests(rng):
        try:
            serve(contents=tf.constant(request))
            answers[f"{name}: served"] += 1
        except tf.errors.InvalidArgumentError:
            answers[f"{name}: refused"] += 1
        resident.append(process.memory_info().rss)
        peak = max(peak, _peak(process))
    bound = before + FLAGS.bytes_per_pixel * FLAGS.max_pixels
    half = len(resident) // 2
    growth = max(resident[half:]) - max(resident[: half or 1])
    result = {
        "requests": FLAGS.requests,
        "seconds": round(time.perf_counter() - start, 1),
        "answers": dict(sorted(answers.items())),
        "mib_before": before // _MIB,
        "mib_peak": peak // _MIB,
        "mib_bound": bound // _MIB,
        "mib_growth_second_half": round(growth / _MIB, 1),
    }
    print(json.dumps(result, indent=2))
    if answers["good: refused"] or answers["at the limit: refused"]:
        raise UserError("a good picture was refused.")
    return int(peak > bound)


def _peak(process: psutil.Process) -> int:
    """The most memory that the process ever had, where the system tells it."""
    info: Any = process.memory_info()
    status = pathlib.Path("/proc/self/status")
    if not status.exists():
        return int(getattr(info, "peak_wset", info.rss))
    (line,) = (x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
    return 1024 * int(line.split()[1])


def _export(path: pathlib.Path) -> Callable[..., Any]:
    """The signature of a network with random weights."""
    import tensorflow as tf

    from deeplab_tf.export import saved_model
    from deeplab_tf.network.deeplab import build_model
    from deeplab_tf.runs import Run

    names = tuple(f"class {number}" for number in range(_CLASSES))
    info = DatasetInfo(name="made up", class_names=names)
    config = Config().replace({"model.depth_multiplier": 0.25})
    run = Run(path, config, info, {})
    model = build_model(config.model, _CLASSES)
    saved_model.save(model, run, path, max_pixels=FLAGS.max_pixels)
    serve: Callable[..., Any] = tf.saved_model.load(str(path)).signatures[
        "serving_bytes"
    ]
    return serve


def _requests(rng: np.random.Generator) -> Iterator[tuple[str, Request]]:
    side = int(FLAGS.max_pixels**0.5)
    makers: dict[str, Callable[[], Request]] = {
        "good": lambda: _good(rng),
        "at the limit": lambda: [_png(side, side)],
        "too large": lambda: [_png(side + 1, side)],
        "size hidden": lambda: [_hidden(_png(4 * side, 4 * side))],
        "declares 100000 x 100000": lambda: [_declares(100_000, 100_000)],
        "declares less": lambda: [_resized(_png(4 * side, 4 * side), 8, 8)],
        "wide and tall": lambda: [_png(1, 16_384), _png(16_384, 1)],
        "thousands of tiny": lambda: [_png(1, 1)] * 2000,
        "segments": lambda: [_segments(_jpeg(rng), 20_000)],
        "scans": lambda: [_scans(_jpeg(rng), 2000)],
        "cut": lambda: [_cut(rng, picture) for picture in _good(rng)],
        "damaged": lambda: [_damaged(rng, picture) for picture in _good(rng)],
        "noise": lambda: [rng.bytes(int(rng.integers(0, 5000)))],
        "noise behind a name": lambda: [
            bytes(rng.choice([b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"]))
            + rng.bytes(int(rng.integers(0, 5000)))
        ],
        "none": lambda: [b""],
    }
    often = ["good", "cut", "damaged", "noise", "noise behind a name"]
    rare = list(makers)
    for number in range(FLAGS.requests):
        # The costly ones are rare, and each is there from the first hundred on.
        names = rare if number % 6 == 0 else often
        name = names[number // 6 % len(names)]
        yield name, makers[name]()


def _good(rng: np.random.Generator) -> Request:
    return [_jpeg(rng), _png(*(int(side) for side in rng.integers(1, 60, 2)))]


def _jpeg(rng: np.random.Generator) -> bytes:
    pixels = rng.integers(0, 256, (*rng.integers(8, 60, 2), 3)).astype(np.uint8)
    buffer = io.BytesIO()
    progressive = bool(rng.integers(2))
    Image.fromarray(pixels).save(buffer, "JPEG", progressive=progressive)
    return buffer.getvalue()


def _png(height: int, width: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (width, height)).save(buffer, "PNG")
    return buffer.getvalue()


def _chunk(kind: bytes, content: bytes) -> bytes:
    crc = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc)


def _hidden(png: bytes) -> bytes:
    """Where the size usually stands, another chunk says 1 x 1."""
    return png[:8] + _chunk(b"teXt", struct.pack(">II", 1, 1)) + png[8:]


def _declares(height: int, width: int) -> bytes:
    return _resized(_png(1, 1), height, width)


def _resized(png: bytes, height: int, width: int) -> bytes:
    """The same pixels under another size."""
    header = struct.pack(">II", width, height) + png[24:29]
    return png[:8] + _chunk(b"IHDR", header) + png[33:]


def _segments(jpeg: bytes, count: int) -> bytes:
    return jpeg[:2] + count * b"\xff\xfe\0\2" + jpeg[2:]


def _scans(jpeg: bytes, count: int) -> bytes:
    scan = jpeg[jpeg.rindex(b"\xff\xda") : -2]
    return jpeg[:-2] + count * scan + jpeg[-2:]


def _cut(rng: np.random.Generator, picture: bytes) -> bytes:
    return picture[: int(rng.integers(len(picture)))]


def _damaged(rng: np.random.Generator, picture: bytes) -> bytes:
    changed = bytearray(picture)
    for place in rng.integers(len(picture), size=rng.integers(1, 20)):
        changed[place] ^= 1 << int(rng.integers(8))
    return bytes(changed)


if __name__ == "__main__":
    cli.run(main)
