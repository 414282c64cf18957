"""Pictures and labels as the world has them: kept, repaired with a note, or refused."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from deeplab_tf.data import records
from deeplab_tf.data.conversion.labels import read_label
from deeplab_tf.data.conversion.pictures import read_picture
from deeplab_tf.data.conversion.png import encode_png
from deeplab_tf.data.conversion.samples import INDICES, Coding, SampleError
from deeplab_tf.data.dataset_info import DatasetInfo

INFO = DatasetInfo(name="any", class_names=tuple(f"class {i}" for i in range(21)))
RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (20, 31, 3)).astype(np.uint8)
LABELS = RNG.choice([0, 1, 7, 20, 255], (20, 31)).astype(np.uint8)

# What becomes of each file of the folder odd_images, as a picture: the kinds of its
# notes, or the kind of the refusal.
ODD = {
    "pil_16_bit_noise.tif": "16_bit",
    "pil_1_trns.png": ["alpha", "palette"],
    "pil_broken.png": "unreadable_image",
    "pil_broken_exif_dpi.jpg": [],
    "pil_comment.jp2": ["format", "grey"],
    "pil_dispose_none.gif": ["format", "frames", "palette"],
    "pil_exif_typeerror.jpg": [],
    "pil_hopper.Lab.tif": ["color", "format"],
    "pil_hopper.bmp": ["format"],
    "pil_hopper.webp": ["format"],
    "pil_hopper_16bit_qtables.jpg": [],
    "pil_hopper_bad_exif.jpg": ["grey", "odd_file"],
    "pil_hopper_gray.jpg": ["grey"],
    "pil_hopper_idat_after_image_end.png": [],
    "pil_hopper_orientation_2.jpg": ["exif"],
    "pil_hopper_orientation_6.jpg": ["exif"],
    "pil_hopper_orientation_8.jpg": ["exif"],
    "pil_hopper_rle8_row_overflow.bmp": ["format", "palette"],
    "pil_icc_profile_big.jpg": ["color_profile"],
    "pil_invalid-exif.jpg": [],
    "pil_itxt_chunks.png": [],
    "pil_junk_jpeg_header.jpg": [],
    "pil_l_trns.png": ["alpha", "grey"],
    "pil_mode_16bit.png": ["16_bit", "alpha", "frames"],
    "pil_orientation_rectangle.jpg": ["exif"],
    "pil_p_16.png": ["alpha"],
    "pil_pil123rgba.png": ["alpha"],
    "pil_png_decompression_dos.png": "unreadable_image",
    "pil_rgb_trns.png": ["alpha"],
    "pil_sugarshack.mpo": ["frames"],
    "vips_cd1.1.jpg": ["grey"],
    "vips_cd4.2.jpg": ["grey"],
    "vips_indexed.png": ["palette"],
    "vips_rotation_6.jpg": ["exif"],
    "vips_sample-xyb.jpg": ["color_profile"],
    "vips_sample.jpg": ["color_profile"],
    "vips_truncated.jpg": "unreadable_image",
}


def encoded(pixels, kind="PNG", mode=None, **options):
    buffer = io.BytesIO()
    image = Image.fromarray(pixels)
    image = image if mode is None else image.convert(mode)
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def decoded(data, channels=3, bits=8):
    """What training sees: the parser's own decoding of the stored bytes."""
    example = records.encode_example(
        filename="x", image=data, image_format="", size=(0, 0), channels=3, label=None
    )
    parser = records.make_parser(channels=channels, has_labels=False, bits=bits)
    return parser(tf.constant(example))["image"].numpy()


def picture(data, info=INFO, label_size=None):
    return read_picture(data, "a.xyz", info, label_size)


def kinds(read):
    return sorted(kind for kind, _ in read.notes)


def check_odd(data, expected):
    """Notes of these kinds and Pillow's pixels, or a refusal of that kind."""
    if isinstance(expected, str):
        with pytest.raises(SampleError, match=r"^a\.xyz: ") as error:
            picture(data)
        assert error.value.kind == expected
        return
    read = picture(data)
    assert kinds(read) == expected
    pixels = decoded(read.encoded)
    assert pixels.shape == (*read.size, 3)
    seen = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    seen.info.pop("transparency", None)
    np.testing.assert_array_equal(pixels, np.asarray(seen.convert("RGB")))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_odd_pictures(shared_dir):
    folder = shared_dir / "data" / "odd_images"
    assert {p.name for p in folder.iterdir()} - {"NOTES.tsv"} == set(ODD)
    for name, expected in ODD.items():
        check_odd((folder / name).read_bytes(), expected)


def made_pictures():
    """Stand-ins of Pillow's own making for the kinds of odd files."""
    frames = [Image.fromarray(np.roll(RGB, i, 1)) for i in (0, 3)]
    moving = {"save_all": True, "append_images": frames[1:]}
    exif = Image.Exif()
    yield "bmp", encoded(RGB, "BMP"), ["format"]
    yield "webp", encoded(RGB, "WEBP", lossless=True), ["format"]
    yield "jpeg 2000", encoded(RGB[..., 0], "JPEG2000"), ["format", "grey"]
    yield "gif", encoded(RGB, "GIF", "P", **moving), ["format", "frames", "palette"]
    yield "mpo", encoded(RGB, "MPO", **moving), ["frames"]
    yield "palette bmp", encoded(RGB, "BMP", "P"), ["format", "palette"]
    for turn in range(2, 9):
        exif[0x0112] = turn
        yield f"orientation {turn}", encoded(RGB, "JPEG", exif=exif), ["exif"]
    profile = b"\0" * 128 + b"of a camera"
    yield "profile", encoded(RGB, "JPEG", icc_profile=profile), ["color_profile"]
    alpha = np.dstack([RGB, RGB[..., :1]])
    yield "alpha", encoded(alpha), ["alpha"]
    yield "grey", encoded(RGB[..., 0], "JPEG"), ["grey"]
    yield "grey and alpha", encoded(alpha, mode="LA"), ["alpha", "grey"]
    yield "transparent", encoded(RGB, transparency=(1, 2, 3)), ["alpha"]
    yield "cut off", encoded(RGB, "JPEG")[:400], "unreadable_image"
    yield "a text", b"no picture at all", "unreadable_image"
    yield "a broken PNG", encoded(RGB)[:60], "unreadable_image"


@pytest.mark.parametrize(
    ("data", "expected"),
    [pytest.param(*case, id=name) for name, *case in made_pictures()],
)
def test_made_pictures(data, expected):
    check_odd(data, expected)


def test_odd_labels_are_refused(shared_dir):
    """None of them is a label, but the one of 1 bit a pixel may be."""
    for path in (shared_dir / "data" / "odd_images" / name for name in ODD):
        data = path.read_bytes()
        if path.name == "pil_1_trns.png":
            raw = np.asarray(Image.open(io.BytesIO(data)))
            np.testing.assert_array_equal(label_of(data)[0], raw)
            continue
        with pytest.raises(SampleError, match=r"^a\.png: ") as error:
            label_of(data)
        kinds = ("unreadable_label", "not_indices", "label_value")
        assert error.value.kind in kinds, path


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_fine_file_keeps_its_bytes(kind):
    data = encoded(RGB, kind)
    read = picture(data)
    assert (read.encoded, read.format, read.notes) == (data, kind.lower(), ())
    assert read.size == (20, 31)


@pytest.mark.parametrize("orientation", range(2, 9))
def test_exif_turns_the_picture_with_its_label(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(RGB, "PNG", exif=exif)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    read = picture(data, label_size=upright.shape[:2])
    assert kinds(read) == ["exif"]
    np.testing.assert_array_equal(decoded(read.encoded), upright)


def test_exif_is_dropped_where_only_the_raw_pixels_fit_the_label():
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(RGB, "PNG", exif=exif)
    read = picture(data, label_size=(20, 31))
    assert "dropped" in read.notes[0][1]
    np.testing.assert_array_equal(decoded(read.encoded), RGB)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_png_of_a_photograph_holds_its_pixels(dtype, channels):
    smooth = np.linspace(0, np.iinfo(dtype).max, 7 * 9 * channels)
    pixels = smooth.reshape(7, 9, channels)[::-1].astype(dtype)
    data = encode_png(pixels, photograph=True)
    decoded = tf.io.decode_png(data, dtype=tf.as_dtype(dtype))
    np.testing.assert_array_equal(decoded, pixels)


@pytest.mark.parametrize("place", [-20, 16 + 13 + 3, -1])  # of IDAT, IHDR, IEND
def test_png_that_only_pillow_reads_is_refused(place):
    data = bytearray(encoded(RGB[:, :, 0]))
    data[place] ^= 1
    cut = encoded(LABELS)[:-12]
    long = bytearray(encoded(LABELS))
    long[-10] = 1  # a length that the file does not have
    for read in (picture, label_of):
        with pytest.raises(SampleError, match=r"part I... has a wrong checksum"):
            read(bytes(data))
        for wrong in (cut, bytes(long)):
            with pytest.raises(SampleError, match="its end is missing"):
                read(wrong)


def test_jpeg_without_its_end_is_stored_anew():
    data = encoded(RGB, "JPEG")
    assert picture(data + b"anything").encoded == data + b"anything"
    read = picture(data[:-2] + bytes(20))
    assert read.notes == (("odd_file", "its end is missing; stored as PNG"),)
    np.testing.assert_array_equal(decoded(read.encoded), decoded(data))


def test_cmyk_is_turned_to_rgb():
    data = encoded(RGB, "TIFF", mode="CMYK")
    read = picture(data)
    assert kinds(read) == ["cmyk", "format"]
    np.testing.assert_array_equal(decoded(read.encoded), RGB)


def test_alpha_is_dropped_and_colours_stay():
    alpha = RNG.integers(0, 256, (20, 31, 1)).astype(np.uint8)
    read = picture(encoded(np.concatenate([RGB, alpha], axis=2)))
    assert kinds(read) == ["alpha"]
    np.testing.assert_array_equal(decoded(read.encoded), RGB)


@pytest.mark.parametrize("channels", [1, 3])
def test_16_bits_keep_the_upper_byte_or_all(channels):
    deep = RNG.integers(0, 1 << 16, (20, 31, channels)).astype(np.uint16)
    data = encode_png(deep)
    read = picture(data)
    assert "16_bit" in kinds(read)
    upper = np.broadcast_to(deep >> 8, (20, 31, 3))
    np.testing.assert_array_equal(decoded(read.encoded), upper)
    info = DatasetInfo(name="deep", class_names=("a",), channels=channels, bits=16)
    read = picture(data, info)
    assert (read.encoded, read.notes) == (data, ())
    expected = deep.astype(np.float32) / 257
    np.testing.assert_array_equal(decoded(read.encoded, channels, 16), expected)


def test_16_bits_that_hold_a_dark_picture_are_refused():
    dim = RNG.integers(0, 4096, (20, 31)).astype(np.uint16)
    with pytest.raises(SampleError, match=f"in {dim.min()}..{dim.max()}"):
        picture(encoded(dim))


@pytest.mark.parametrize(
    ("channels", "bits", "dtype"), [(4, 8, np.uint8), (5, 8, np.uint8), (6, 16, "u2")]
)
def test_arrays_of_any_channels(channels, bits, dtype):
    pixels = RNG.integers(0, 1 << bits, (20, 31, channels)).astype(dtype)
    info = DatasetInfo(name="n", class_names=("a",), channels=channels, bits=bits)
    read = picture(pixels, info)
    assert read.format == ("png" if channels == 4 else "raw")
    if read.format == "raw":
        assert read.encoded == pixels.tobytes()
    else:
        np.testing.assert_array_equal(decoded(read.encoded, channels), pixels)
    with pytest.raises(SampleError, match=rf"\[H, W, {channels}\]"):
        picture(pixels[:, :, :2], info)


def test_float_arrays_in_range():
    info = DatasetInfo(name="n", class_names=("a",), bits=32)
    pixels = RNG.uniform(0, 255, (20, 31, 3)).astype(np.float32)
    read = picture(pixels, info)
    assert read.format == "raw"
    assert read.encoded == pixels.tobytes()
    for wrong in (np.nan, np.inf, -1, 256):
        broken = pixels.copy()
        broken[3, 4, 1] = wrong
        with pytest.raises(SampleError, match=r"must be in 0\.\.255; received"):
            picture(broken, info)
    with pytest.raises(SampleError, match=r"pixels must be float32 \[H, W, 3\]"):
        picture(pixels.astype(np.float64), info)
    with pytest.raises(SampleError, match=r"3 channels of 32 bits.*\.npy"):
        picture(b"any file", info)


def label_of(content, coding=INDICES, info=INFO):
    label = read_label(content, "a.png", info, coding)
    return decoded(label.encoded, channels=1)[:, :, 0], label


def test_palette_label_gives_indices_and_keeps_its_compressed_data():
    image = Image.fromarray(LABELS)
    image.putpalette(bytes(RNG.integers(0, 256, 768).astype(np.uint8)))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    assert image.mode == "P"
    labels, label = label_of(buffer.getvalue())
    np.testing.assert_array_equal(labels, LABELS)
    data = buffer.getvalue()
    start = data.index(b"IDAT")
    (length,) = np.frombuffer(data[start - 4 : start], ">u4")
    assert data[start : start + 4 + length] in label.encoded
    assert label.counts == {
        str(value): int((value == LABELS).sum()) for value in np.unique(LABELS)
    }


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_small_palette_label(bits):
    raw = RNG.integers(0, 1 << bits, (20, 31)).astype(np.uint8)
    image = Image.fromarray(raw)
    image.putpalette(bytes(range(256)) * 3)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", bits=bits)
    np.testing.assert_array_equal(label_of(buffer.getvalue())[0], raw)


def test_16_bit_label_and_values_by_table():
    raw = RNG.choice([0, 7000, 26000], (20, 31)).astype(np.uint16)
    coding = Coding.of(values={0: 255, 7000: 0, 26000: 1})
    expected = np.where(raw == 0, 255, np.where(raw == 7000, 0, 1))
    np.testing.assert_array_equal(label_of(encoded(raw), coding)[0], expected)
    raw[4, 5] = 7001
    with pytest.raises(SampleError, match="holds 7001; only the values of the map"):
        label_of(encoded(raw), coding)


def test_colour_mask_by_table():
    table = {(128, 64, 128): 0, (0, 0, 0): 255, (0, 0, 1): 4}
    choice = RNG.integers(0, 3, (20, 31))
    mask = np.array(list(table), np.uint8)[choice]
    expected = np.array(list(table.values()))[choice]
    coding = Coding.of(colors=table)
    np.testing.assert_array_equal(label_of(encoded(mask), coding)[0], expected)
    mask[3, 3] = (1, 2, 3)
    with pytest.raises(SampleError, match="colours without a class: 1,2,3") as error:
        label_of(encoded(mask), coding)
    assert error.value.kind == "unknown_color"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (encoded(LABELS, "JPEG"), "JPEG changes values"),
        (encoded(RGB), "its mode is RGB"),
        (encoded(np.full((3, 4), 21, np.uint8)), "holds 21; allowed are 0..20"),
        (np.zeros((3, 4), np.float32), "must be integers"),
        (np.full((3, 4), -1), "holds -1"),
        (encoded(LABELS)[:-30], "cannot be decoded"),
    ],
)
def test_label_that_would_silently_be_wrong(content, message):
    with pytest.raises(SampleError, match=message):
        read_label(content, "a.png", INFO, INDICES)
