"""Runs datasets/convert.py as a user does, and reads back what it wrote."""

import io
import pathlib
import subprocess
import sys

import numpy as np
import tensorflow as tf
from PIL import Image

from deeplab_tf.data import dataset_info, records

ROOT = pathlib.Path(__file__).resolve().parents[1]


def command(*arguments, script="convert.py"):
    return [sys.executable, str(ROOT / "datasets" / script), *map(str, arguments)]


def convert(*arguments, script="convert.py", check=True):
    """Runs the command; returns the finished process with its text output."""
    done = subprocess.run(
        command(*arguments, script=script), capture_output=True, text=True
    )
    if check:
        assert done.returncode == 0, done.stdout + done.stderr
    return done


def refused(*arguments, script="convert.py"):
    """The one line with which the command stops with exit code 1."""
    done = convert(*arguments, script=script, check=False)
    lines = done.stderr.splitlines()
    assert done.returncode == 1, done.stdout + done.stderr
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    return lines[0].removeprefix("error: ")


def examples(output, split):
    """The parsed examples of a split, by name."""
    info = dataset_info.load(output)
    facts = info.splits[split]
    paths = dataset_info.shard_paths(output, info, split)
    parser = records.make_parser(
        info.channels, info.ignore_label, facts.has_labels, info.bits
    )
    dataset = tf.data.TFRecordDataset(paths).map(parser)
    found = {e["filename"].decode(): e for e in dataset.as_numpy_iterator()}
    assert len(found) == facts.num_examples
    return found


def contents(folder):
    """Every file below a folder, by path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in pathlib.Path(folder).rglob("*")
        if path.is_file()
    }


def save(path, pixels, kind=None, **options):
    """Writes pixels as a picture; makes the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, kind, **options)


def raw_pixels(path):
    """What the file holds: palette files give indices."""
    return np.asarray(Image.open(io.BytesIO(pathlib.Path(path).read_bytes())))
