"""What to label next: the folder that suggest writes, and what reads it back."""

import csv
import json
import shutil

import numpy as np
import pytest
import tiny_run
from conversion_runs import examples
from PIL import Image
from pycocotools.coco import COCO

from deeplab_tf import runs
from deeplab_tf.config.options import SuggestOptions
from deeplab_tf.data.conversion.run import convert
from deeplab_tf.data.dataset_info import DatasetInfo
from deeplab_tf.errors import UserError
from deeplab_tf.inference import images, tiling
from deeplab_tf.labelling import prelabels, selection, sight
from deeplab_tf.labelling.prelabels import PreLabel
from deeplab_tf.report import suggestions

pytestmark = pytest.mark.usefixtures("shallow_resnet")

COUNT = 4


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    """Pictures, two of one name, and what is none."""
    folder = tmp_path_factory.mktemp("pool")
    for number, pixels in enumerate(tiny_run.pictures(48, 60, count=6)):
        Image.fromarray(pixels).save(folder / f"{number}.png")
    Image.fromarray(pixels[:40]).save(folder / "5.jpg")
    (folder / "broken.jpg").write_bytes(b"no picture")
    (folder / "notes.md").write_text("no picture")
    return folder


@pytest.fixture(scope="module")
def written(run, pool, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out") / "next"
    options = SuggestOptions(images=str(pool), count=COUNT, tolerance=0)
    return folder, suggestions.write(run, folder, options)


def test_the_list_is_the_choice(written, run):
    folder, chosen = written
    assert len({one.path for one in chosen}) == COUNT
    with (folder / "suggested.csv").open(newline="") as file:
        rows = [*csv.DictReader(file)]
    assert [row["source"] for row in rows] == [str(one.path) for one in chosen]
    assert [row["rank"] for row in rows] == ["1", "2", "3", "4"]
    for row, one in zip(rows, chosen, strict=True):
        assert float(row["uncertainty"]) == pytest.approx(one.uncertainty, abs=1e-4)
        copy = folder / row["image"]
        assert copy.read_bytes() == one.path.read_bytes()
    for name in ("suggested.csv", "suggested.txt"):  # vis takes them as --images
        listed = [path.resolve() for path in images.find(str(folder / name))]
        assert listed == [(folder / row["image"]).resolve() for row in rows]


def test_the_page_shows_each(written):
    folder, chosen = written
    text = (folder / "index.html").read_text()
    assert text.count("data:image/jpeg") == COUNT
    for rank, one in enumerate(chosen, start=1):
        assert f"{rank}. {one.path.name}: uncertainty {one.uncertainty:.2f}" in text


def test_pre_labels_are_the_predictions(written, run):
    folder, chosen = written
    predict = tiling.open_predictor(run, SuggestOptions())
    for one in chosen:
        expected = predict.labels(images.read(one.path, 3)[None])[0]
        mask = Image.open(folder / "labels" / f"{one.name}.png")
        np.testing.assert_array_equal(mask, expected)
        assert tuple(mask.getpalette()[:9]) == sum(run.info.colormap, ())


def test_what_cannot_be_read_is_passed_over_and_told(run, pool, tmp_path, capsys):
    options = SuggestOptions(images=str(pool), count=99, labelled=0)
    chosen = suggestions.write(run, tmp_path / "next", options)
    assert len(chosen) == 7
    assert chosen[0].distance is None
    assert {one.name for one in chosen} == {*"01234", "5", "5_2"}
    assert "broken.jpg" in capsys.readouterr().err


@pytest.mark.parametrize("counts", [None, (), (900, 90, 10)])
def test_rare_classes_count_more_where_they_were_counted(run, pool, tmp_path, counts):
    copy = shutil.copytree(run.path, tmp_path / "copy")
    content = json.loads((copy / "run.json").read_text())
    if counts is None:  # as of an imported network
        del content["dataset"]["splits"]["train"]
    else:
        content["dataset"]["splits"]["train"]["class_pixels"] = counts
    (copy / "run.json").write_text(json.dumps(content))
    path = pool / "0.png"
    options = SuggestOptions(images=str(path), count=1, uncertainty="margin")
    (one,) = suggestions.write(runs.open_run(copy), tmp_path / "next", options)
    probabilities = sight.make_look(runs.load_model(run))(
        images.read(path, 3)
    ).probabilities
    unsure = selection.margin(probabilities)
    if counts:  # weights of 1 / root, whose mean over the pixels is 1
        weights = 1 / np.sqrt(counts)
        unsure *= (probabilities * weights).sum(-1) * 1000 / np.sqrt(counts).sum()
    assert one.uncertainty == pytest.approx(selection.of_picture(unsure), rel=1e-4)


def test_labels_are_never_replaced(run, pool, tmp_path):
    (tmp_path / "mine.json").write_text("{}")
    with pytest.raises(UserError, match="is there already"):
        suggestions.write(run, tmp_path, SuggestOptions(images=str(pool)))
    assert [path.name for path in tmp_path.iterdir()] == ["mine.json"]


def test_shards_that_are_gone_are_told(run, pool, tmp_path, capsys):
    copy = shutil.copytree(run.path, tmp_path / "copy")
    content = json.loads((copy / "run.json").read_text())
    content["config"]["data"]["dataset_dir"] = "/nowhere"
    (copy / "run.json").write_text(json.dumps(content))
    options = SuggestOptions(images=str(pool / "0.png"), count=1)
    suggestions.write(runs.open_run(copy), tmp_path / "next", options)
    assert "labelled already is not known" in capsys.readouterr().err


# --- The tools' files


@pytest.fixture(scope="module", params=[("sky", "road", "car"), ("Background", "b")])
def prelabelled(request, tmp_path_factory):
    """Pre-labels of random regions, with every corner; and the labels by name."""
    folder = tmp_path_factory.mktemp("prelabelled")
    rng = np.random.default_rng(1)
    labels = {}
    (folder / "source").mkdir()
    for name, ending in (("a", "png"), ("b", "jpg")):
        coarse = rng.integers(0, len(request.param), (7, 9), np.uint8)
        labels[name] = coarse.repeat(6, 0).repeat(5, 1)
        labels[name][3, 4:20] = 1  # thin, across the others
        pixels = rng.integers(0, 255, (*labels[name].shape, 3), np.uint8)
        Image.fromarray(pixels).save(folder / "source" / f"{name}.{ending}")
    paths = sorted((folder / "source").iterdir())
    info = DatasetInfo(name="any", class_names=request.param)
    given = [PreLabel(path=p, name=p.stem, labels=labels[p.stem]) for p in paths]
    prelabels.write(folder / "out", given, info, tolerance=0, least=0)
    return folder / "out", info, labels


@pytest.mark.parametrize("dataset", ["labelme", "coco_json", "folder"])
def test_each_form_converts_to_the_same_labels(prelabelled, dataset, tmp_path):
    folder, info, labels = prelabelled
    found = convert(folder, tmp_path, dataset=dataset, val_fraction=0, workers=1)
    assert found.class_names == info.class_names
    assert found.colormap == info.colormap
    for name, example in examples(tmp_path, "train").items():
        np.testing.assert_array_equal(example["labels"], labels[name[-1]])


def test_what_is_left_uncovered_is_void_or_the_background(prelabelled, tmp_path):
    folder, info, labels = prelabelled
    copy = shutil.copytree(folder, tmp_path / "copy")
    path = copy / "labelme" / "a.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"shapes": []}))
    convert(copy, tmp_path / "o", dataset="labelme", val_fraction=0, workers=1)
    found = examples(tmp_path / "o", "train")
    ground = 0 if info.class_names[0] == "Background" else 255
    assert {*np.unique(found["labelme/a"]["labels"])} == {ground}
    np.testing.assert_array_equal(found["labelme/b"]["labels"], labels["b"])


def test_pycocotools_opens_it(prelabelled, capsys):
    folder, info, _ = prelabelled
    coco = COCO(folder / "annotations" / "instances_default.json")
    names = [one["name"] for one in coco.loadCats(coco.getCatIds())]
    assert names == [*info.class_names]
    (first,) = (i for i in coco.loadImgs(coco.getImgIds()) if i["file_name"] == "a.png")
    regions = coco.loadAnns(coco.getAnnIds(imgIds=first["id"]))
    for region in regions:
        mask = coco.annToMask(region)
        assert region["area"] == mask.sum()
        left, top, width, height = region["bbox"]
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        assert (left, top) == (columns[0], rows[0])
        assert (width, height) == (np.ptp(columns) + 1, np.ptp(rows) + 1)
