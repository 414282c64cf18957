"""Every source on real or real-layout files: each label pixel against its file."""

import dataclasses
import hashlib
import io
import json
import shutil

import numpy as np
import pytest
from conversion_runs import ROOT, convert, examples, raw_pixels, save
from PIL import Image

from deeplab_tf.data import dataset_info, records, sources
from deeplab_tf.data.conversion.shards import convert_sample
from deeplab_tf.data.sources import _files
from deeplab_tf.errors import UserError

RNG = np.random.default_rng(0)
SIZE = (18, 25)


def opened(name, source_dir, *, val_fraction=None, **options):
    return sources.open_source(
        name, str(source_dir), options, val_fraction=val_fraction
    )


def read(source, split):
    """{name: (picture, label or None)} of a split, as arrays."""
    found = {}
    for sample in source.samples(split):
        fact, record = convert_sample(sample, source.info())
        assert fact["fault"] is None, fact
        example = records.decode_example(record)
        label = example.get(records.LABEL)
        found[sample.name] = (
            np.asarray(Image.open(io.BytesIO(example[records.IMAGE]))),
            None if label is None else np.asarray(Image.open(io.BytesIO(label))),
        )
    return found


def picture(path):
    save(path, RNG.integers(0, 256, (*SIZE, 3)).astype(np.uint8))


def test_every_source_is_documented():
    text = (ROOT / "docs" / "labels.md").read_text()
    text += (ROOT / "datasets" / "README.md").read_text()
    for name in sources.names():
        assert f"--dataset={name}" in text or f"`{name}`" in text, name


@pytest.mark.parametrize("name", sources.names())
def test_options_are_keyword_parameters(name):
    import inspect

    module = _files.load(name)
    function = getattr(module, "read", None) or module.samples
    parameters = inspect.signature(function).parameters
    for option, text in getattr(module, "OPTIONS", {}).items():
        assert parameters[option].kind is inspect.Parameter.KEYWORD_ONLY
        assert text


# --- shapes


def test_shapes_are_the_same_at_every_call_and_uneven():
    source = opened("shapes", "", num_examples=8)
    first, again = read(source, "train"), read(source, "train")
    assert len(first) == 8
    assert len(read(source, "val")) == 2
    counts = np.zeros(256)
    for name, (image, labels) in first.items():
        np.testing.assert_array_equal(image, again[name][0])
        np.testing.assert_array_equal(labels, again[name][1])
        assert image.shape == (*labels.shape, 3)
        counts += np.bincount(labels.ravel(), minlength=256)
    assert set(np.flatnonzero(counts)) == {*range(source.info().num_classes), 255}
    assert counts[:7].max() > 10 * counts[:7].min()


def test_shapes_of_train_and_val_differ():
    source = opened("shapes", "", num_examples=4)
    train, val = (
        next(iter(read(source, split).values()))[0] for split in ("train", "val")
    )
    assert train.shape != val.shape or (train != val).any()


# --- VOC 2012


def test_voc_trainaug_and_test_splits(tmp_path):
    root = tmp_path / "VOCdevkit" / "VOC2012"
    lists = root / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    for split, name in (
        ("trainaug", "2011_1"),
        ("train", "2011_1"),
        ("test", "2012_2"),
    ):
        (lists / f"{split}.txt").write_text(f"{name}\n")
        (root / "JPEGImages").mkdir(exist_ok=True)
        Image.new("RGB", SIZE[::-1]).save(root / "JPEGImages" / f"{name}.jpg")
    save(root / "SegmentationClassAug" / "2011_1.png", np.full(SIZE, 20, np.uint8))
    save(root / "SegmentationClass" / "2011_1.png", np.full(SIZE, 15, np.uint8))
    source = opened("voc2012", tmp_path)
    assert (read(source, "trainaug")["2011_1"][1] == 20).all()
    assert (read(source, "train")["2011_1"][1] == 15).all()
    assert read(source, "test")["2012_2"][1] is None


# --- Cityscapes

# The official table: the labelIds of trainIds 0 to 18.
CITYSCAPES_IDS = (7, 8, 11, 12, 13, 17, *range(19, 29), 31, 32, 33)


def as_train_ids(ids):
    expected = np.full(ids.shape, 255)
    for train_id, label_id in enumerate(CITYSCAPES_IDS):
        expected[ids == label_id] = train_id
    return expected


def test_cityscapes_sample_gives_the_official_train_ids(shared_dir):
    root = shared_dir / "data" / "cityscapes_sample"
    ((name, (image, labels)),) = read(opened("cityscapes", root), "val").items()
    stem = root / "gtFine" / "val" / "frankfurt" / name
    ids, train_ids = (
        raw_pixels(f"{stem}_gtFine_{kind}.png")
        for kind in ("labelIds", "labelTrainIds")
    )
    np.testing.assert_array_equal(labels, as_train_ids(ids))
    # The sample's two files were made smaller one by one, so a few borders differ.
    assert (labels == train_ids).mean() > 0.997
    assert image.shape == (*labels.shape, 3)


@pytest.mark.parametrize(("coarse", "kind"), [(False, "gtFine"), (True, "gtCoarse")])
def test_cityscapes_every_label_id(tmp_path, coarse, kind):
    stem = "aachen_000000_000019"
    for split in ("train", "train_extra", "test"):
        picture(tmp_path / "leftImg8bit" / split / "aachen" / f"{stem}_leftImg8bit.png")
    ids = np.resize(np.arange(34), SIZE).astype(np.uint8)
    folder = tmp_path / kind / ("train_extra" if coarse else "train") / "aachen"
    save(folder / f"{stem}_{kind}_labelIds.png", ids)
    source = opened("cityscapes", tmp_path, coarse=coarse)
    labels = read(source, "train_extra" if coarse else "train")[stem][1]
    np.testing.assert_array_equal(labels, as_train_ids(ids))
    assert read(source, "test")[stem][1] is None
    assert source.info().num_classes == len(CITYSCAPES_IDS)


# --- ADE20K


@pytest.mark.parametrize("released", [False, True])
def test_ade20k_sample_in_the_official_layout(shared_dir, tmp_path, released):
    root = tmp_path / "ADEChallengeData2016"
    for kind in ("images", "annotations"):
        shutil.copytree(
            shared_dir / "data" / "ade20k_sample" / kind, root / kind / "validation"
        )
    source = opened("ade20k", tmp_path, released_classes=released)
    info = source.info()
    assert info.num_classes == (151 if released else 150)
    assert info.ignore_label == (0 if released else 255)
    assert info.class_names[1 if released else 0] == "wall"
    found = read(source, "val")
    assert len(found) == 3
    for name, (_, labels) in found.items():
        raw = raw_pixels(root / "annotations" / "validation" / f"{name}.png")
        expected = raw if released else np.where(raw == 0, 255, raw.astype(int) - 1)
        np.testing.assert_array_equal(labels, expected)


# --- COCO

CATEGORIES = [
    {"id": 17, "name": "cat", "isthing": 1, "color": [255, 179, 240]},
    {"id": 1, "name": "person", "isthing": 1, "color": [220, 20, 60]},
    {"id": 200, "name": "rug-merged", "isthing": 0, "color": [150, 100, 100]},
]
CLASS_OF = {1: 0, 17: 1, 200: 2}  # categories in order of their ids


def coco(root, kind, content):
    (root / "annotations").mkdir(parents=True, exist_ok=True)
    (root / "val2017").mkdir()
    image = Image.fromarray(RNG.integers(0, 256, (*SIZE, 3)).astype(np.uint8))
    image.save(root / "val2017" / "000000000139.jpg")
    base = {
        "images": [
            {
                "id": 139,
                "file_name": "000000000139.jpg",
                "height": SIZE[0],
                "width": SIZE[1],
            }
        ],
        "categories": CATEGORIES,
    }
    path = root / "annotations" / f"{kind}_val2017.json"
    path.write_text(json.dumps(base | content))


def test_coco_panoptic(tmp_path):
    segments = {70_003: 1, 5: 17, 4_194_561: 200}  # ids beyond one and two bytes
    choice = RNG.choice([0, *segments], SIZE)
    rgb = np.stack([choice % 256, choice // 256 % 256, choice // 256**2], axis=2)
    save(
        tmp_path / "annotations/panoptic_val2017/000000000139.png", rgb.astype(np.uint8)
    )
    annotation = {
        "image_id": 139,
        "file_name": "000000000139.png",
        "segments_info": [
            {"id": i, "category_id": category, "iscrowd": 0}
            for i, category in segments.items()
        ],
    }
    coco(tmp_path, "panoptic", {"annotations": [annotation]})
    source = opened("coco", tmp_path, annotations="panoptic")
    expected = np.full(SIZE, 255)
    for segment, category in segments.items():
        expected[choice == segment] = CLASS_OF[category]
    np.testing.assert_array_equal(read(source, "val")["000000000139"][1], expected)
    info = source.info()
    assert info.class_names == ("person", "cat", "rug-merged")
    assert info.colormap[1] == (255, 179, 240)


def test_coco_stuff(tmp_path):
    raw = RNG.choice([0, *CLASS_OF], SIZE).astype(np.uint8)
    save(tmp_path / "annotations/stuff_val2017_pixelmaps/000000000139.png", raw)
    coco(tmp_path, "stuff", {"annotations": []})
    labels = read(opened("coco", tmp_path, annotations="stuff"), "val")
    expected = np.vectorize(lambda value: CLASS_OF.get(value, 255))(raw)
    np.testing.assert_array_equal(labels["000000000139"][1], expected)


def instance(category, segmentation, area):
    return {
        "image_id": 139,
        "category_id": category,
        "segmentation": segmentation,
        "area": area,
        "iscrowd": int(isinstance(segmentation, dict)),
    }


def test_coco_instances(tmp_path):
    large = [[2, 3, 20, 3, 20, 15, 2, 15]]  # x, y of the corners
    small = [[5, 5, 10, 5, 10, 9, 5, 9]]
    counts = [SIZE[0] * 22, SIZE[0] * 2, SIZE[0]]  # columns 22 and 23
    crowd = {"size": list(SIZE), "counts": counts}
    annotations = [
        instance(17, small, 20),
        instance(1, large, 216),
        instance(200, crowd, 36),
    ]
    coco(tmp_path, "instances", {"annotations": annotations})
    source = opened("coco", tmp_path, annotations="instances")
    expected = np.zeros(SIZE)
    expected[3:15, 2:20] = 1
    expected[5:9, 5:10] = 2
    expected[:, 22:24] = 3
    labels = read(source, "val")["000000000139"][1]
    np.testing.assert_array_equal(labels, expected)
    assert source.info().class_names == ("background", "person", "cat", "rug-merged")


def test_coco_wrong_kind(tmp_path):
    coco(tmp_path, "stuff", {})
    with pytest.raises(UserError, match=r"'stuf'.*mean 'stuff'"):
        opened("coco", tmp_path, annotations="stuf").info()


# --- folder

TWO = {"name": "two", "class_names": ["ground", "road"]}


def classes(root, **more):
    root.mkdir(parents=True, exist_ok=True)
    (root / "classes.json").write_text(json.dumps(TWO | more))


def pair(image, label):
    """Writes a random picture and a random label of two classes; returns the label."""
    picture(image)
    labels = RNG.choice([0, 1, 255], SIZE).astype(np.uint8)
    save(label, labels)
    return labels


@pytest.mark.parametrize("layout", ["{kind}/{split}", "{split}/{kind}"])
@pytest.mark.parametrize("kinds", [("images", "labels"), ("imgs", "masks")])
def test_folder_of_splits(tmp_path, layout, kinds):
    classes(tmp_path)
    expected = {}
    for split in ("val", "train"):
        image, label = (tmp_path / layout.format(kind=k, split=split) for k in kinds)
        for name in ("b", "sub/a"):
            expected[split, name] = pair(image / f"{name}.jpg", label / f"{name}_m.png")
    source = opened("folder", tmp_path, label_suffix="_m")
    assert source.splits() == ("train", "val")
    for (split, name), labels in expected.items():
        np.testing.assert_array_equal(read(source, split)[name][1], labels)


def test_folder_with_a_split_without_labels(tmp_path):
    classes(tmp_path)
    pair(tmp_path / "images/train/a.png", tmp_path / "labels/train/a.png")
    picture(tmp_path / "images/test/b.png")
    source = opened("folder", tmp_path)
    assert source.splits() == ("train", "test")
    assert read(source, "test")["b"][1] is None


def test_folder_of_lists(tmp_path):
    classes(tmp_path)
    labels = pair(tmp_path / "p/a.png", tmp_path / "l/x.png")
    picture(tmp_path / "p/b.png")
    (tmp_path / "train.txt").write_text("p/a.png l/x.png\n\n")
    (tmp_path / "test.txt").write_text("p/b.png\n")
    source = opened("folder", tmp_path)
    assert source.splits() == ("train", "test")
    np.testing.assert_array_equal(read(source, "train")["p/a"][1], labels)
    assert read(source, "test")["p/b"][1] is None


def test_folder_of_a_table(tmp_path):
    classes(tmp_path)
    rows = ["image,label,split"]
    expected = {}
    for split in ("train", "val"):
        expected[split] = pair(tmp_path / f"{split} 1.png", tmp_path / f"{split}_l.png")
        rows.append(f"{split} 1.png,{split}_l.png,{split}")
    (tmp_path / "dataset.csv").write_text("\n".join(rows))
    source = opened("folder", tmp_path)
    for split, labels in expected.items():
        np.testing.assert_array_equal(read(source, split)[f"{split} 1"][1], labels)


def test_folder_with_values_and_with_colors(tmp_path):
    labels = RNG.choice([0, 1, 255], SIZE)
    for kind, raw, table in (
        (
            "values",
            {0: 7, 1: 300, 255: 4},
            {"7": "ground", "300": "road", "4": "ignore"},
        ),
        (
            "colors",
            {0: (1, 2, 3), 1: (0, 0, 255), 255: (0, 0, 0)},
            {"1,2,3": "ground", "0,0,255": "road", "0,0,0": "ignore"},
        ),
    ):
        root = tmp_path / kind
        classes(root, **{kind: table})
        picture(root / "images/train/a.png")
        dtype = np.uint16 if kind == "values" else np.uint8
        mask = np.array([[raw[int(v)] for v in row] for row in labels], dtype)
        save(root / "labels/train/a.png", mask)
        found = read(opened("folder", root), "train")["a"][1]
        np.testing.assert_array_equal(found, labels)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"values": {"7": "rod"}}, "class in values 'rod'.*mean 'road'"),
        ({"values": {"x": "road"}}, 'values must be as {"7"'),
        ({"colors": {"1,2": "road"}}, "colors must be as"),
        ({"colors": {}, "values": {}}, "values or colors, not both"),
        ({"clases": []}, "unknown setting 'clases'"),
    ],
)
def test_wrong_classes_file(tmp_path, more, message):
    classes(tmp_path, **more)
    pair(tmp_path / "images/train/a.png", tmp_path / "labels/train/a.png")
    with pytest.raises(UserError, match=message) as error:
        opened("folder", tmp_path).samples("train")
    assert str(error.value).startswith(str(tmp_path / "classes.json"))


def test_undivided_folder_is_split_by_the_classes_present(tmp_path):
    classes(tmp_path, class_names=["ground", "common", "rare"])
    # Both would fall into val if only the order by hash counted.
    by_hash = sorted(
        (f"{i:02d}" for i in range(20)),
        key=lambda name: hashlib.sha1(name.encode()).digest(),
    )
    rare = set(by_hash[:2])
    for i in range(20):
        name = f"{i:02d}"
        picture(tmp_path / f"images/{name}.png")
        labels = np.zeros(SIZE, np.uint8)
        labels[0] = 2 if name in rare else i % 2
        save(tmp_path / f"labels/{name}.png", labels)
    source = opened("folder", tmp_path, val_fraction=0.25)
    train, val = (set(read(source, split)) for split in ("train", "val"))
    assert not train & val
    assert len(train | val) == 20
    assert len(val) == 20 * 0.25
    assert len(rare & val) == len(rare & train) == 1
    again = opened("folder", tmp_path, val_fraction=0.25)
    assert [s.name for s in again.samples("val")] == sorted(val)


@pytest.mark.parametrize(("channels", "bits"), [(5, 16), (3, 32)])
def test_arrays_through_the_whole_conversion(tmp_path, channels, bits):
    classes(tmp_path / "source", channels=channels, bits=bits)
    whole = RNG.integers(0, 1 << 16, (*SIZE, channels)).astype(np.uint16)
    pixels = whole if bits == 16 else whole.astype(np.float32) / 257
    (tmp_path / "source/images/train").mkdir(parents=True)
    np.save(tmp_path / "source/images/train/a.npy", pixels)
    save(tmp_path / "source/labels/train/a.png", np.ones(SIZE, np.uint8))
    output = tmp_path / "out"
    convert(
        "--dataset=folder",
        f"--source_dir={tmp_path / 'source'}",
        f"--output_dir={output}",
    )
    convert("--verify", f"--output_dir={output}")
    image = examples(output, "train")["a"]["image"]
    np.testing.assert_array_equal(image, whole.astype(np.float32) / 257)
    assert not (output / "features.json").exists()


# --- TensorFlow Datasets, both ways


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A builder made here, prepared on disk; returns its folder and its examples."""
    tfds = pytest.importorskip("tensorflow_datasets")
    folder = tmp_path_factory.mktemp("tfds")
    truth = {}
    for split, count in (("train", 5), ("test", 2)):
        for i in range(count):
            image = RNG.integers(0, 256, (18 + i, 25, 3)).astype(np.uint8)
            mask = RNG.integers(1, 4, (18 + i, 25, 1)).astype(np.uint8)
            truth[split, i] = (image, mask)

    class PetParts(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")
        pkg_dir_path = folder  # no package of that name is installed

        def _info(self):
            image, mask = tfds.features.Image, (None, None, 1)
            features = {
                "image": image(encoding_format="png"),
                "mask": image(shape=mask, encoding_format="png"),
                "named": tfds.features.LabeledImage(
                    labels=["void", "pet", "ground", "rim"], shape=mask
                ),
            }
            return tfds.core.DatasetInfo(
                builder=self,
                features=tfds.features.FeaturesDict(features),
                disable_shuffling=True,
            )

        def _split_generators(self, dl_manager):
            return {s: self._generate_examples(s) for s in ("train", "test")}

        def _generate_examples(self, split):
            for (where, i), (image, mask) in truth.items():
                if where == split:
                    yield i, {"image": image, "mask": mask, "named": mask}

    PetParts(data_dir=folder).download_and_prepare()
    return folder, truth


def test_tfds_builder_is_converted(prepared, tmp_path):
    folder, truth = prepared
    table = {"1": "pet", "2": "background", "3": "ignore"}
    names = {"class_names": ["pet", "background"], "values": table}
    (tmp_path / "classes.json").write_text(json.dumps(names))
    output = tmp_path / "out"
    convert(
        "--dataset=tfds",
        f"--source_dir={folder / 'pet_parts' / '1.0.0'}",
        f"--classes={tmp_path / 'classes.json'}",
        "--label_key=mask",
        f"--output_dir={output}",
        "--num_shards=2",
        "--workers=2",
    )
    assert dataset_info.load(output).name == "pet_parts"
    for split, count in (("train", 5), ("test", 2)):
        found = examples(output, split)
        assert len(found) == count
        for i, example in enumerate(found.values()):
            image, mask = truth[split, i]
            np.testing.assert_array_equal(example["image"], image)
            expected = np.array([-1, 0, 1, 255])[mask[:, :, 0]]
            np.testing.assert_array_equal(example["labels"], expected)


def test_tfds_builder_by_name_knows_its_classes(prepared):
    folder, truth = prepared
    source = opened("tfds", folder, source="pet_parts:1.0.0", label_key="named")
    assert source.info().class_names == ("void", "pet", "ground", "rim")
    for i, (image, labels) in enumerate(read(source, "train").values()):
        np.testing.assert_array_equal(image, truth["train", i][0])
        np.testing.assert_array_equal(labels, truth["train", i][1][:, :, 0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label_key": "mask"}, "names no classes; give --classes"),
        ({}, "choose by --label_key: mask, named"),
        ({"label_key": "masks"}, "feature of pet_parts 'masks'.*mean 'mask'"),
        ({"source": "pet_parst"}, "pet_parst: no data set of tfds"),
    ],
)
def test_tfds_errors(prepared, options, message):
    options = {"source": "pet_parts"} | options
    with pytest.raises(UserError, match=message):
        opened("tfds", prepared[0], **options).info()


@pytest.mark.parametrize("with_test", [False, True])
def test_tfds_reads_what_is_written(tmp_path, with_test):
    tfds = pytest.importorskip("tensorflow_datasets")
    classes(tmp_path / "source")
    root, truth = tmp_path / "source", {}
    for split, count in (("train", 5), ("val", 2)):
        for i in range(count):
            image = root / "images" / split / f"{i}.png"
            labels = pair(image, root / "labels" / split / f"{i}.png")
            truth[split, str(i)] = (raw_pixels(image), labels)
    if with_test:
        picture(root / "images/test/0.png")
    output = tmp_path / "out"
    convert("--dataset=folder", f"--source_dir={root}", f"--output_dir={output}")
    builder = tfds.builder_from_directory(output)
    assert builder.name == "two"
    assert {k: v.num_examples for k, v in builder.info.splits.items()} == {
        "train": 5,
        "val": 2,
    }
    for split in ("train", "val"):
        for example in tfds.as_numpy(builder.as_dataset(split=split)):
            image = example["image"]
            expected = truth.pop((split, image["filename"].decode()))
            np.testing.assert_array_equal(image["encoded"], expected[0])
            labels = image["segmentation"]["class"]["encoded"][:, :, 0]
            np.testing.assert_array_equal(labels, expected[1])
    assert not truth


def test_names_must_be_distinct_within_a_split(tmp_path):
    classes(tmp_path)
    pair(tmp_path / "p/a.png", tmp_path / "l/a.png")
    (tmp_path / "train.txt").write_text("p/a.png l/a.png\np/a.png l/a.png\n")
    with pytest.raises(UserError, match="two examples are called 'p/a'"):
        opened("folder", tmp_path).samples("train")


def test_samples_can_be_sent_to_processes():
    import pickle

    sample = opened("shapes", "").samples("val")[0]
    assert dataclasses.asdict(pickle.loads(pickle.dumps(sample))) == dataclasses.asdict(
        sample
    )
