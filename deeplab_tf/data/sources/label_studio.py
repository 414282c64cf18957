"""Label Studio: brush masks as PNG, or JSON with brushes, polygons, boxes, ellipses.

"Brush labels to PNG" writes one grey mask for every label of a task, called
task-7-annotation-12-by-1-tag-road-0.png; which picture a task is stands in its JSON or
JSON_MIN export, which must lie beside. JSON alone holds the regions themselves: run
lengths of brushes, and shapes in per cent of the picture.

What nothing covers is class 0, background; the labels follow by the alphabet, for the
exports do not tell their order. Later regions lie on top. Of several annotations of a
task the last is used.
"""

import dataclasses
import os
import re
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from deeplab_tf.data.conversion.class_tables import Classes
from deeplab_tf.data.conversion.contents import Contents, in_common
from deeplab_tf.data.conversion.labels import look
from deeplab_tf.data.conversion.reading import (
    UNDIVIDED,
    Reading,
    example_name,
    folder_name,
    without_unannotated,
)
from deeplab_tf.data.conversion.regions import DrawnSample, Region, packed
from deeplab_tf.data.conversion.samples import FileSample, SampleError
from deeplab_tf.errors import UserError
from deeplab_tf.files import Values

TITLE = "Label Studio"
_MASK = re.compile(r"task-(\d+)-annotation-(\d+)-by-(.*)-(\d+)\.(?:png|npy)")
_UPLOAD = re.compile(r"[0-9a-f]{8}-(.+)")  # what an upload's name is given
_SHAPES = {
    "brushlabels": "brush",
    "polygonlabels": "fractions",
    "rectanglelabels": "turned_box",
    "ellipselabels": "ellipse",
    "labels": "",  # of any kind; the region tells
}


def clues(contents: Contents) -> dict[str, bool]:
    """Masks with its names, or its JSON."""
    return {
        "masks called task-N-annotation-M-by-..., or JSON of tasks with regions": bool(
            contents.named(_MASK.pattern)
        )
        or any(next(_tasks(c), None) for c in contents.some_json.values()),
        "pictures": bool(contents.images),
    }


@dataclasses.dataclass(frozen=True)
class _Task:
    """One task of a JSON file: its picture as it is written there, and its regions."""

    number: int
    image: str
    regions: Sequence[Values]
    annotations: int = 1


def read(contents: Contents) -> Reading:
    """By the PNG masks where there are any, else by JSON."""
    tasks: dict[int, _Task] = {}
    for path in contents.files:
        if path.lower().endswith(".json"):
            tasks |= {task.number: task for task in _tasks(contents.json(path))}
    if not tasks:
        raise UserError(
            f"{contents.root}: the masks name tasks, but no JSON file tells which "
            "picture a task is; export JSON_MIN too, and put it beside the masks."
        )
    masks = contents.named(_MASK.pattern)
    return (
        _read_masks(contents, tasks, masks) if masks else _read_regions(contents, tasks)
    )


def _tasks(content: object) -> Iterator[_Task]:
    """The tasks of JSON, of JSON_MIN, or of one file a task."""
    if isinstance(content, dict) and isinstance(content.get("task"), dict):
        content = {**content["task"], "annotations": [content]}
    entries = content if isinstance(content, list) else [content]
    for entry in entries:
        if not isinstance(entry, dict):
            continue
        versions = entry.get("annotations", entry.get("completions"))
        data = entry.get("data")
        if isinstance(data, dict) and isinstance(versions, list):
            yield _full(entry, data, versions)
        elif "annotation_id" in entry or "annotator" in entry:
            yield _minimal(entry)


def _full(entry: Values, data: Values, versions: Sequence[Values]) -> _Task:
    kept = [v for v in versions if not v.get("was_cancelled")]
    results = kept[-1].get("result", []) if kept else []
    regions = [{**r, **(r.get("value") or {})} for r in results if isinstance(r, dict)]
    return _Task(int(entry.get("id", 0)), _image_of(data), regions, len(kept))


def _minimal(entry: Values) -> _Task:
    regions = [
        region
        for value in entry.values()
        if isinstance(value, list)
        for region in value
        if isinstance(region, dict)
    ]
    return _Task(int(entry.get("id", 0)), _image_of(entry), regions)


def _image_of(data: Values) -> str:
    """The address of the picture: "image", or else the first value like a path."""
    texts = [data.get("image"), *data.values()]
    found = next((t for t in texts if isinstance(t, str) and "." in t), "")
    address = urllib.parse.urlsplit(found)
    local = urllib.parse.parse_qs(address.query).get("d")
    return local[0] if local else urllib.parse.unquote(address.path or found)


def _find(contents: Contents, task: _Task) -> str | None:
    """The picture's file: under the name of the upload, or the one it had before."""
    found = contents.find_image(task.image)
    if found:
        return found
    folder, name = os.path.split(task.image)
    before = _UPLOAD.fullmatch(name)
    return contents.find_image(os.path.join(folder, before[1])) if before else None


def _reading(
    contents: Contents,
    classes: Classes,
    samples: Sequence[FileSample],
    notes: Sequence[str],
    masks: Sequence[str] = (),
) -> Reading:
    used = [sample.image_path for sample in samples] + [contents.path(m) for m in masks]
    return Reading(
        info=classes.info(folder_name(contents), TITLE),
        splits={UNDIVIDED: samples},
        notes=(
            f"what no region covers is {classes.names[0]!r}; the labels are in the "
            "order of the alphabet, later ones on top.",
            *notes,
            *classes.notes(),
            *without_unannotated(contents, used, "an annotation"),
        ),
    )


def _read_masks(
    contents: Contents, tasks: Mapping[int, _Task], masks: Sequence[str]
) -> Reading:
    labels = _labels_of(masks)
    classes = Classes.with_background(sorted(set(labels.values())))
    by_task: dict[int, dict[int, list[str]]] = {}
    for mask in masks:
        task, annotation = map(int, _matched(mask).groups()[:2])
        by_task.setdefault(task, {}).setdefault(annotation, []).append(mask)
    samples, notes = [], []
    for number, versions in sorted(by_task.items()):
        if number not in tasks:
            raise UserError(
                f"{contents.path(min(versions[max(versions)]))}: no JSON file tells "
                f"which picture task {number} is."
            )
        image = _find(contents, tasks[number]) or tasks[number].image.lstrip("/")
        if len(versions) > 1:
            notes.append(f"task {number}: of {len(versions)} annotations the last.")
        layers = [
            (classes.number(labels[mask]), contents.path(mask))
            for mask in versions[max(versions)]
        ]
        samples.append(
            BrushSample(
                name=example_name(image),
                image_path=contents.path(image),
                label_path=min(layers)[1],
                layers=tuple(sorted(layers)),
            )
        )
    return _reading(contents, classes, samples, notes, masks)


def _matched(mask: str) -> re.Match[str]:
    match = _MASK.fullmatch(mask.rsplit("/", 1)[-1])
    if match is None:
        raise UserError(f"{mask}: is not called as Label Studio calls its masks.")
    return match


def _labels_of(masks: Sequence[str]) -> dict[str, str]:
    """The label in each name: user and tag, which may hold dashes too, come before.

    The tag is the same in all names: "tag" usually, else what they have in common
    behind the user.
    """
    rest = {mask: _matched(mask)[3] for mask in masks}
    if all("-tag-" in f"-{text}" for text in rest.values()):
        return {mask: text.split("tag-", 1)[1] for mask, text in rest.items()}
    words = {mask: re.sub(r"^\d+-", "", t).split("-") for mask, t in rest.items()}
    common = in_common(*words.values())
    shortest = min(len(parts) for parts in words.values())
    common = max(min(common, shortest - 1), min(1, shortest - 1))
    if len({tuple(parts) for parts in words.values()}) == 1:
        common = min(1, shortest - 1)
    return {mask: "-".join(parts[common:]) for mask, parts in words.items()}


@dataclasses.dataclass(frozen=True, kw_only=True)
class BrushSample(FileSample):
    """A picture and one mask a label.

    Attributes:
      layers: class and path of each mask, the lowest first.
    """

    layers: tuple[tuple[int, str], ...]

    def label(self) -> np.ndarray:
        """The masks over each other."""
        labels: np.ndarray | None = None
        for number, path in self.layers:
            content = FileSample(name="", image_path=path, label_path=None).image()
            inside = look(content, path).codes > 0
            if labels is None:
                labels = np.zeros(inside.shape, np.uint8)
            if inside.shape != labels.shape:
                text = f"{path}: is of another size than {self.layers[0][1]}."
                raise SampleError("size_mismatch", text)
            labels[inside] = number
        if labels is None:
            raise SampleError("missing_label", f"{self.name}: has no mask.")
        return labels

    def stamp(self) -> list[object]:
        """Those of all files."""
        parts = [
            FileSample(name="", image_path=path, label_path=None).stamp()
            for _, path in self.layers
        ]
        return [super().stamp(), parts]


def _read_regions(contents: Contents, tasks: Mapping[int, _Task]) -> Reading:
    labels = {label for t in tasks.values() for r in t.regions for label in _labels(r)}
    classes = Classes.with_background(sorted(labels))
    samples, notes, empty = [], [], 0
    for number, task in sorted(tasks.items()):
        image = _find(contents, task)
        if not task.annotations:
            empty += 1
            continue
        if task.annotations > 1:
            notes.append(f"task {number}: of {task.annotations} annotations the last.")
        path = contents.path(image or task.image.lstrip("/"))
        regions = [region for r in task.regions for region in _regions(r, classes)]
        sizes = [
            (int(r["original_height"]), int(r["original_width"]))
            for r in task.regions
            if r.get("original_height")
        ]
        samples.append(
            DrawnSample(
                name=example_name(image or task.image.lstrip("/")),
                image_path=path,
                label_path=None,
                regions=packed(regions),
                size=sizes[0] if sizes else None,
            )
        )
    if empty:
        notes.append(f"{empty} tasks without an annotation are left out.")
    return _reading(contents, classes, samples, notes)


def _labels(region: Values) -> list[str]:
    return [
        str(label)
        for key in _SHAPES
        if isinstance(region.get(key), list)
        for label in region[key]
    ]


def _regions(region: Values, classes: Classes) -> Iterator[Region]:
    """One region for each label that it has."""
    for label in _labels(region):
        number = classes.number(label)
        if "rle" in region:
            yield Region(number, "brush", region["rle"])
        elif "points" in region:
            points = [(x / 100, y / 100) for x, y in region["points"]]
            yield Region(number, "fractions", points)
        elif "radiusX" in region:
            yield Region(number, "ellipse", _per_cent(region, "radiusX", "radiusY"))
        elif "width" in region:
            yield Region(number, "turned_box", _per_cent(region, "width", "height"))


def _per_cent(region: Values, *sizes: str) -> list[float]:
    shares = [float(region[key]) / 100 for key in ("x", "y", *sizes)]
    return [*shares, float(region.get("rotation") or 0)]
