import numpy as np
import pytest
from PIL import Image

from deeplab_tf.config.options import DRAWINGS, SUBMISSIONS
from deeplab_tf.data.dataset_info import DatasetInfo
from deeplab_tf.errors import UserError
from deeplab_tf.inference import coloring, contact_sheet, drawing, submission

VOID = 255
INFO = DatasetInfo(name="three", class_names=("a", "b", "c"))


class Stripes:
    """Labels columns 0, 1, 2 in turn, with a confidence that falls downwards."""

    def labels_and_confidence(self, pictures):
        shape = np.asarray(pictures).shape[:3]
        labels = np.broadcast_to(np.arange(shape[2]) % 3, shape).astype(np.uint8)
        rows = np.linspace(1, 0.25, shape[1])[:, None]
        return labels, np.broadcast_to(rows, shape).astype(np.float32)

    def labels(self, pictures):
        return self.labels_and_confidence(pictures)[0]


def example(rng, name, labelled=True):
    image = rng.integers(0, 256, (11, 14, 3), np.uint8)
    labels = rng.choice([0, 1, 2, VOID], (11, 14)).astype(np.int32)
    return name, image, labels if labelled else None


def read(folder, kind, name):
    with Image.open(folder / kind / f"{name}.png") as picture:
        return picture.mode, np.asarray(picture), picture.getpalette()


def test_choices_equal_their_table():
    assert set(drawing.KINDS) == set(DRAWINGS)


def test_every_kind_is_drawn(tmp_path):
    rng = np.random.default_rng(0)
    examples = [example(rng, "x"), example(rng, "y", labelled=False)]
    count = drawing.draw(
        examples, Stripes(), INFO, str(tmp_path), kinds=list(drawing.KINDS)
    )
    assert count == 2
    expected = np.tile(np.arange(14) % 3, (11, 1))
    mode, mask, palette = read(tmp_path, "masks", "x")
    assert mode == "P"
    np.testing.assert_array_equal(mask, expected)
    assert palette[:9] == [v for color in INFO.colormap for v in color]
    mode, raw, _ = read(tmp_path, "raw", "x")
    assert mode == "L"
    np.testing.assert_array_equal(raw, expected)
    confidence = read(tmp_path, "confidence", "y")[1]
    assert confidence[0, 0] == 255
    assert confidence[-1, 0] == round(0.25 * 255)
    for name, panels in (("x", 3), ("y", 2)):
        drawn = read(tmp_path, "overlays", name)[1]
        assert drawn.shape[0] > 11  # the legend lies below
        row = drawn[:11, : panels * 14 + (panels - 1) * 4]
        np.testing.assert_array_equal(row[:, :14], examples[name == "y"][1])
        assert (drawn[:11, row.shape[1] :] == 255).all()
    assert (tmp_path / "errors" / "x.png").exists()
    assert not (tmp_path / "errors" / "y.png").exists()


def test_equal_names_are_numbered_and_the_limit_holds(tmp_path):
    rng = np.random.default_rng(1)
    examples = (example(rng, "x") for _ in range(9))
    drawing.draw(examples, Stripes(), INFO, str(tmp_path), limit=3, kinds=["raw"])
    names = sorted(path.name for path in (tmp_path / "raw").iterdir())
    assert names == ["x.png", "x_2.png", "x_3.png"]


def test_error_map_marks_what_is_wrong_and_not_void():
    rng = np.random.default_rng(2)
    _, image, labels = example(rng, "x")
    predictions = rng.integers(0, 3, labels.shape)
    drawn = coloring.error_map(image, predictions, labels, VOID).astype(int)
    red = drawn[..., 0] > drawn[..., 1] + 50
    np.testing.assert_array_equal(red, (labels != predictions) & (labels != VOID))


CITYSCAPES = (
    *("road", "sidewalk", "building", "wall", "fence", "pole", "traffic light"),
    *("traffic sign", "vegetation", "terrain", "sky", "person", "rider", "car"),
    *("truck", "bus", "train", "motorcycle", "bicycle"),
)


def test_cityscapes_ids_go_by_name():
    names = tuple(reversed(CITYSCAPES))
    values = submission.get("cityscapes", names).values
    assert values[names.index("road")] == 7
    assert values[names.index("train")] == 31
    assert values[names.index("bicycle")] == 33
    assert len(set(values[:19])) == 19


def test_voc_and_ade20k_values():
    voc = submission.get("voc2012", tuple(map(str, range(21))))
    assert voc.is_palette
    np.testing.assert_array_equal(voc.values[:21], range(21))
    ade = submission.get("ade20k", tuple(map(str, range(150))))
    np.testing.assert_array_equal(ade.values[:150], range(1, 151))


def test_a_submission_is_written_in_its_values(tmp_path):
    info = DatasetInfo(name="city", class_names=("road", "sky", "traffic_light"))
    wanted = submission.get("cityscapes", info.class_names)
    drawing.draw(
        [example(np.random.default_rng(3), "x")],
        Stripes(),
        info,
        str(tmp_path),
        kinds=[],
        submission=wanted,
    )
    mode, values, _ = read(tmp_path, "submission", "x_pred")
    assert mode == "L"
    assert values[0, :4].tolist() == [7, 23, 19, 7]


@pytest.mark.parametrize("name", SUBMISSIONS)
def test_classes_of_another_benchmark_are_refused(name):
    with pytest.raises(UserError, match=f"--submission={name} wants"):
        submission.get(name, ("cat", "dog"))


def test_pictures_are_read_upright(tmp_path):
    image = np.random.default_rng(4).integers(0, 256, (5, 8, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    Image.fromarray(image).save(tmp_path / "a.png", exif=exif)
    ((name, read_image, labels),) = drawing.read_pictures(str(tmp_path / "*.png"))
    assert (name, labels) == ("a", None)
    np.testing.assert_array_equal(read_image, np.rot90(image, -1))


def squares(strip):
    """The colours that fill a square of a legend; its border and writing are grey."""
    colors, counts = np.unique(strip.reshape(-1, 3), axis=0, return_counts=True)
    return {
        tuple(color.tolist())
        for color, n in zip(colors, counts, strict=True)
        if n >= 100 and np.ptp(color)
    }


def test_the_legend_lists_what_occurs():
    colormap = ((250, 0, 0), (0, 250, 0), (0, 0, 250))
    names = ("a", "line\nbreak", "x" * 500)
    strip = coloring.legend([1, 7], names, colormap, 300)
    assert strip.shape[1] == 300
    void = coloring._VOID_COLOR
    assert squares(strip) == {(0, 250, 0), void}
    every = coloring.legend(range(3), names, colormap, 20)
    assert squares(every) == {*colormap}
    assert 20 < every.shape[1] < 800  # as wide as the longest name, which is cut
    assert every.shape[0] == 3 * coloring.legend([0], names, colormap, 20).shape[0]


def test_colours_of_more_classes_than_a_byte_holds():
    colormap = [(i % 256, i // 256, 7) for i in range(300)]
    drawn = coloring.colorize(np.array([[0, 255, 256, 299, 300, 999]]), colormap)
    void = coloring._VOID_COLOR
    expected = [colormap[0], colormap[255], colormap[256], colormap[299], void, void]
    np.testing.assert_array_equal(drawn[0], expected)


def test_several_pictures_make_a_contact_sheet(tmp_path):
    rng = np.random.default_rng(5)
    examples = [example(rng, f"x{number}") for number in range(5)]
    drawing.draw(examples, Stripes(), INFO, str(tmp_path), kinds=[])
    with Image.open(tmp_path / drawing.SHEET) as sheet:
        cell = 2 * (14 + 2) + 12
        assert sheet.width == 4 * cell
        pixels = np.asarray(sheet).astype(float)
    second_row = 11 + 12 + contact_sheet._CAPTION
    for place, (_, image, _) in zip(
        [(6, 6), (6, 6 + 3 * cell), (second_row + 6, 6)],
        [examples[0], examples[3], examples[4]],
        strict=True,
    ):
        top, left = place
        shown = pixels[top : top + 11, left : left + 14]
        assert np.abs(shown.mean((0, 1)) - image.mean((0, 1))).max() < 12  # JPEG
    drawing.draw(examples[:1], Stripes(), INFO, str(tmp_path / "one"), kinds=["raw"])
    assert not (tmp_path / "one" / drawing.SHEET).exists()


def test_a_folder_is_read_without_what_is_no_picture(tmp_path, capsys):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.PNG")
    others = (".DS_Store", "Thumbs.db", "a.json", "._a.png", "b.npy")
    for name in others:
        (tmp_path / name).write_bytes(b"no picture")
    for pattern in (tmp_path, tmp_path / "*"):
        found = drawing.read_pictures(str(pattern))
        assert [name for name, _, _ in found] == ["a"]
        assert "that are no pictures: " in capsys.readouterr().err
    (tmp_path / "a.PNG").unlink()
    with pytest.raises(UserError, match="none of 5 files is a picture"):
        drawing.read_pictures(str(tmp_path))


@pytest.mark.parametrize("pattern", ["missing/", "*.jpg"])
def test_nothing_to_draw_is_told(tmp_path, pattern):
    with pytest.raises(UserError, match="no such file, or an empty folder"):
        drawing.read_pictures(str(tmp_path / pattern))


@pytest.mark.parametrize("given", ["notes.md", "torn.png"])
def test_a_file_that_is_no_picture_is_named(tmp_path, given):
    """A file that was asked for by name, and one that says to be a picture."""
    (tmp_path / given).write_text("no picture")
    pattern = tmp_path / given if given == "notes.md" else tmp_path
    with pytest.raises(UserError, match=f"{given}: cannot be decoded"):
        list(drawing.read_pictures(str(pattern)))


def test_labels_past_a_byte_are_void_in_a_palette_image():
    labels = np.array([[0, 1], [255, 300]])
    drawn = coloring.palette_image(labels, [(1, 2, 3), (4, 5, 6)])
    np.testing.assert_array_equal(np.asarray(drawn), [[0, 1], [255, 255]])
    colors = np.asarray(drawn.convert("RGB"))
    np.testing.assert_array_equal(
        colors, coloring.colorize(labels, [(1, 2, 3), (4, 5, 6)])
    )
