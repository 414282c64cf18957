"""How near the memory estimate of a run is to what its steps take, as JSON.

  python benchmarks/memory.py --backbone=resnet_50 --crop=193

Three real training steps of batch 4 in this process, on a data set that is made up;
the estimate is what training prints before its first step.
"""

import argparse
import json
import pathlib
import re
import resource
import sys
import tempfile

import tensorflow as tf

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import tiny_dataset  # noqa: E402

from deeplab_tf.config import Config  # noqa: E402
from deeplab_tf.data.pipeline import make_train_dataset  # noqa: E402
from deeplab_tf.network import backbones  # noqa: E402
from deeplab_tf.training import preflight  # noqa: E402
from deeplab_tf.training.step import make_steps  # noqa: E402
from deeplab_tf.training.train_state import TrainState  # noqa: E402


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--backbone", default="resnet_50")
    parser.add_argument("--crop", type=int, default=193)
    arguments = parser.parse_args()
    strategy = tf.distribute.get_strategy()
    with tempfile.TemporaryDirectory() as folder:
        info = tiny_dataset.write(pathlib.Path(folder))
        config = Config().replace(
            {
                "model.backbone": arguments.backbone,
                "data.dataset_dir": folder,
                "data.crop_size": (arguments.crop, arguments.crop),
                "train.batch_size": 4,
            }
        )
        state = TrainState(config, info)
        told, _ = preflight.need(config, state, strategy)
        fill = backbones.get_spec(arguments.backbone).mean
        batches = iter(make_train_dataset(config, info, fill=fill))
        steps = make_steps(strategy, state, config, info)
        for _ in range(3):
            steps(batches, tf.constant(1))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    (estimate,) = re.findall(r"about ([\d.]+) GiB", told)[:1]
    print(
        json.dumps(
            {
                "backbone": arguments.backbone,
                "crop": arguments.crop,
                "estimated_gib": float(estimate),
                "peak_gib": round(peak, 2),
                "ratio": round(float(estimate) / peak, 3),
            }
        )
    )


if __name__ == "__main__":
    main()
