"""Tiled prediction: memory for a huge picture, agreement and seams on one that fits.

Prints JSON. `peak_memory_bytes` is that of the whole process. The seam test compares
the share of pixels that differ from the whole prediction within 8 pixels of a tile's
border with the share elsewhere.

Example:
  python benchmarks/tiled_prediction.py --run_dir=runs/voc --huge=6000,8000
"""

import json
import time
from typing import Any

import numpy as np
from absl import flags as absl_flags

from deeplab_tf import cli

FLAGS = absl_flags.FLAGS
absl_flags.DEFINE_list("huge", ["6000", "8000"], "height,width of the huge picture.")
absl_flags.DEFINE_list("fitting", ["1025", "1281"], "height,width of one that fits.")
absl_flags.DEFINE_integer("tile_size", 769, "Side of the tiles.")
absl_flags.DEFINE_float("overlap", 0.5, "Share of a tile that the next covers too.")
absl_flags.DEFINE_string("split", None, "Split whose pictures fill the mosaic.")
absl_flags.DEFINE_string("dataset_dir", None, "Folder of the shards, if it moved.")
_SIDE = 448  # of a picture in the mosaic
_SEAM = 8  # pixels to either side of a tile's border


def main() -> None:
    cli.import_tensorflow()
    from deeplab_tf import runs
    from deeplab_tf.inference import predictor, tiling, timing

    run = runs.open_run(FLAGS.run_dir)
    predict = predictor.make_predictor(runs.load_model(run), frozen=True)
    tiled = tiling.make_tiled(predict, FLAGS.tile_size, FLAGS.overlap)
    result: dict[str, Any] = {"tile_size": tiled.tile_size, "overlap": FLAGS.overlap}
    size = int(FLAGS.huge[0]), int(FLAGS.huge[1])
    picture = _mosaic(run, *size)
    start = time.perf_counter()
    tiled.labels(picture[None])
    result["huge"] = {
        "size": size,
        "seconds": round(time.perf_counter() - start, 1),
        "peak_memory_bytes": timing.memory("VmHWM"),
    }
    size = int(FLAGS.fitting[0]), int(FLAGS.fitting[1])
    picture = picture[: size[0], : size[1]].copy()
    differs = predict.labels(picture[None])[0] != tiled.labels(picture[None])[0]
    near = _near_borders(size, tiled.tile_size)
    result["fitting"] = {
        "size": size,
        "agreement": float(1 - differs.mean()),
        "differs_at_borders": float(differs[near].mean()),
        "differs_elsewhere": float(differs[~near].mean()),
    }
    print(json.dumps(result, indent=2))


def _near_borders(size: tuple[int, int], tile: int) -> np.ndarray:
    """Pixels near a border of a tile inside of the picture, bool [H, W]."""
    from deeplab_tf.inference import tiling

    near = []
    for length in size:
        starts = [start for start, _ in tiling.places(length, tile, FLAGS.overlap)]
        borders = [s for s in starts if s] + [s + tile for s in starts[:-1]]
        distance = np.abs(np.arange(length)[:, None] - np.array([*borders, -length]))
        near.append(distance.min(1) <= _SEAM)
    return near[0][:, None] | near[1]


def _mosaic(run: Any, height: int, width: int) -> np.ndarray:
    """Real pictures side by side, each scaled to a square of about its own size."""
    import tensorflow as tf

    from deeplab_tf import runs
    from deeplab_tf.data.pipeline import make_eval_dataset

    folder, info = runs.dataset(run, FLAGS.dataset_dir)
    split = FLAGS.split or run.config.data.eval_split
    canvas = np.zeros((height, width, info.channels), np.uint8)
    places = [(y, x) for y in range(0, height, _SIDE) for x in range(0, width, _SIDE)]
    examples = list(make_eval_dataset(folder, info, split).take(len(places)))
    for number, (top, left) in enumerate(places):
        image = examples[number % len(examples)]["image"]
        scaled = tf.image.resize(image, [_SIDE, _SIDE], "bicubic").numpy()
        part = canvas[top : top + _SIDE, left : left + _SIDE]
        part[:] = scaled.clip(0, 255)[: part.shape[0], : part.shape[1]]
    return canvas


if __name__ == "__main__":
    cli.define_run_dir()
    cli.run(main)
