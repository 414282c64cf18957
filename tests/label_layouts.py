"""One small scene, and the pieces of which tests write it as labelling tools do."""

import base64
import io
import json
import zlib

import numpy as np
from PIL import Image

from deeplab_tf.data import sources
from deeplab_tf.data.conversion.labels import read_label

SIZE = (40, 50)
NAMES = ("background", "road", "car")
BOXES = {"road": (5, 20, 6, 30), "car": (15, 35, 25, 45)}  # top, bottom, left, right
RNG = np.random.default_rng(5)


def truth():
    """The scene's labels: the car lies on the road."""
    labels = np.zeros(SIZE, np.uint8)
    for number, (top, bottom, left, right) in enumerate(BOXES.values(), start=1):
        labels[top:bottom, left:right] = number
    return labels


def picture(path, size=SIZE):
    """Writes a random picture; no two are alike."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RNG.integers(0, 256, (*size, 3)).astype(np.uint8)).save(path)


def mask(path, pixels=None, palette=None):
    """Writes a mask as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(truth() if pixels is None else pixels)
    if palette:
        image.putpalette(palette)
    image.save(path)


def write(path, content):
    """Writes text, or JSON of anything else."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def corners(name, last=1):
    """The corners of a box; `last` is what its end is beyond its last pixel."""
    top, bottom, left, right = BOXES[name]
    bottom, right = bottom - last, right - last
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


def inside(name):
    """Where a box lies, bool [H, W]."""
    top, bottom, left, right = BOXES[name]
    found = np.zeros(SIZE, bool)
    found[top:bottom, left:right] = True
    return found


def png(pixels):
    """An encoded PNG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def bitmap(name, compressed):
    """A box as a bitmap at an origin: base64, and compressed as Supervisely does."""
    top, bottom, left, right = BOXES[name]
    data = png(np.full((bottom - top, right - left), 255, np.uint8))
    data = zlib.compress(data) if compressed else data
    return base64.b64encode(data).decode(), [left, top]


def opened(folder, **options):
    """The folder as it recognises itself."""
    fraction = options.pop("val_fraction", None)
    unlabelled = options.pop("unlabelled", ())
    return sources.open_source(
        options.pop("name", "auto"),
        str(folder),
        options,
        val_fraction=fraction,
        unlabelled=unlabelled,
    )


def labels_of(source):
    """{split: {name: label by the numbers of NAMES}}; void stays 255."""
    info = source.info()
    numbers = np.full(256, 255)
    for number, name in enumerate(info.class_names):
        numbers[number] = NAMES.index(name.strip("_"))
    return {
        split: {s.name: numbers[decoded(s, info)] for s in source.samples(split)}
        for split in source.splits()
    }


def decoded(sample, info):
    """A sample's label as it is stored."""
    label = read_label(sample.label(), sample.label_name, info, sample.coding)
    return np.asarray(Image.open(io.BytesIO(label.encoded)))


def check(source, layout, splits):
    """Recognised as that layout; these examples by split, each with the true label.

    Args:
      source: opened.
      layout: its name.
      splits: {split: number of examples}.
    """
    assert source.name == layout
    found = labels_of(source)
    assert {split: len(labels) for split, labels in found.items()} == splits
    for labels in found.values():
        for one in labels.values():
            np.testing.assert_array_equal(one, truth())
    for split in splits:
        for sample in source.samples(split):
            assert sample.image() is not None
