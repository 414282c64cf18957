"""From a bare folder of images and masks to a shipped model, by one command."""

import json
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

import deeplab_tf
from deeplab_tf.data import sources
from deeplab_tf.data.dataset_info import DatasetInfo, Split
from deeplab_tf.report import readme


def write_folder(folder, count):
    """Made-up shapes as people keep them: images/ and masks/, no classes.json."""
    source = sources.open_source("shapes", "", {"num_examples": count})
    for sample in source.samples("train"):
        for name, content in (("images", sample.image()), ("masks", sample.label())):
            path = folder / name / f"{sample.name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                path.write_bytes(content)
            else:
                Image.fromarray(np.asarray(content)).save(path)


def command(source_dir, output_dir):
    return [
        *(sys.executable, "-m", "deeplab_tf.fit", "--minutes=1"),
        *(f"--source_dir={source_dir}", f"--output_dir={output_dir}"),
        "--init_checkpoint=",
    ]


@pytest.mark.slow
def test_a_folder_becomes_a_model_and_what_was_done_stays(tmp_path):
    write_folder(tmp_path / "photos", 12)
    start = command(tmp_path / "photos", tmp_path / "out")
    # Killed while it trains; the same command goes on.
    pipe = subprocess.PIPE
    with subprocess.Popen(start, cwd=ROOT, stderr=pipe, text=True) as first:
        next(line for line in first.stderr if "train:" in line)
        first.kill()
    done = subprocess.run(start, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "convert and audit: done before" in done.stderr
    out = tmp_path / "out"
    scores = json.loads((out / "scores.json").read_text())
    text = (out / "README.md").read_text()
    assert f"**mIoU {scores['miou']:.3f}**" in text
    assert (out / "report.html").stat().st_size > 10_000
    image = next((tmp_path / "photos" / "images").iterdir())
    labels = [
        deeplab_tf.load(out / name).predict(image)
        for name in ("run", "saved_model", "model.tflite")
    ]
    assert (labels[0] == labels[1]).mean() > 0.999
    again = subprocess.run(start, cwd=ROOT, capture_output=True, text=True)
    assert again.stderr.count("done before") == 8
    assert (labels[0] == labels[2]).mean() > 0.95  # at another size


def test_readme_names_what_limits_the_model(tmp_path):
    split = {"shards": ("x.tfrecord",)}
    info = DatasetInfo(
        name="mine",
        class_names=("road", "pole", "car", "sign"),
        splits={
            "train": Split(num_examples=40, class_pixels=(900, 5, 95, 0), **split),
            "val": Split(num_examples=10, class_pixels=(90, 1, 9, 0), **split),
        },
    )
    iou = {"road": 0.9, "pole": 0.1, "car": 0.4, "sign": None}
    lines = readme.limits(info, "train", {"per_class_iou": iou, "num_images": 10})
    text = "\n".join(lines)
    assert text.index("**pole**") < text.index("**car**")
    assert "only 0.50% of the training pixels" in text
    assert "**road**" not in text
    assert "in no held-out image: sign" in text
    assert "10 held-out images are few" in text
    good = {"per_class_iou": dict.fromkeys(iou, 0.9), "num_images": 50}
    assert readme.limits(info, "train", good) == ["No class stands out as weak."]
