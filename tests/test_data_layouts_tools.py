"""The exports of labelling tools, written here as their documentation says."""

import base64
import itertools
import json

import numpy as np
import pytest
from label_layouts import (
    BOXES,
    RNG,
    SIZE,
    bitmap,
    check,
    corners,
    decoded,
    inside,
    labels_of,
    mask,
    opened,
    picture,
    png,
    truth,
    write,
)

from deeplab_tf.data.conversion.regions import Region, draw
from deeplab_tf.data.conversion.samples import SampleError
from deeplab_tf.errors import UserError

BOTH = tuple(BOXES)

# --- labelme


def labelme_shape(name, kind="polygon"):
    _, bottom, _, right = BOXES[name]
    if kind == "mask":
        text, origin = bitmap(name, compressed=False)
        end = [right - 1, bottom - 1]
        return {
            "label": name,
            "shape_type": kind,
            "points": [origin, end],
            "mask": text,
        }
    points = corners(name)
    points = [points[2], points[0]] if kind == "rectangle" else points
    return {"label": name, "shape_type": kind, "points": points, "group_id": 1}


def labelme_file(path, kind="polygon", **more):
    shapes = [labelme_shape(name, kind) for name in BOTH]
    content = {"version": "5.4.1", "shapes": shapes, "imagePath": f"{path.stem}.jpg"}
    content |= {"imageHeight": SIZE[0], "imageWidth": SIZE[1], "imageData": None}
    write(path, content | more)


@pytest.mark.parametrize("kind", ["polygon", "rectangle", "mask"])
def test_labelme_shapes(tmp_path, kind):
    for name in ("a b", "b"):
        picture(tmp_path / f"{name}.jpg")
        labelme_file(tmp_path / f"{name}.json", kind)
    picture(tmp_path / "nobody.jpg")
    source = opened(tmp_path, val_fraction=0)
    check(source, "labelme", {"train": 2})
    assert any("1 pictures without a JSON file" in note for note in source.notes())


def test_labelme_of_old_versions_in_nested_folders(tmp_path):
    """Upper-case endings, backslashes, null as shape type, pictures elsewhere."""
    for split in ("train", "val"):
        picture(tmp_path / "export" / split / "pics" / "A 1.JPG")
        shapes = [{**labelme_shape(name), "shape_type": None} for name in BOTH]
        path = tmp_path / "export" / split / "A 1.json"
        labelme_file(path, shapes=shapes, imagePath="..\\pics\\A 1.JPG")
    check(opened(tmp_path), "labelme", {"train": 1, "val": 1})


def test_labelme_embedded_picture_and_label_list(tmp_path):
    data = base64.b64encode(png(RNG.integers(0, 256, (*SIZE, 3)).astype(np.uint8)))
    labelme_file(tmp_path / "a.json", imageData=data.decode())
    ignored = {
        "label": "__ignore__",
        "shape_type": "rectangle",
        "points": [[0, 0], [3, 2]],
    }
    labelme_file(tmp_path / "b.json", imageData=data.decode(), shapes=[ignored])
    write(tmp_path / "labels.txt", "__ignore__\n_background_\ncar\nroad\n")
    source = opened(tmp_path, val_fraction=0)
    assert source.info().class_names == ("_background_", "car", "road")
    found = labels_of(source)["train"]
    np.testing.assert_array_equal(found["a"], truth())
    assert (found["b"][:3, :4] == 255).all()
    assert (found["b"] == 255).sum() == 12


@pytest.mark.parametrize(
    ("kind", "points", "pixels"),
    [
        ("circle", [[20, 20], [20, 30]], np.pi * 10.5**2),
        ("line", [[5, 20], [45, 20]], 41 * 10),
        ("linestrip", [[5, 20], [25, 20], [45, 20]], 41 * 10),
        ("point", [[20, 20]], np.pi * 5.5**2),
    ],
)
def test_labelme_shapes_without_area_of_their_own(kind, points, pixels):
    drawn = draw([Region(2, kind, points)], SIZE, "a") == 2
    assert abs(drawn.sum() - pixels) < 0.1 * pixels
    assert drawn[20, 20]


def test_labelme_broken_file_is_named(tmp_path):
    picture(tmp_path / "a.jpg")
    labelme_file(tmp_path / "a.json")
    write(tmp_path / "b.json", '{"shapes": [')
    with pytest.raises(UserError, match=r"b\.json: cannot be read as JSON"):
        opened(tmp_path).info()


@pytest.mark.parametrize("size", [[1 << 40, 50], [1 << 14, (1 << 14) + 1], [-5, 50]])
def test_labelme_of_an_absurd_size_is_one_bad_example(tmp_path, size):
    for name in ("a", "b"):
        picture(tmp_path / f"{name}.jpg")
        labelme_file(tmp_path / f"{name}.json")
    labelme_file(tmp_path / "b.json", imageHeight=size[0], imageWidth=size[1])
    source = opened(tmp_path)
    samples = {s.name: s for split in source.splits() for s in source.samples(split)}
    with pytest.raises(SampleError, match=r"b\.json.* pixels, they say; allowed are"):
        samples["b"].label()


@pytest.mark.parametrize(
    "changes",
    [
        {"categories": [3]},
        {"images": [{"id": 0, "file_name": "../a.jpg", "height": {}}]},
        {"categories": {"a": 1}},
    ],
)
def test_odd_values_in_a_file_are_one_line(tmp_path, changes):
    picture(tmp_path / "images" / "a.jpg")
    path = tmp_path / "annotations.json"
    coco_file(path, "polygons", ["a.jpg"])
    write(path, json.loads(path.read_text()) | changes)
    with pytest.raises(UserError) as error:
        opened(tmp_path).samples("train")
    assert str(tmp_path) in str(error.value)
    assert len(str(error.value).splitlines()) == 1


# --- CVAT and labelme2voc masks

COLORS = {"background": (0, 0, 0), "road": (128, 64, 128), "car": (0, 0, 142)}


def colored():
    return np.array(list(COLORS.values()), np.uint8)[truth()]


def labelmap():
    lines = [f"{name}:{r},{g},{b}::" for name, (r, g, b) in COLORS.items()]
    return "\n".join(["# label:color_rgb:parts:actions", *lines, ""])


@pytest.mark.parametrize("lists", [("default",), ("train", "Validation")])
def test_cvat_masks(tmp_path, lists):
    write(tmp_path / "labelmap.txt", labelmap())
    for subset in lists:
        name = f"{subset} 1"
        picture(tmp_path / "JPEGImages" / f"{name}.PNG")
        mask(tmp_path / "SegmentationClass" / f"{name}.png", colored())
        mask(tmp_path / "SegmentationObject" / f"{name}.png", colored())
        folder = tmp_path / "ImageSets" / "Segmentation"
        write(folder / f"{subset}.txt", f'"{name}"\r\n')
    splits = {"train": 1} if len(lists) == 1 else {"train": 1, "val": 1}
    source = opened(tmp_path, **({"val_fraction": 0} if len(lists) == 1 else {}))
    check(source, "voc_folders", splits)
    assert source.info().colormap == tuple(COLORS.values())


def test_cvat_pictures_without_a_mask_are_left_out(tmp_path):
    write(tmp_path / "labelmap.txt", labelmap())
    for name in ("a", "b"):
        picture(tmp_path / "JPEGImages" / f"{name}.jpg")
    mask(tmp_path / "SegmentationClass" / "a.png", colored())
    write(tmp_path / "ImageSets" / "Segmentation" / "default.txt", "a\nb\n")
    source = opened(tmp_path, val_fraction=0)
    check(source, "voc_folders", {"train": 1})
    said = "1 pictures without masks are left out, as 'JPEGImages/b.jpg'."
    assert said in source.notes()


def test_cvat_camvid(tmp_path):
    lines = [f"{r} {g} {b} {name}" for name, (r, g, b) in COLORS.items()]
    write(tmp_path / "label_colors.txt", "\n".join(lines))
    picture(tmp_path / "default" / "0001TP_006690.png")
    mask(tmp_path / "defaultannot" / "0001TP_006690.png", colored())
    check(opened(tmp_path, val_fraction=0), "folder", {"train": 1})


@pytest.mark.parametrize("listed", [True, False])
def test_voc_folders_of_two_splits(tmp_path, listed):
    for split in ("train", "val"):
        root = tmp_path / f"{split}_voc"
        picture(root / "JPEGImages" / "a.jpg")
        mask(root / "SegmentationClass" / "a.png")
        write(root / "class_names.txt", "_background_\nroad\ncar\n")
        if listed:
            write(root / "ImageSets" / "Segmentation" / f"{split}.txt", "a\n")
    check(opened(tmp_path), "voc_folders", {"train": 1, "val": 1})


@pytest.mark.parametrize("folder", ["SegmentationClass", "SegmentationClassPNG"])
def test_labelme2voc_masks_with_ignored_pixels(tmp_path, folder):
    write(tmp_path / "class_names.txt", "_background_\nroad\ncar\n")
    picture(tmp_path / "JPEGImages" / "a.jpg")
    labels = truth()
    labels[0] = 255
    mask(tmp_path / folder / "a.png", labels, palette=list(range(256)) * 3)
    mask(tmp_path / "SegmentationClassVisualization" / "a.png", colored())
    found = labels_of(opened(tmp_path, val_fraction=0))["train"]
    np.testing.assert_array_equal(found["a"], labels)


def test_labelme2voc_arrays(tmp_path):
    write(tmp_path / "class_names.txt", "__ignore__\n_background_\nroad\ncar\n")
    picture(tmp_path / "JPEGImages" / "a.jpg")
    labels = truth().astype(np.int32)
    labels[0] = -1
    (tmp_path / "SegmentationClass").mkdir()
    np.save(tmp_path / "SegmentationClass" / "a.npy", labels)
    found = labels_of(opened(tmp_path, val_fraction=0))["train"]["a"]
    np.testing.assert_array_equal(found, np.where(labels < 0, 255, labels))


# --- Roboflow


def test_roboflow_masks(tmp_path):
    for split in ("train", "valid"):
        write(
            tmp_path / split / "_classes.csv",
            "Pixel Value, Class\n0, background\n1, road\n2, car\n",
        )
        for name in ("a_jpg.rf.0c", "b_png.rf.1d"):
            picture(tmp_path / split / f"{name}.jpg")
            mask(tmp_path / split / f"{name}_mask.png")
        picture(tmp_path / split / "lonely.jpg")
    source = opened(tmp_path)
    check(source, "roboflow_masks", {"train": 2, "val": 2})
    assert "2 files without a partner are left out." in source.notes()


# --- COCO JSON


def run_lengths(pixels):
    """COCO's uncompressed counts: by columns, beginning with what is not set."""
    flat = pixels.T.ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    bounds = [0, *edges.tolist(), flat.size]
    counts = np.diff(bounds).tolist()
    return {"size": list(SIZE), "counts": [0, *counts] if flat[0] else counts}


def compressed_runs(pixels):
    from pycocotools import mask as coco_mask

    coded = coco_mask.encode(np.asfortranarray(pixels.astype(np.uint8)))
    return {"size": list(SIZE), "counts": coded["counts"].decode()}


SEGMENTATIONS = {
    "polygons": lambda name: [[v for point in corners(name, 0) for v in point]],
    "run lengths": lambda name: run_lengths(inside(name)),
    "compressed": lambda name: compressed_runs(inside(name)),
}


def coco_file(path, kind, images, order=BOTH, first_id=1, heading=False):
    categories = [{"id": first_id + i, "name": n} for i, n in enumerate(BOTH)]
    ids = {c["name"]: c["id"] for c in categories}
    if heading:  # as Roboflow has it
        categories = [{**c, "supercategory": "things"} for c in categories]
        categories.insert(0, {"id": 0, "name": "things", "supercategory": "none"})
    annotations = [
        {
            "id": 10 * number + ids[name],
            "image_id": number,
            "category_id": ids[name],
            "segmentation": SEGMENTATIONS[kind](name),
            "area": int(inside(name).sum()),
            "iscrowd": int(kind != "polygons"),
        }
        for number, _ in enumerate(images)
        for name in order
    ]
    entries = [
        {"id": number, "file_name": name, "height": SIZE[0], "width": SIZE[1]}
        for number, name in enumerate(images)
    ]
    write(
        path, {"images": entries, "annotations": annotations, "categories": categories}
    )


@pytest.mark.parametrize("kind", SEGMENTATIONS)
def test_coco_json_of_cvat(tmp_path, kind):
    for name in ("a 1.jpg", "b.JPG"):
        picture(tmp_path / "images" / "sub" / name)
    picture(tmp_path / "images" / "unlisted.png")
    names = ["sub/a 1.jpg", "sub\\b.JPG"]
    coco_file(tmp_path / "annotations" / "whatever.json", kind, names)
    source = opened(tmp_path, val_fraction=0)
    check(source, "coco_json", {"train": 2})
    assert any("'images/unlisted.png'" in note for note in source.notes())


def test_coco_json_of_roboflow(tmp_path):
    for split in ("train", "valid"):
        picture(tmp_path / split / "a.jpg")
        path = tmp_path / split / "_annotations.coco.json"
        coco_file(path, "polygons", ["a.jpg"], heading=True)
    source = opened(tmp_path)
    check(source, "coco_json", {"train": 1, "val": 1})
    assert source.info().class_names == ("background", "road", "car")


def test_coco_json_overlap_by_file_or_by_area(tmp_path):
    picture(tmp_path / "a.jpg")
    coco_file(tmp_path / "result.json", "polygons", ["a.jpg"], order=("car", "road"))
    on_top = labels_of(opened(tmp_path, val_fraction=0))["train"]["a"]
    assert (on_top[inside("road")] == 1).all()
    by_area = labels_of(opened(tmp_path, val_fraction=0, overlap="area"))["train"]["a"]
    smaller = min(BOTH, key=lambda name: inside(name).sum())
    assert (by_area[inside(smaller)] == 1 + BOTH.index(smaller)).all()
    with pytest.raises(UserError, match="overlap 'size'"):
        opened(tmp_path, overlap="size").info()


# --- Label Studio


def bits(value, width):
    return [value >> place & 1 for place in range(width - 1, -1, -1)]


def brush(pixels):
    """The run lengths of a brush: RGBA, here with one run of each kind."""
    rgba = np.repeat((pixels * 255).astype(np.uint8)[:, :, None], 4, axis=2).ravel()
    stream = bits(rgba.size, 32) + bits(7, 5)
    for width in (3, 4, 8, 16):
        stream += bits(width - 1, 4)
    edges = np.flatnonzero(np.diff(rgba)) + 1
    bounds = [0, 2, 5, *edges.tolist(), rgba.size]  # the first five in two other runs
    for start, end in itertools.pairwise(bounds):
        same = start != 2
        stream += [int(same), *((1, 1) if same else (0, 1))]
        stream += bits(end - start - 1, 16 if same else 4)
        for value in rgba[start : start + 1] if same else rgba[start:end]:
            stream += bits(int(value), 8)
    stream += [0] * (-len(stream) % 8)
    return np.packbits(np.array(stream, np.uint8)).tolist()


def studio_value(name, kind):
    top, bottom, left, right = BOXES[name]
    height, width = SIZE
    if kind == "brushlabels":
        return {"format": "rle", "rle": brush(inside(name))}
    if kind == "polygonlabels":
        points = [[100 * x / width, 100 * y / height] for x, y in corners(name)]
        return {"points": points, "closed": True}
    x, y = 100 * left / width, 100 * top / height
    w, h = 100 * (right - 1 - left) / width, 100 * (bottom - 1 - top) / height
    return {"x": x, "y": y, "width": w, "height": h, "rotation": 0}


def studio_region(name, kind, flat):
    value = studio_value(name, kind) | {kind: [name]}
    size = {"original_height": SIZE[0], "original_width": SIZE[1]}
    return value | size if flat else {"type": kind, "value": value, **size}


@pytest.mark.parametrize("kind", ["brushlabels", "polygonlabels", "rectanglelabels"])
@pytest.mark.parametrize("minimal", [False, True])
def test_label_studio_json(tmp_path, kind, minimal):
    picture(tmp_path / "images" / "0123abcd-a_b.jpg")
    picture(tmp_path / "images" / "c.jpg")
    places = ["/data/upload/1/0123abcd-a_b.jpg", "/data/local-files/?d=some%2Fc.jpg"]
    tasks = []
    for number, place in enumerate(places, start=1):
        regions = [studio_region(name, kind, minimal) for name in BOTH]
        if minimal:
            tasks.append({"id": number, "image": place, "tag": regions, "annotator": 1})
        else:
            old = {"id": 1, "result": []}
            new = {"id": 2, "result": regions, "was_cancelled": False}
            task = {"id": number, "data": {"picture": place}, "annotations": [old, new]}
            tasks.append(task)
    if not minimal:
        untouched = {"id": 3, "data": {"picture": "x.jpg"}, "annotations": []}
        tasks.append(untouched)
    write(tmp_path / "project-1.json", tasks)
    check(opened(tmp_path, val_fraction=0), "label_studio", {"train": 2})


@pytest.mark.parametrize("tag", ["1-tag", "ann-lee@x.org-my-tag", "7-label"])
def test_label_studio_brush_masks(tmp_path, tag):
    write(
        tmp_path / "tasks.json",
        [{"id": 7, "image": "/data/upload/3/89abcdef-a.jpg", "annotation_id": 12}],
    )
    picture(tmp_path / "a.jpg")  # as it was called before its upload
    for number, name in enumerate(BOTH):
        layer = inside(name) & (truth() == number + 1)
        path = f"task-7-annotation-12-by-{tag}-{name}-0.png"
        mask(tmp_path / "out" / path, (layer * 255).astype(np.uint8))
    mask(tmp_path / "out" / f"task-7-annotation-3-by-{tag}-car-0.png")
    check(opened(tmp_path, val_fraction=0), "label_studio", {"train": 1})


def test_label_studio_masks_without_tasks(tmp_path):
    picture(tmp_path / "a.jpg")
    mask(tmp_path / "task-7-annotation-12-by-1-tag-road-0.png")
    with pytest.raises(UserError, match="export JSON_MIN too"):
        opened(tmp_path).info()


# --- Supervisely


@pytest.mark.parametrize("kind", ["bitmap", "polygon", "rectangle"])
def test_supervisely(tmp_path, kind):
    classes = [{"title": n, "shape": "any", "color": "#80F010"} for n in BOTH]
    write(tmp_path / "meta.json", {"classes": classes, "tags": []})
    for folder, name in (("train", "a 1.JPG"), ("val", "b.png")):
        picture(tmp_path / folder / "img" / name)
        objects = []
        for title in BOTH:
            one = {"classTitle": title, "geometryType": kind}
            points = corners(title)
            points = [points[0], points[2]] if kind == "rectangle" else points
            if kind == "bitmap":
                data, origin = bitmap(title, compressed=True)
                one |= {"bitmap": {"data": data, "origin": origin}}
            else:
                one |= {"points": {"exterior": points, "interior": []}}
            objects.append(one)
        size = {"height": SIZE[0], "width": SIZE[1]}
        path = tmp_path / folder / "ann" / f"{name}.json"
        write(path, {"size": size, "objects": objects, "tags": []})
    source = opened(tmp_path)
    check(source, "supervisely", {"train": 1, "val": 1})
    assert source.info().colormap[1] == (0x80, 0xF0, 0x10)


@pytest.mark.parametrize("far", [2.0**40, -(2.0**21), float("nan"), float("inf")])
def test_a_corner_too_far_away_is_no_walk_of_years(far):
    region = Region(1, "coco", [[1.0, 2.0, far, 2.0, 9.0, 9.0]])
    with pytest.raises(SampleError, match=r"region 1 .coco. .*farther"):
        draw([region], SIZE, "a.json")


def test_polygons_have_holes():
    hole = [[10, 8], [14, 8], [14, 12], [10, 12]]
    drawn = draw([Region(1, "with_holes", [corners("road"), hole])], SIZE, "a")
    expected = inside("road")
    expected[8:13, 10:15] = False
    np.testing.assert_array_equal(drawn == 1, expected)


# --- Hugging Face


@pytest.mark.parametrize("features", [False, True])
def test_parquet(tmp_path, features):
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    def cells(pixels):
        return [{"bytes": png(one), "path": f"{i}.png"} for i, one in enumerate(pixels)]

    for split in ("train", "validation"):
        pixels = [RNG.integers(0, 256, (*SIZE, 3)).astype(np.uint8) for _ in range(3)]
        raw = np.array([7, 0, 3], np.uint8)[truth()]
        columns = {
            "image": cells(pixels),
            "annotation": cells([raw] * 3),
            "id": [1, 2, 3],
        }
        table = arrow.table(columns)
        if features:
            named = {n: {"_type": "Image"} for n in ("image", "annotation")}
            facts = json.dumps({"info": {"features": named}})
            table = table.replace_schema_metadata({"huggingface": facts})
        (tmp_path / "data").mkdir(exist_ok=True)
        path = tmp_path / "data" / f"{split}-00000-of-00001.parquet"
        parquet.write_table(table, path, row_group_size=2)
    write(tmp_path / "id2label.json", {"0": "road", "3": "car", "7": "background"})
    source = opened(tmp_path)
    check(source, "parquet", {"train": 3, "val": 3})
    with pytest.raises(UserError, match=r"column of images in .* 'mask'"):
        opened(tmp_path, label_column="mask").info()


# --- Kaggle


def listed_runs(pixels, order, base):
    flat = (pixels.T if order == "columns" else pixels).ravel()
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat, [0]])))
    pairs = zip(edges[::2] + base, edges[1::2] - edges[::2], strict=True)
    return " ".join(f"{start} {length}" for start, length in pairs)


@pytest.mark.parametrize(("order", "base"), [("columns", 1), ("rows", 0)])
@pytest.mark.parametrize("form", ["ClassId", "joined"])
def test_kaggle_run_lengths(tmp_path, order, base, form):
    rows = [
        "ImageId,ClassId,EncodedPixels"
        if form == "ClassId"
        else "Image_Label,EncodedPixels"
    ]
    for name in ("a.jpg", "b.jpg"):
        picture(tmp_path / "train_images" / name)
        picture(tmp_path / "test_images" / f"t{name}")
        for label in BOTH:
            layer = truth() == 1 + BOTH.index(label)
            key = f"{name},{label}" if form == "ClassId" else f"{name}_{label}"
            rows.append(f"{key},{listed_runs(layer, order, base)}")
    write(tmp_path / "train.csv", "\n".join(rows))
    write(tmp_path / "sample_submission.csv", "ImageId,EncodedPixels\nta.jpg,1 1\n")
    options = {} if base else {"run_order": order, "run_base": base}
    source = opened(tmp_path, val_fraction=0, **options)
    labels = labels_of(source)["train"]
    assert (source.name, len(labels)) == ("kaggle_runs", 2)
    for one in labels.values():
        np.testing.assert_array_equal(one, truth())
    assert any(f"counted by {order} from {base}" in note for note in source.notes())
    assert any("2 pictures without a row" in note for note in source.notes())


def test_kaggle_two_classes_and_pictures_of_nothing(tmp_path):
    for name in ("a", "b", "c"):
        picture(tmp_path / "images" / f"{name}.png")
    rows = [
        "id,rle_mask",
        f"a,{listed_runs(inside('road'), 'columns', 1)}",
        "b,",
        "c,-1",
    ]
    write(tmp_path / "train.csv", "\n".join(rows))
    source = opened(tmp_path, val_fraction=0)
    assert source.info().class_names == ("background", "foreground")
    found = {s.name: decoded(s, source.info()) for s in source.samples("train")}
    np.testing.assert_array_equal(found["images/a"], inside("road"))
    assert not found["images/b"].any()
    assert not found["images/c"].any()


# --- YOLO


def yolo_text(order=BOTH, names=BOTH):
    height, width = SIZE
    lines = []
    for name in order:
        points = [v for x, y in corners(name) for v in (x / width, y / height)]
        lines.append(" ".join(map(str, [names.index(name), *points])))
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("inner", [True, False])
@pytest.mark.parametrize("names", ["names: [road, car]", "names:\n  0: road\n  1: car"])
def test_yolo(tmp_path, inner, names):
    settings = f"path: ../datasets/x\ntrain: images/train\nval: images/val\n{names}\n"
    write(tmp_path / "data.yaml", settings)
    for split in ("train", "val"):
        images, labels = (
            tmp_path.joinpath(*((kind, split) if inner else (split, kind)))
            for kind in ("images", "labels")
        )
        picture(images / "a 1.JPG")
        write(labels / "a 1.txt", yolo_text())
    check(opened(tmp_path), "yolo", {"train": 1, "val": 1})


def test_yolo_of_cvat_lists_its_pictures(tmp_path):
    write(
        tmp_path / "data.yaml",
        "names:\n  0: road\n  1: car\npath: .\ntrain: train.txt\n",
    )
    picture(tmp_path / "images" / "train" / "a.jpg")
    write(tmp_path / "labels" / "train" / "a.txt", yolo_text())
    write(tmp_path / "train.txt", "data/images/train/a.jpg\n")
    check(opened(tmp_path), "yolo", {"train": 1})


def test_yolo_pictures_without_a_file_are_background_and_boxes_are_refused(tmp_path):
    write(tmp_path / "data.yaml", "names: [road, car]\n")
    for name in ("a", "b"):
        picture(tmp_path / "images" / f"{name}.jpg")
    write(tmp_path / "labels" / "a.txt", yolo_text())
    source = opened(tmp_path, val_fraction=0)
    found = labels_of(source)["train"]
    np.testing.assert_array_equal(found["images/a"], truth())
    assert not found["images/b"].any()
    assert any("1 pictures without a text file" in note for note in source.notes())
    write(tmp_path / "labels" / "a.txt", "0 0.5 0.5 0.1 0.1\n")
    sample = opened(tmp_path, val_fraction=0).samples("train")[0]
    with pytest.raises(Exception, match=r"a\.txt, line 1: holds a box, not a polygon"):
        sample.label()
