"""What is fuzzed: a function an area, which of a folder gives a try (fuzzing.py)."""

import gzip
import io
import json
import pathlib
import shutil
import tarfile
import unicodedata

import fuzz_folders
import fuzz_seeds
import numpy as np
import tensorflow as tf
from conftest import ROOT
from fuzzing import HOSTILE_VALUES, Area, DifferenceError, Try, mutated, mutated_json
from PIL import Image

from deeplab_tf import files, runs
from deeplab_tf.data import dataset_info, reading, records, sources, tfrecord
from deeplab_tf.data.conversion import scan, shards
from deeplab_tf.data.conversion.classes_file import read_classes
from deeplab_tf.data.conversion.labels import read_label
from deeplab_tf.data.conversion.pictures import read_picture
from deeplab_tf.data.conversion.samples import INDICES, FileSample, SampleError
from deeplab_tf.data.dataset_info import DatasetInfo
from deeplab_tf.export import encoded_image
from deeplab_tf.released import checkpoints
from deeplab_tf.runs import saving

GOLDEN = ROOT / "tests" / "golden"
INFO = DatasetInfo(name="any", class_names=tuple(f"class {i}" for i in range(254)))


def _choice(rng: np.random.Generator, items: list) -> object:
    return items[rng.integers(len(items))]


_SCALAR = [tf.TensorSpec([], tf.string)]


def _parser(has_labels: bool) -> tf.function:
    """Training's decoder, traced once."""
    return tf.function(records.make_parser(has_labels=has_labels), _SCALAR)


def pictures(folder: pathlib.Path) -> Try:
    """What conversion accepts, training decodes, to the size that was told."""
    del folder
    parse = _parser(has_labels=False)

    def attempt(rng: np.random.Generator) -> None:
        data = mutated(rng, _choice(rng, fuzz_seeds.PICTURES))
        picture = read_picture(data, "x", INFO, None)
        example = records.encode_example(
            filename="x",
            image=picture.encoded,
            image_format=picture.format,
            size=picture.size,
            channels=3,
            label=None,
        )
        try:
            image = parse(tf.constant(example))["image"].numpy()
        except tf.errors.OpError as error:
            raise DifferenceError(f"TensorFlow refuses: {error}") from None
        if image.shape != (*picture.size, 3):
            raise DifferenceError(f"{image.shape} instead of {picture.size}")
        if picture.format == "png" and picture.encoded != data:
            stored = Image.open(io.BytesIO(picture.encoded)).convert("RGB")
            if (np.asarray(stored) != image).any():
                raise DifferenceError("other pixels")

    return attempt


def labels(folder: pathlib.Path) -> Try:
    """What conversion accepts, training decodes to the pixels that were counted."""
    del folder
    decode = tf.function(lambda data: tf.io.decode_png(data, 1)[:, :, 0], _SCALAR)

    def attempt(rng: np.random.Generator) -> None:
        data = mutated(rng, _choice(rng, fuzz_seeds.LABEL_FILES))
        label = read_label(data, "x", INFO, INDICES)
        try:
            found = decode(tf.constant(label.encoded)).numpy()
        except tf.errors.OpError as error:
            raise DifferenceError(f"TensorFlow refuses: {error}") from None
        values, counts = np.unique(found, return_counts=True)
        counted = {str(v): int(n) for v, n in zip(values, counts, strict=True)}
        if counted != label.counts or found.shape != label.size:
            raise DifferenceError(f"{counted} instead of {label.counts}")

    return attempt


def arrays(folder: pathlib.Path) -> Try:
    """Files of arrays, through all that makes a record."""
    seeds = [fuzz_seeds.npy(dtype, (4, 5, 3)) for dtype in ("u1", "u1", ">u2", "<f4")]
    label_seeds = [
        fuzz_seeds.npy(dtype, (4, 5)) for dtype in ("u1", "u1", "<i8", "<f4")
    ]
    infos = [
        DatasetInfo(name="a", class_names=("a", "b"), channels=channels, bits=bits)
        for channels, bits in ((3, 8), (3, 8), (3, 16), (3, 32))
    ]
    image, label = folder / "x.npy", folder / "y.npy"
    sample = FileSample(name="x", image_path=str(image), label_path=str(label))

    def attempt(rng: np.random.Generator) -> None:
        for path, choices in ((image, seeds), (label, label_seeds)):
            data = _choice(rng, choices)
            path.write_bytes(mutated(rng, data) if rng.random() < 0.5 else data)
        fact, _ = shards.convert_sample(sample, _choice(rng, infos))
        if fact["fault"]:
            if fact["fault"][0] == "unexpected":
                raise DifferenceError(fact["fault"][1])
            raise SampleError(*fact["fault"])

    return attempt


def lists(folder: pathlib.Path) -> Try:
    """classes.json and dataset.csv of a folder, read and planned."""
    picture, csv = folder / "images" / "a.png", folder / "dataset.csv"
    for path in (picture, folder / "labels" / "a.png"):
        path.parent.mkdir()
        path.write_bytes(fuzz_seeds.LABEL_FILES[0])
    classes = {"class_names": ["a", "b"], "values": {"0": "a", "7": "ignore"}}
    rows = "image,label,split\nimages/a.png,labels/a.png,train\n"

    def attempt(rng: np.random.Generator) -> None:
        (folder / "classes.json").write_text(json.dumps(classes))
        csv.write_bytes(mutated(rng, rows.encode(_choice(rng, ["utf-8", "utf-16"]))))
        if rng.random() < 0.3:
            (folder / "classes.json").write_text(mutated_json(rng, classes))
            csv.write_text(rows)
        source = sources.open_source("folder", str(folder))
        for split in source.splits():
            shards.plan(source.info(), split, source.samples(split), 1)

    return attempt


def settings(folder: pathlib.Path) -> Try:
    """run.json, dataset.json and classes.json, as bytes and as values."""
    readers = {
        "run.json": (GOLDEN / "run", lambda: runs.open_run(str(folder))),
        "dataset.json": (GOLDEN / "data", lambda: _read_dataset(folder)),
        "classes.json": (
            None,
            lambda: read_classes(folder / "classes.json", "name"),
        ),
    }
    classes = {"class_names": ["a", "b"], "colors": {"0,0,1": "a", "0,0,2": "ignore"}}

    def attempt(rng: np.random.Generator) -> None:
        name = _choice(rng, list(readers))
        place, read = readers[name]
        text = (place / name).read_text() if place else json.dumps(classes)
        if rng.random() < 0.7:
            data = mutated_json(rng, json.loads(text)).encode()
        else:
            data = mutated(rng, text.encode())
        (folder / name).write_bytes(data)
        read()

    return attempt


def _read_dataset(folder: pathlib.Path) -> None:
    info = dataset_info.load(folder)
    for split in info.splits:
        for path in dataset_info.shard_paths(folder, info, split):
            if pathlib.Path(path).parent != folder:
                raise DifferenceError(f"leads to {path}")


def record_files(folder: pathlib.Path) -> Try:
    """Shards: what --verify finds good, training decodes."""
    info = dataset_info.load(GOLDEN / "data")
    split = info.splits["train"]
    source = GOLDEN / "data" / split.shards[0]
    found = list(tfrecord.read_records(source))
    path, parse = folder / "train-00000-of-00001.tfrecord", _parser(has_labels=True)

    def attempt(rng: np.random.Generator) -> None:
        record = found[rng.integers(len(found))]
        with path.open("wb") as file:
            tfrecord.write_record(file, mutated(rng, record))
        if rng.random() < 0.3:
            path.write_bytes(mutated(rng, path.read_bytes()))
        for number, serialized in enumerate(tfrecord.read_records(path)):
            fact = scan.scan_record(serialized, f"{path}, record {number}", info)
            if fact["fault"]:
                raise SampleError(*fact["fault"])
            if fact["pixels"] is not None:
                try:
                    parse(tf.constant(serialized))
                except reading.UNREADABLE as error:
                    raise DifferenceError(f"TensorFlow refuses: {error}") from None

    return attempt


def checkpoint_files(folder: pathlib.Path) -> Try:
    """Checkpoints of strangers, read as ours and as the released ones."""
    best = GOLDEN / "run" / "best"
    for path in best.iterdir():
        shutil.copy(path, folder)
    model = runs.load_model(runs.open_run(str(GOLDEN / "run")))

    def attempt(rng: np.random.Generator) -> None:
        name = _choice(rng, ["ckpt-4.index", "ckpt-4.data-00000-of-00001"])
        (folder / name).write_bytes(mutated(rng, (best / name).read_bytes()))
        try:
            if rng.random() < 0.7:
                saving.restore_weights(model, str(folder / "ckpt-4"))
            else:
                checkpoints.read(str(folder / "ckpt-4"))
        finally:
            shutil.copy(best / name, folder)

    return attempt


def archives(folder: pathlib.Path) -> Try:
    """Archives: damaged ones, and members that lead elsewhere."""
    texts = [value for value in HOSTILE_VALUES if isinstance(value, str) and value]
    names = [text for text in texts if not set(text) & {"\x00", "\ud800"}]
    archive, inside = folder / "x.tar.gz", folder / "inside"

    def attempt(rng: np.random.Generator) -> None:
        shutil.rmtree(inside, ignore_errors=True)
        inside.mkdir()
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            member = tarfile.TarInfo(str(_choice(rng, ["a/b", *names]))[:200])
            member.type = bytes([b"00123567Lx"[rng.integers(10)]])
            member.linkname, member.size = str(_choice(rng, names))[:90], 5
            tar.addfile(member, io.BytesIO(b"hello"))
        data = buffer.getvalue()
        data = mutated(rng, data) if rng.random() < 0.5 else data
        data = gzip.compress(data, 1)
        archive.write_bytes(mutated(rng, data) if rng.random() < 0.3 else data)
        checkpoints.unpack(str(archive), str(inside))

    return attempt


def serving(folder: pathlib.Path) -> Try:
    """Bytes that a server is sent."""
    del folder

    @tf.function(input_signature=_SCALAR)
    def decode(contents: tf.Tensor) -> tf.Tensor:
        size, orientation = encoded_image.header(contents)
        contents = encoded_image.check_size(
            contents, size[None], tf.constant(1), max_side=64, max_pixels=2048
        )
        return encoded_image.decode(contents, size, orientation, 3)

    decode(tf.constant(fuzz_seeds.PICTURES[0]))  # tracing takes seconds

    def attempt(rng: np.random.Generator) -> None:
        data = mutated(rng, _choice(rng, fuzz_seeds.PICTURES))
        try:
            image = decode(tf.constant(data))
        except tf.errors.InvalidArgumentError:
            raise SampleError("refused", "refused") from None
        if max(image.shape) > 64:
            raise DifferenceError(f"too large: {image.shape}")

    return attempt


def names(folder: pathlib.Path) -> Try:
    """A name that passes makes a file in its folder, and nothing else."""

    def attempt(rng: np.random.Generator) -> None:
        pieces = ["..", "/", "\\", "a", "é", "\x00", "\n", "*", " ", ".", "-", "\u202e"]
        name = "".join(str(_choice(rng, pieces)) for _ in range(rng.integers(1, 6)))
        if rng.random() < 0.5:
            name = "".join(map(chr, rng.integers(1, 0x3000, rng.integers(1, 80))))
        files.check_name(name, "split")
        path = folder / f"{name}-00000-of-00001.tfrecord"
        path.touch()
        found = {
            unicodedata.normalize("NFC", p.name) for p in folder.glob("*.tfrecord")
        }
        path.unlink()
        if found != {unicodedata.normalize("NFC", path.name)}:
            raise DifferenceError(f"{name!r} made {found}")

    return attempt


# Area -> its share of the tries.
AREAS: dict[str, tuple[Area, float]] = {
    "pictures": (pictures, 0.2),
    "labels": (labels, 0.15),
    "arrays": (arrays, 0.12),
    "lists": (lists, 0.08),
    "settings": (settings, 0.15),
    "shards": (record_files, 0.1),
    "checkpoints": (checkpoint_files, 0.03),
    "archives": (archives, 0.04),
    "serving": (serving, 0.08),
    "names": (names, 0.05),
    "folders": (fuzz_folders.folders, 0.05),
    "graphs": (fuzz_folders.graphs, 0.05),
}
