"""The same image gives the same labels whichever door it comes through."""

import io

import numpy as np
import pytest
import tensorflow as tf
import tiny_run
from PIL import Image

from deeplab_tf import load, runs
from deeplab_tf.data.conversion import pictures
from deeplab_tf.data.conversion.png import encode_png
from deeplab_tf.errors import UserError
from deeplab_tf.export import keras_file, saved_model
from deeplab_tf.export.tflite import converter
from deeplab_tf.inference import drawing, images

pytestmark = pytest.mark.usefixtures("shallow_resnet")

SIZE = 40, 56
RGB = tiny_run.pictures(*SIZE)[0]
GREY = np.uint8(RGB.mean(-1))
ALPHA = np.uint8(np.arange(RGB[..., 0].size).reshape(SIZE) % 256)
DEEP = np.uint16(RGB) << 8 | 0x80


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def turned():
    exif = Image.Exif()
    exif[0x0112] = 6  # by a quarter
    upright = Image.fromarray(np.ascontiguousarray(np.rot90(RGB)))
    return encoded(upright, "JPEG", quality=95, exif=exif)


def palette(**options):
    return encoded(Image.fromarray(RGB).quantize(64), **options)


# The bytes of a file, and the array that a user makes of the same pixels; None: what
# Pillow shows, turned and without its palette.
FILES = {
    "plain": (encoded(Image.fromarray(RGB)), RGB),
    "turned by EXIF": (turned(), None),
    "grey": (encoded(Image.fromarray(GREY)), GREY),
    "grey and alpha": (
        encoded(Image.merge("LA", [*map(Image.fromarray, (GREY, ALPHA))])),
        np.dstack([GREY, ALPHA]),
    ),
    "alpha": (
        encoded(Image.fromarray(np.dstack([RGB, ALPHA]))),
        np.dstack([RGB, ALPHA]),
    ),
    "palette": (palette(), None),
    "palette, one colour transparent": (palette(transparency=3), None),
    "16 bits": (encode_png(DEEP), DEEP),
    "grey of 16 bits": (encode_png(DEEP[..., :1]), DEEP[..., 0]),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("doors")
    return runs.open_run(str(tiny_run.write(folder, tiny_run.FEW_LAYERS)))


@pytest.fixture(scope="module")
def exports(run):
    """The run folder and its exports, loaded."""
    model, folder = runs.load_model(run), run.path.parent
    saved_model.save(model, run, folder / "saved_model")
    keras_file.save(model, run, folder / "model.keras")
    (folder / "model.tflite").write_bytes(converter.convert(model, run, [(65, 65)]))
    paths = [run.path, folder / "saved_model", folder / "model.keras"]
    paths.append(folder / "model.tflite")
    try:
        from deeplab_tf.export import onnx_file

        (folder / "model.onnx").write_bytes(onnx_file.convert(model, run))
        paths.append(folder / "model.onnx")
    except UserError:  # the extra is not installed
        pass
    return {path.name: load(path) for path in paths}


@pytest.fixture(scope="module")
def serve(exports, run):
    folder = run.path.parent / "saved_model"
    return tf.saved_model.load(str(folder)).signatures["serving_bytes"]


def stored(content, info):
    """What training would read of the image after conversion."""
    kept = pictures.read_picture(content, "x", info, None)
    return tf.io.decode_jpeg(kept.encoded, 3, dct_method="INTEGER_ACCURATE").numpy()


@pytest.mark.parametrize("name", FILES)
def test_every_door_gives_the_same_labels(name, run, exports, serve, tmp_path):
    content, array = FILES[name]
    path = tmp_path / "images" / "x.img.png"
    path.parent.mkdir()
    path.write_bytes(content)
    pillow = Image.open(io.BytesIO(content))
    doors = {
        "path": str(path),
        "bytes": content,
        "Pillow": pillow,
        "array": images.read(content, 3) if array is None else array,
    }
    expected = stored(content, run.info)
    for door, given in doors.items():
        np.testing.assert_array_equal(images.read(given, 3), expected, err_msg=door)
    ((_, drawn, _),) = drawing.read_pictures(str(path.parent))
    np.testing.assert_array_equal(drawn, expected)
    segmenter = exports["run"]
    labels = segmenter.predict(expected)
    np.testing.assert_array_equal(segmenter.predict(pillow), labels)
    served = serve(contents=tf.constant([content]))["labels"][0].numpy()
    assert served.shape == labels.shape
    assert (served == labels).mean() > 0.998


def floats(low, high):
    return np.linspace(low, high, RGB.size).reshape(RGB.shape)


BAD = {
    "object": (np.array([[None]]), "must hold numbers.*received type object"),
    "text": (np.array([["a"]]), "must hold numbers.*received type <U1"),
    "bool": (GREY > 9, "must hold numbers.*received type bool"),
    "complex": (GREY * 1j, "must hold numbers.*received type complex128"),
    "uneven list": ([[1], [2, 3]], "must be an array of numbers"),
    "no rows": (RGB[:0], r"must be \[height, width, 3\].*\[0, 56, 3\]"),
    "no columns": (RGB[:, :0], r"must be \[height, width, 3\].*\[40, 0, 3\]"),
    "five channels": (np.dstack([RGB, RGB])[..., :5], r"\[40, 56, 5\]"),
    "a batch": (RGB[None], r"must be \[height, width, 3\].*\[1, 40, 56, 3\]"),
    "a row": (RGB[0, 0], r"must be \[height, width, 3\].*\[3\]"),
    "NaN": (np.where(RGB > 99, np.nan, RGB), r"in 0\.\.255.*received nan\.\.nan"),
    "infinite": (np.where(RGB > 99, np.inf, RGB), r"in 0\.\.255.*\.\.inf"),
    "0..1": (floats(0, 1), r"received 0\.\.1 of type float64.*multiply it by 255"),
    "-1..1": (floats(-1, 1), r"not normalised; received -1\.\.1"),
    "0..65535": (floats(0, 65535), r"in 0\.\.255.*received 0\.\.65535"),
    "negative": (np.int64(RGB) - 9, r"in 0\.\.255.*of type int64"),
    "12 bits in 16": (np.uint16(RGB) << 3, "upper 8 bits of 16 are no picture"),
    "no picture": (
        b"text",
        "the bytes: cannot be decoded: no format that Pillow knows",
    ),
    "missing": ("gone.png", r"gone\.png: cannot be read \(.*No such file"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_image_is_refused_by_all_in_the_same_words(name, exports):
    given, message = BAD[name]
    told = set()
    for segmenter in exports.values():
        with pytest.raises(UserError, match=message) as caught:
            segmenter.predict(given)
        told.add(str(caught.value))
    assert len(told) == 1
    assert "\n" not in told.pop()


@pytest.mark.parametrize("name", [n for n in BAD if isinstance(BAD[n][0], np.ndarray)])
def test_opened_exports_refuse_the_same(name, exports):
    given, message = BAD[name]
    for path, segmenter in exports.items():
        if path != "run":
            with pytest.raises(UserError, match=message):
                segmenter._predict.labels([given])


def test_an_image_is_no_batch(exports):
    with pytest.raises(UserError, match=r"must be a batch.*\[40, 56, 3\]"):
        exports["model.keras"]._predict.labels(RGB)


SAME = {
    "int64": np.int64(RGB),
    "float64": np.float64(RGB),
    "float32": np.float32(RGB),
    "lists": RGB.tolist(),
    "strides": np.ascontiguousarray(RGB[::-1, ::-1])[::-1, ::-1],
    "tensor": tf.constant(RGB),
    "Fortran": np.asfortranarray(RGB),
}


@pytest.mark.parametrize("name", SAME)
def test_arrays_of_other_kinds_are_the_same_image(name, exports):
    for path, segmenter in exports.items():
        labels = segmenter.predict(SAME[name])
        np.testing.assert_array_equal(labels, segmenter.predict(RGB), err_msg=path)


def test_a_black_image_is_an_image():
    black = np.zeros((4, 5, 3), np.float32)
    np.testing.assert_array_equal(images.read(black, 3), black)


def test_channels_of_the_model_decide():
    np.testing.assert_array_equal(images.read(GREY, 1)[..., 0], GREY)
    grey = np.asarray(Image.fromarray(RGB).convert("L"))
    np.testing.assert_array_equal(images.read(RGB, 1)[..., 0], grey)
    with pytest.raises(UserError, match="has no fourth channel"):
        images.read(RGB, 4)
    with pytest.raises(UserError, match="the 5 channels that the model takes"):
        images.read(FILES["plain"][0], 5)
    five = np.dstack([RGB, RGB])[..., :5]
    np.testing.assert_array_equal(images.read(five, 5), five)


def test_pixels_of_more_bits_stay_fine():
    """Runs of 16 bits see 0..65535 as 0..255 with a fraction."""
    np.testing.assert_allclose(images.read(DEEP, 3, 16), DEEP / 257.0, rtol=1e-6)
    dark = np.float32(RGB) / 255
    np.testing.assert_array_equal(images.read(dark, 3, 32), dark)


def test_what_is_given_stays_as_it_is(run):
    image = Image.open(io.BytesIO(FILES["palette, one colour transparent"][0]))
    before = dict(image.info)
    load(run.path).predict(image)
    assert image.mode == "P"
    assert image.info == before


def listed(folder, name, text):
    (folder / name).write_text(text)
    return images.find(str(folder / name))


def test_a_list_of_images_is_taken_in_its_order(tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    paths = [tmp_path / "in" / name for name in ("b.png", "a.png")]
    for path in paths:
        path.write_bytes(encoded(Image.fromarray(RGB)))
    assert listed(tmp_path, "list.txt", "in/b.png\n\nin/a.png\n") == paths
    assert listed(tmp_path, "list.csv", "rank,image\n1,in/b.png\n2,in/a.png") == paths
    monkeypatch.chdir(tmp_path)  # as seen from where the command runs
    found = listed(tmp_path / "in", "list.txt", "in/b.png")
    assert [path.resolve() for path in found] == paths[:1]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("list.txt", "c.png", "list.txt: names 'c.png', which is no file"),
        ("list.txt", "\n", "list.txt: lists no picture"),
        ("list.csv", "rank,name\n1,c.png", "no column 'image'; it has rank, name"),
    ],
)
def test_a_list_that_is_none_is_told(name, text, message, tmp_path):
    with pytest.raises(UserError, match=message):
        listed(tmp_path, name, text)
