"""How fast is conversion, and does its memory stay flat?

  python benchmarks/conversion.py --voc_dir=VOCdevkit/VOC2012 [--repeats=3]

Compares, in turns on the same machine, datasets/convert.py with its audit (timed from
the start of the command to its end) with one process in the style of the released
converter: decode picture and label with TensorFlow to check them, make an example of
the files' bytes, write. That one is timed twice: as a command, and its loop alone,
without the import of TensorFlow, which takes longer than all of ours. Does so with the
pictures once and 10 times, and takes the peak memory of all processes of ours. Prints
JSON. The machine should have nothing else to do.
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

from absl import app, flags

FLAGS = flags.FLAGS
flags.DEFINE_string("voc_dir", None, "VOC2012 in the official layout.", required=True)
flags.DEFINE_integer("repeats", 3, "Runs of each, in turns.", lower_bound=1)
flags.DEFINE_integer(
    "times", 10, "Factor on the data for the second half.", lower_bound=1
)
flags.DEFINE_boolean("plain_loop", False, "Run the plain loop in this process.")

_CONVERT = pathlib.Path(__file__).resolve().parents[1] / "datasets" / "convert.py"
_SPLITS = ("train", "val")
_POLL_SECONDS = 0.02


def main(_: list[str]) -> None:
    voc_dir = pathlib.Path(FLAGS.voc_dir)
    if FLAGS.plain_loop:
        print(json.dumps(plain_loop(voc_dir)))
        return
    with tempfile.TemporaryDirectory() as folder:
        many = multiply(voc_dir, pathlib.Path(folder), FLAGS.times)
        result = {
            "cpus": len(os.sched_getaffinity(0)),
            "one": compare(voc_dir),
            f"{FLAGS.times}_times": compare(many),
            "load_at_end": os.getloadavg()[0],
        }
    print(json.dumps(result, indent=1))


def compare(voc_dir: pathlib.Path) -> dict[str, object]:
    """Runs both in turns; the medians and the peak memory of ours."""
    plain, commands, ours, peaks = [], [], [], []
    for _repeat in range(FLAGS.repeats):
        loop, command = run_plain(voc_dir)
        plain.append(loop)
        commands.append(command)
        run = run_convert(voc_dir)
        ours.append(run["seconds"])
        peaks.append(run["peak_mb"])
    pictures = len(names(voc_dir))
    return {
        "pictures": pictures,
        "plain_loop_seconds": plain,
        "plain_command_seconds": commands,
        "convert_seconds": ours,
        "plain_loop_pictures_per_second": pictures / statistics.median(plain),
        "convert_pictures_per_second": pictures / statistics.median(ours),
        "times_faster_than_loop": statistics.median(plain) / statistics.median(ours),
        "times_faster_than_command": statistics.median(commands)
        / statistics.median(ours),
        "convert_peak_mb": statistics.median(peaks),
    }


def names(voc_dir: pathlib.Path) -> list[str]:
    lists = voc_dir / "ImageSets" / "Segmentation"
    return [
        n for split in _SPLITS for n in (lists / f"{split}.txt").read_text().split()
    ]


def plain_loop(voc_dir: pathlib.Path) -> float:
    """Seconds that the released converter's way takes."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow as tf

    def feature(value: bytes | int) -> tf.train.Feature:
        if isinstance(value, bytes):
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))

    tf.io.decode_png(tf.io.encode_png(tf.zeros([8, 8, 1], tf.uint8)))  # starts kernels
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        shards = [f"{folder}/train-{i:05d}-of-00004.tfrecord" for i in range(4)]
        writers = [tf.io.TFRecordWriter(shard) for shard in shards]
        everything = names(voc_dir)
        for number, name in enumerate(everything):
            image = (voc_dir / "JPEGImages" / f"{name}.jpg").read_bytes()
            label = (voc_dir / "SegmentationClass" / f"{name}.png").read_bytes()
            size = tf.io.decode_jpeg(image, channels=3).shape
            if tf.io.decode_png(label, channels=1).shape[:2] != size[:2]:
                raise ValueError(name)
            features = {
                "image/encoded": image,
                "image/filename": name.encode(),
                "image/format": b"jpeg",
                "image/height": size[0],
                "image/width": size[1],
                "image/channels": 3,
                "image/segmentation/class/encoded": label,
                "image/segmentation/class/format": b"png",
            }
            example = tf.train.Example(
                features=tf.train.Features(
                    feature={key: feature(value) for key, value in features.items()}
                )
            )
            shard = number * len(writers) // len(everything)
            writers[shard].write(example.SerializeToString())
        for writer in writers:
            writer.close()
    return time.perf_counter() - start


def run_plain(voc_dir: pathlib.Path) -> tuple[float, float]:
    """Seconds of the plain loop alone, and of the process that runs it."""
    start = time.perf_counter()
    command = [sys.executable, __file__, "--plain_loop", f"--voc_dir={voc_dir}"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1]), time.perf_counter() - start


def run_convert(voc_dir: pathlib.Path) -> dict[str, float]:
    """Seconds of the whole command, and the peak of its processes' memory."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(_CONVERT), "--dataset=voc2012"]
        command += [f"--source_dir={voc_dir}", f"--output_dir={folder}/out"]
        start, peak = time.perf_counter(), 0.0
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, start_new_session=True
        )
        while process.poll() is None:
            peak = max(peak, memory_mb(process.pid))
            time.sleep(_POLL_SECONDS)
        if process.returncode:
            raise RuntimeError("the conversion failed")
        return {"seconds": time.perf_counter() - start, "peak_mb": peak}


def memory_mb(session: int) -> float:
    """Proportional set size of all processes of a session: shared pages count once."""
    total = 0
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if os.getsid(int(folder.name)) != session:
                continue
            lines = (folder / "smaps_rollup").read_text().splitlines()
        except OSError:  # it has ended meanwhile
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def multiply(voc_dir: pathlib.Path, folder: pathlib.Path, times: int) -> pathlib.Path:
    """A larger data set: every picture several times, each file a little different."""
    lists = folder / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    for kind in ("JPEGImages", "SegmentationClass"):
        (folder / kind).mkdir()
    for split in _SPLITS:
        path = voc_dir / "ImageSets" / "Segmentation" / f"{split}.txt"
        lines = [f"{n}_{i}" for i in range(times) for n in path.read_text().split()]
        (lists / f"{split}.txt").write_text("\n".join(lines))
        for line in lines:
            for kind, ending in (("JPEGImages", "jpg"), ("SegmentationClass", "png")):
                original = voc_dir / kind / f"{line.rpartition('_')[0]}.{ending}"
                copy = folder / kind / f"{line}.{ending}"
                # Readers leave alone what follows the end of a picture.
                copy.write_bytes(original.read_bytes() + line.encode())
    return folder


if __name__ == "__main__":
    app.run(main)
