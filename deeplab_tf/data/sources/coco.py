"""COCO 2017: panoptic, stuff or instance annotations as semantic labels (Lin 2014).

`source_dir` holds train2017, val2017 (pictures) and annotations, with
(of which --annotations names one; unset: the first that is there)
  --annotations=panoptic   annotations/panoptic_val2017.json and the PNG files in
                           annotations/panoptic_val2017 (or beside annotations)
  --annotations=stuff      annotations/stuff_val2017.json, stuff_val2017_pixelmaps
  --annotations=instances  annotations/instances_val2017.json; background is class 0;
                           the smallest on top
"""

import functools
import pathlib
from collections.abc import Iterator

from deeplab_tf.data.conversion.contents import Contents
from deeplab_tf.data.conversion.listing import find_root
from deeplab_tf.data.conversion.regions import DrawnSample, Region, packed
from deeplab_tf.data.conversion.samples import Coding, Color, FileSample, Sample
from deeplab_tf.data.dataset_info import IGNORE_LABEL, DatasetInfo
from deeplab_tf.errors import UserError, unknown
from deeplab_tf.files import Json, Values, read_json

TITLE = "COCO 2017"
SPLITS = ("train", "val")
OPTIONS = {
    "annotations": "panoptic, stuff or instances; empty: the first that is there."
}
_KINDS = ("panoptic", "stuff", "instances")
_SOURCE = "COCO 2017, https://cocodataset.org/"
_VOID = 0  # category of unlabelled pixels in panoptic and stuff files

_BELOW = ("coco", "COCO")


def clues(contents: Contents) -> dict[str, bool]:
    """Its folders and its annotation files."""
    return {
        "val2017 or train2017": any(
            folder.rsplit("/", 1)[-1] in ("val2017", "train2017")
            for folder in contents.folders
        ),
        "annotations/instances_val2017.json or the like": bool(
            contents.named(rf"({'|'.join(_KINDS)})_(train|val)2017\.json")
        ),
    }


def INFO(  # noqa: N802
    source_dir: str, *, annotations: str = ""
) -> DatasetInfo:
    """The categories of the validation file (or the training file), in order of id."""
    root = find_root(source_dir, "annotations", *_BELOW)
    annotations = annotations or _first_kind(root)
    content = next(
        (_content(root, annotations, s) for s in ("val", "train") if _has(root, s)),
        None,
    )
    if content is None:
        raise UserError(f"{root}: holds neither val2017 nor train2017.")
    categories = _categories(content)
    names = [category["name"] for category in categories]
    colors = [tuple(c["color"]) for c in categories if "color" in c]
    if annotations == "instances":
        names = ["background", *names]
    return DatasetInfo(
        name=f"coco_{annotations}",
        class_names=tuple(names),
        colormap=tuple(colors) if len(colors) == len(names) else (),
        source=_SOURCE,
    )


def samples(source_dir: str, split: str, *, annotations: str = "") -> Iterator[Sample]:
    """The annotated pictures of a split, in order of their ids; test has no labels."""
    root = find_root(source_dir, "annotations", *_BELOW)
    annotations = annotations or _first_kind(root)
    images = root / f"{split}2017"
    if split == "test":
        for path in sorted(images.glob("*.jpg")):
            yield FileSample(name=path.stem, image_path=str(path), label_path=None)
        return
    content = _content(root, annotations, split)
    make = {
        "panoptic": _panoptic_samples,
        "stuff": _stuff_samples,
        "instances": _instance_samples,
    }[annotations]
    yield from make(root, split, images, content)


def _panoptic_samples(
    root: pathlib.Path, split: str, images: pathlib.Path, content: Values
) -> Iterator[Sample]:
    """A pixel's colour is its segment's id: red + 256 green + 256^2 blue."""
    classes = {c["id"]: i for i, c in enumerate(_categories(content))}
    labels = _folder(root, f"panoptic_{split}2017")
    for annotation in sorted(content["annotations"], key=lambda a: a["image_id"]):
        colors = {_color(_VOID): IGNORE_LABEL}
        for segment in annotation["segments_info"]:
            colors[_color(segment["id"])] = classes[segment["category_id"]]
        name = pathlib.Path(annotation["file_name"]).stem
        yield FileSample(
            name=name,
            image_path=str(images / f"{name}.jpg"),
            label_path=str(labels / annotation["file_name"]),
            coding=Coding.of(colors=colors),
        )


def _color(segment_id: int) -> Color:
    return segment_id & 255, segment_id >> 8 & 255, segment_id >> 16


def _stuff_samples(
    root: pathlib.Path, split: str, images: pathlib.Path, content: Values
) -> Iterator[Sample]:
    """A pixel of the PNG files is its category's id."""
    values = {c["id"]: i for i, c in enumerate(_categories(content))}
    coding = Coding.of(values={_VOID: IGNORE_LABEL} | values)
    labels = _folder(root, f"stuff_{split}2017_pixelmaps")
    for image in sorted(content["images"], key=lambda i: i["id"]):
        name = pathlib.Path(image["file_name"]).stem
        yield FileSample(
            name=name,
            image_path=str(images / image["file_name"]),
            label_path=str(labels / f"{name}.png"),
            coding=coding,
        )


def _instance_samples(
    root: pathlib.Path, split: str, images: pathlib.Path, content: Values
) -> Iterator[Sample]:
    del root, split
    classes = {c["id"]: i for i, c in enumerate(_categories(content), start=1)}
    shapes: dict[int, list[tuple[float, int, object]]] = {}
    for annotation in content["annotations"]:
        outline = annotation["segmentation"]
        entry = (annotation["area"], classes[annotation["category_id"]], outline)
        shapes.setdefault(annotation["image_id"], []).append(entry)
    for image in sorted(content["images"], key=lambda i: i["id"]):
        largest_first = sorted(
            shapes.get(image["id"], ()), key=lambda s: s[:2], reverse=True
        )
        yield DrawnSample(
            name=pathlib.Path(image["file_name"]).stem,
            image_path=str(images / image["file_name"]),
            label_path=None,
            size=(image["height"], image["width"]),
            regions=packed(Region(c, "coco", shape) for _, c, shape in largest_first),
        )


def _first_kind(root: pathlib.Path) -> str:
    for kind in _KINDS:
        if any((root / "annotations").glob(f"{kind}_*2017.json")):
            return kind
    raise UserError(
        f"{root / 'annotations'}: holds no {' or '.join(_KINDS)}_val2017.json."
    )


def _categories(content: Values) -> list[Json]:
    return sorted(content["categories"], key=lambda category: category["id"])


def _has(root: pathlib.Path, split: str) -> bool:
    return (root / f"{split}2017").is_dir()


def _folder(root: pathlib.Path, name: str) -> pathlib.Path:
    inside = root / "annotations" / name
    return inside if inside.is_dir() else root / name


@functools.cache  # read once for the classes and once for the examples
def _content(root: pathlib.Path, annotations: str, split: str) -> Json:
    if annotations not in _KINDS:
        raise unknown("--annotations", annotations, _KINDS)
    path = root / "annotations" / f"{annotations}_{split}2017.json"
    return read_json(path, "download the annotations; see datasets/README.md.")
