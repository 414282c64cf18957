"""Pictures and masks without a tool: how they are found, and what is said of them."""

import json
import os

import numpy as np
import pytest
from conversion_runs import convert as convert_by_command
from conversion_runs import examples
from label_layouts import (
    SIZE,
    check,
    decoded,
    inside,
    labels_of,
    mask,
    opened,
    picture,
    truth,
    write,
)

from deeplab_tf.data import conversion, sources
from deeplab_tf.errors import UserError

NAMED = {"class_names": ["background", "road", "car"]}


@pytest.mark.parametrize(
    ("image", "label", "splits"),
    [
        ("images/{}.jpg", "masks/{}.png", None),
        ("Images/{}.JPG", "Ground_Truth/{}.PNG", None),
        ("JPEGImages/{}.jpg", "Annotations/{}.png", None),
        ("data/input/{}.png", "data/target/{}.png", None),
        ("deep/er/imgs/seq 1/{}.jpg", "deep/er/gt/seq 1/{}.png", None),
        ("{}.jpg", "{}_mask.png", None),
        ("{}.jpg", "{}-label.png", None),
        ("{}.png", "{}_gt.png", None),
        ("pictures/{}_sat.jpg", "masks/{}_mask.png", None),
        ("images/img_{}.jpg", "masks/mask_{}.png", None),
        ("img/{}.png", "lbl/{}_lbl.png", None),
        ("train/photo/{}.jpg", "train/ann/{}.png", ["train"]),
        # No word tells; what lies in the folders does.
        ("field/{}.jpg", "done/{}.png", None),
        ("images/{}.jpg", "labels/{}_label.png", None),
        ("images/train/{}.jpg", "masks/train/{}.png", ["train"]),
        ("training/images/{}.jpg", "training/labels/{}.png", ["train"]),
        ("valid/{}.jpg", "valid/{}_mask.png", ["val"]),
        ("train/{}.jpg", "train_labels/{}.png", ["train"]),
        ("train/{}.jpg", "trainannot/{}.png", ["train"]),
        ("train_images/{}.jpg", "train_masks/{}.png", ["train"]),
    ],
)
def test_pictures_and_masks_find_each_other(tmp_path, image, label, splits):
    for name in ("a1", "b 2"):
        picture(tmp_path / image.format(name))
        mask(tmp_path / label.format(name))
    write(tmp_path / "notes.txt", "these are my pictures\n")
    write(tmp_path / "classes.json", NAMED)
    source = opened(tmp_path, **({} if splits else {"val_fraction": 0}))
    check(source, "folder", dict.fromkeys(splits or ["train"], 2))


def test_an_archive_in_an_archive(tmp_path):
    picture(tmp_path / "export (1)" / "mine" / "images" / "a.jpg")
    mask(tmp_path / "export (1)" / "mine" / "masks" / "a.png")
    picture(tmp_path / "__MACOSX" / "images" / "a.jpg")
    source = opened(tmp_path, val_fraction=0)
    assert source.source_dir == str(tmp_path / "export (1)" / "mine")
    assert len(source.samples("train")) == 1


def test_two_masks_for_a_picture_are_asked_about(tmp_path):
    picture(tmp_path / "images" / "a.jpg")
    mask(tmp_path / "masks" / "a.png")
    mask(tmp_path / "segmentation" / "a.png")
    with pytest.raises(UserError, match="--label_folder=NAME or --label_suffix"):
        opened(tmp_path).info()
    source = opened(tmp_path, label_folder="masks", image_folder="images")
    assert source.samples("train")[0].label_path.endswith("masks/a.png")


def test_what_is_told_need_not_be_seen(tmp_path):
    """Both folders hold masks by their look: grey pictures of few values."""
    for name in ("a", "b"):
        mask(tmp_path / "one" / f"{name}.png")
        mask(tmp_path / "other" / f"{name}_x.png")
    with pytest.raises(UserError, match=r"Nearest: folder .*--image_folder"):
        opened(tmp_path)
    told = {"image_folder": "one", "label_folder": "other", "label_suffix": "_x"}
    first, _ = opened(tmp_path, **told, val_fraction=0).samples("train")
    assert first.label_path.endswith("other/a_x.png")


def test_why_no_mask_can_be_read(tmp_path):
    picture(tmp_path / "images" / "a.jpg")
    picture(tmp_path / "masks" / "a.jpg")
    with pytest.raises(UserError, match=r"masks/a\.jpg: JPEG changes values; save"):
        opened(tmp_path).info()


@pytest.mark.parametrize(
    ("raw", "names", "classes", "said"),
    [
        ([0, 255, 255], ["background", "foreground"], [0, 1, 1], "0 and 255 alone"),
        ([0, 1, 1], ["background", "foreground"], [0, 1, 1], "names are invented"),
        (
            [0, 1, 255],
            ["background", "foreground"],
            [0, 1, 255],
            "255 is taken as void",
        ),
        ([0, 128, 255], ["class_0", "class_128", "class_255"], [0, 1, 2], "invented"),
        ([7, 11, 26], ["class_7", "class_11", "class_26"], [0, 1, 2], '"7": "class_7"'),
    ],
)
@pytest.mark.parametrize("kind", ["grey", "three equal channels"])
def test_classes_by_the_values_found(tmp_path, raw, names, classes, said, kind):
    pixels = np.array(raw, np.uint8)[truth()]
    picture(tmp_path / "images" / "a.jpg")
    if kind != "grey":
        pixels = np.repeat(pixels[:, :, None], 3, axis=2)
    mask(tmp_path / "masks" / "a.png", pixels)
    source = opened(tmp_path, val_fraction=0)
    info = source.info()
    assert list(info.class_names) == names
    labels = decoded(source.samples("train")[0], info)
    np.testing.assert_array_equal(labels, np.array(classes)[truth()])
    assert any(said in note for note in source.notes())


def test_a_value_that_only_rings_objects_is_pointed_out(tmp_path):
    labels = np.full(SIZE, 2, np.uint8)  # as in the Oxford pets' trimaps
    labels[8:32, 8:40] = 3
    labels[11:29, 11:37] = 1
    picture(tmp_path / "images" / "a.jpg")
    mask(tmp_path / "masks" / "a.png", labels)
    notes = opened(tmp_path, val_fraction=0).notes()
    rings = [note for note in notes if "only rings objects" in note]
    assert len(rings) == 1
    assert rings[0].startswith("value 3 ")


def test_palette_masks_keep_their_colours(tmp_path):
    palette = [10, 20, 30, 200, 0, 0, 0, 0, 200] + [0] * 759
    picture(tmp_path / "images" / "a.jpg")
    mask(tmp_path / "masks" / "a.png", palette=palette)
    info = opened(tmp_path, val_fraction=0).info()
    assert info.colormap == ((10, 20, 30), (200, 0, 0), (0, 0, 200))


def test_colours_are_listed_and_named_by_a_table(tmp_path):
    colors = np.array([(0, 0, 0), (128, 64, 128), (0, 0, 142)], np.uint8)
    picture(tmp_path / "images" / "a.jpg")
    mask(tmp_path / "masks" / "a.png", colors[truth()])
    source = opened(tmp_path, val_fraction=0)
    assert source.info().class_names == ("background", "color_00008e", "color_804080")
    assert any('"128,64,128": "color_804080"' in note for note in source.notes())
    table = "name,r,g,b\nbackground,0,0,0\nroad,128,64,128\ncar,0,0,142\n"
    write(tmp_path / "class_dict.csv", table)
    check(opened(tmp_path, val_fraction=0), "folder", {"train": 1})


def test_smoothed_colours_are_refused(tmp_path):
    picture(tmp_path / "images" / "a.jpg")
    picture(tmp_path / "masks" / "a.png")
    with pytest.raises(UserError, match="2,000 colours, too many for classes"):
        opened(tmp_path).info()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("classes.json", ["background", "road", "car"]),
        ("classes.txt", "background\r\nroad\r\ncar\r\n"),
        ("labels.txt", "0: background\n1: road\n2: car\n"),
        ("id2label.json", {"0": "background", "1": "road", "2": "car"}),
    ],
)
def test_lists_of_names(tmp_path, name, content):
    picture(tmp_path / "images" / "a.jpg")
    mask(tmp_path / "masks" / "a.png")
    write(tmp_path / name, content)
    check(opened(tmp_path, val_fraction=0), "folder", {"train": 1})


def test_values_that_are_only_ignored_leave_the_others(tmp_path):
    labels = truth()
    labels[0] = 11
    picture(tmp_path / "images" / "a.jpg")
    mask(tmp_path / "masks" / "a.png", labels)
    write(tmp_path / "classes.json", NAMED)
    sample = opened(tmp_path, val_fraction=0).samples("train")[0]
    with pytest.raises(Exception, match=r'holds 11; .* "values": \{"11": "ignore"\}'):
        decoded(sample, opened(tmp_path).info())
    write(tmp_path / "classes.json", NAMED | {"values": {"11": "ignore"}})
    found = labels_of(opened(tmp_path, val_fraction=0))["train"]["a"]
    np.testing.assert_array_equal(found, np.where(labels == 11, 255, labels))


# --- links, and names that are no text


def test_links_to_folders_are_followed_without_circles(tmp_path):
    for kind, ending in (("images", "jpg"), ("masks", "png")):
        make = picture if kind == "images" else mask
        make(tmp_path / "elsewhere" / kind / f"b.{ending}")
        make(tmp_path / "data" / kind / "train" / f"a.{ending}")
        folder = tmp_path / "data" / kind / "train"
        os.symlink(tmp_path / "elsewhere" / kind, folder / "more")
        os.symlink(folder, folder / "itself")
    write(tmp_path / "data" / "classes.json", NAMED)
    check(opened(tmp_path / "data"), "folder", {"train": 2})
    found = labels_of(opened(tmp_path / "data"))["train"]
    assert set(found) == {"a", "more/b"}


def test_a_name_that_is_not_utf_8(tmp_path):
    picture(tmp_path / "images" / "a.jpg")
    name = os.fsencode(tmp_path / "images") + b"/\xff.jpg"
    try:
        os.rename(os.fsencode(tmp_path / "images" / "a.jpg"), name)
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    with pytest.raises(UserError, match=r"\\xff\.jpg' is not UTF-8; rename it"):
        opened(tmp_path)


# --- lists and tables


def pairs(root, names=("a", "b 2")):
    for name in names:
        picture(root / "p" / f"{name}.jpg")
        mask(root / "l" / f"{name}.png")
    write(root / "classes.json", NAMED)


@pytest.mark.parametrize("separator", [" ", "\t", ", "])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_list_files(tmp_path, separator, encoding):
    pairs(tmp_path)
    lines = [f"p/{name}.jpg{separator}l/{name}.png" for name in ("a", "b 2")]
    text = "\r\n".join([*lines, "", ""])
    (tmp_path / "train.txt").write_bytes(text.encode(encoding))
    (tmp_path / "valid.txt").write_bytes(f"{lines[0]}\n".encode(encoding))
    check(opened(tmp_path), "lists", {"train": 2, "val": 1})


def test_list_files_of_bare_names(tmp_path):
    for name in ("a", "b"):
        picture(tmp_path / "images" / f"{name}.jpg")
        mask(tmp_path / "masks" / f"{name}.png")
    write(tmp_path / "classes.json", NAMED)
    write(tmp_path / "splits" / "train.txt", "a\n")
    write(tmp_path / "splits" / "val.txt", "b\n")
    check(opened(tmp_path), "lists", {"train": 1, "val": 1})


@pytest.mark.parametrize(
    "head",
    [
        "image,label,split",
        "image, Label , SPLIT",
        "Image;mask;subset",
        "file_name\tmask\tset",
    ],
)
def test_tables(tmp_path, head):
    pairs(tmp_path)
    separator = next(one for one in ",;\t" if one in head)
    rows = [["p/a.jpg", "l/a.png", "train"], ["p/b 2.jpg", "l/b 2.png", "Validation"]]
    lines = [head, *(separator.join(row) for row in rows)]
    write(tmp_path / "dataset.csv", "\ufeff" + "\r\n".join(lines))
    check(opened(tmp_path), "tables", {"train": 1, "val": 1})


def test_tables_name_the_columns_that_are_not_used(tmp_path):
    pairs(tmp_path)
    write(tmp_path / "my.csv", "image,mask,weather\np/a.jpg,l/a.png,rain\n")
    source = opened(tmp_path, val_fraction=0)
    check(source, "tables", {"train": 1})
    assert "my.csv: columns that are not used: weather." in source.notes()


def test_a_split_needs_all_labels_or_none(tmp_path):
    pairs(tmp_path)
    rows = "image,label,split\np/a.jpg,l/a.png,train\np/b 2.jpg,,train\n"
    write(tmp_path / "dataset.csv", rows)
    with pytest.raises(
        UserError, match=r"'train': 1 of 2 .*b 2\.jpg.*--unlabelled=train"
    ):
        opened(tmp_path).samples("train")
    samples = opened(tmp_path, unlabelled=["train"]).samples("train")
    assert [sample.label() for sample in samples] == [None, None]
    assert samples[0].image()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "dataset.csv",
            "image,mask_png\na.jpg,b.png\n",
            "no column of labels .* mask_png",
        ),
        ("dataset.csv", "picture_of,label\na.jpg,b.png\n", "no column of pictures"),
        ("dataset.csv", "image,label\n,b.png\n", "row 2: its cell 'image' is empty"),
        ("dataset.csv", "image,label\na.jpg,b.png,c\n", "row 2: has 3 cells"),
        ("dataset.csv", "image,image\na,b\n", "two columns have one name"),
        ("dataset.csv", "", "is empty"),
        ("dataset.csv", b"image,label\nf\xfcr.jpg,b.png\n", "line 2: is not UTF-8"),
        ("dataset.csv", b"image,label\na\0.jpg,b.png\n", "line 2: holds a NUL"),
        (
            "dataset.csv",
            "image,label\n" + "a" * (1 << 24) + "a,b\n",
            "as a table .*limit",
        ),
        ("train.txt", b"p/f\xfcr.jpg\n", "line 1: is not UTF-8"),
        ("train.txt", b"p/a.jpg\0 l/a.png\n", "line 1: holds a NUL"),
        ("train.txt", "p/a.jpg l/a.png x y\n", "line 1: must be 'picture label'"),
        (
            "train.txt",
            "p/a.jpg l/a.png\nnobody\n",
            "line 2: there is no picture 'nobody'",
        ),
    ],
)
def test_lists_and_tables_that_are_wrong(tmp_path, name, content, message):
    pairs(tmp_path)
    data = content if isinstance(content, bytes) else content.encode()
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError, match=message) as error:
        opened(tmp_path, name="folder").info()
    assert str(error.value).startswith(str(tmp_path / name))
    assert "\n" not in str(error.value)


# --- what is not known, and the whole command


def test_an_unknown_layout_says_what_was_found_and_the_nearest(tmp_path):
    write(tmp_path / "meta.json", {"classes": []})
    write(tmp_path / "videos" / "a.mp4", "x")
    with pytest.raises(UserError) as error:
        opened(tmp_path)
    line = str(error.value)
    assert "1 .json, 1 .mp4 in videos/" in line
    assert "Nearest: supervisely (Supervisely) lacks folders ann" in line
    assert "Looked for: " in line
    assert "\n" not in line


def test_two_layouts_at_once_are_asked_about(tmp_path):
    picture(tmp_path / "a.jpg")
    shapes = {"shapes": [], "imagePath": "a.jpg"}
    write(tmp_path / "a.json", shapes)
    coco = {"images": [], "annotations": [], "categories": []}
    write(tmp_path / "coco.json", coco)
    with pytest.raises(UserError, match=r"--dataset=coco_json .* or --dataset=labelme"):
        opened(tmp_path)


def test_every_layout_can_be_looked_for_in_an_empty_folder(tmp_path):
    with pytest.raises(UserError, match="It holds no files"):
        opened(tmp_path)


def test_convert_as_a_function(tmp_path, capsys):
    for name in "abcde":
        picture(tmp_path / "in" / "images" / f"{name}.jpg")
        mask(tmp_path / "in" / "masks" / f"{name}.png")
    info = conversion.convert(tmp_path / "in", tmp_path / "out", workers=1)
    assert info.splits["train"].num_examples == 4
    assert info.splits["val"].num_examples == 1
    said = capsys.readouterr().out
    assert "folders of pictures and masks (--dataset=folder)" in said
    assert "1 class_1" in said
    assert "splits: train 4, val 1" in said
    assert said.count("  <->  ") == 3
    with pytest.raises(UserError, match="--coarse is no option of folder"):
        conversion.convert(tmp_path / "in", tmp_path / "out2", coarse=True)


def test_masks_of_one_class_are_warned_of(tmp_path, capsys):
    for name in "ab":
        picture(tmp_path / "in" / "images" / f"{name}.jpg")
        pixels = (inside("car") * 255).astype(np.uint8)
        mask(tmp_path / "in" / "masks" / f"{name}.png", pixels)
    two = {"class_names": ["ground", "road"]}
    write(tmp_path / "in" / "classes.json", two)
    conversion.convert(tmp_path / "in", tmp_path / "out", workers=1)
    said = capsys.readouterr().out
    assert "only one class occurs, 'ground'" in said
    assert "pixels are 255, which is void here" in said
    assert '"values": {"0": "ground", "255": "road"}' in said
    cured = two | {"values": {"0": "ground", "255": "road"}}
    write(tmp_path / "in" / "classes.json", cured)
    conversion.convert(tmp_path / "in", tmp_path / "cured", workers=1)
    assert "only one class" not in capsys.readouterr().out


def test_the_command_needs_no_flag_but_the_folders(tmp_path):
    picture(tmp_path / "in" / "a.jpg")
    mask(tmp_path / "in" / "a_mask.png")
    done = convert_by_command(
        f"--source_dir={tmp_path / 'in'}", f"--output_dir={tmp_path / 'out'}"
    )
    assert "(--dataset=folder)" in done.stdout
    labels = examples(tmp_path / "out", "train")["a"]["labels"]
    np.testing.assert_array_equal(labels, truth())


def test_every_option_of_every_source_is_a_flag_of_auto():
    texts = sources.options_of("auto")
    for name in sources.names():
        assert set(sources.options_of(name)) <= set(texts)
    assert json.dumps(texts)
