"""Predictions as labels to begin with, in the forms that labelling tools open.

images/NAME.jpg          the pictures, as they are
labels/NAME.png          class numbers, with a palette
labelme/NAME.json        labelme: labelme OUT/images --output OUT/labelme --labels ...
annotations/instances_default.json     COCO: CVAT, Label Studio, Roboflow
classes.json labels.txt  the classes

`datasets/convert.py --source_dir=OUT` reads any of them back once it is told which:
--dataset=folder, labelme or coco_json.
"""

import dataclasses
import json
import pathlib
import shutil
from collections.abc import Iterable, Sequence

import numpy as np
from pycocotools import mask as coco_mask

from deeplab_tf import files
from deeplab_tf.data.conversion import class_tables, classes_file
from deeplab_tf.data.dataset_info import DatasetInfo
from deeplab_tf.files import Json
from deeplab_tf.inference import coloring
from deeplab_tf.labelling import outlines
from deeplab_tf.labelling.outlines import Outline

_LABELME_VERSION = "5.5.0"  # whose fields these are; labelme asks for no other
_DIGITS = 2  # of a corner behind the point


@dataclasses.dataclass(frozen=True, kw_only=True)
class PreLabel:
    """A picture and the labels to begin with.

    Attributes:
      path: the picture's file.
      name: of its files here, without ending; no two are the same.
      labels: classes [H, W] of the picture as it is looked at.
    """

    path: pathlib.Path
    name: str
    labels: np.ndarray

    @property
    def file(self) -> str:
        """The picture's file name here."""
        return f"{self.name}{self.path.suffix}"


def write(
    folder: pathlib.Path,
    prelabels: Iterable[PreLabel],
    info: DatasetInfo,
    *,
    tolerance: float = 2.0,
    least: int = 16,
) -> None:
    """Writes pictures and labels.

    Args:
      folder: see the head of this file.
      prelabels: one held at a time.
      info: names and colours.
      tolerance: by how many pixels the polygons' edges may be off; 0: not at all.
      least: pixels of a region that is worth a polygon.
    """
    for name in ("images", "labels", "labelme"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    grounds = filter(class_tables.is_background, info.class_names)
    ground = next(map(info.class_names.index, grounds), -1)
    coco = _Coco(info.class_names)
    for one in prelabels:
        shutil.copyfile(one.path, folder / "images" / one.file)
        mask = coloring.palette_image(one.labels, info.colormap)
        mask.save(folder / "labels" / f"{one.name}.png")
        traced = outlines.trace(
            one.labels, tolerance=tolerance, least=least, ground=ground
        )
        content = json.dumps(_labelme(one, traced, info.class_names))
        path = folder / "labelme" / f"{one.name}.json"
        path.write_text(content, encoding="utf-8")
        coco.add(one, traced)
    (folder / "annotations").mkdir(exist_ok=True)
    path = folder / "annotations" / "instances_default.json"
    path.write_text(json.dumps(coco.content), encoding="utf-8")
    classes = {"class_names": info.class_names, "colormap": info.colormap}
    files.write_json(folder / classes_file.FILE_NAME, classes)
    names = "".join(f"{name}\n" for name in info.class_names)
    (folder / "labels.txt").write_text(names, encoding="utf-8")


def _labelme(
    one: PreLabel, traced: Sequence[Outline], class_names: Sequence[str]
) -> Json:
    height, width = one.labels.shape
    shapes = [
        {
            "label": class_names[outline.label],
            "points": outline.corners.round(_DIGITS).tolist(),
            "group_id": None,
            "description": "",
            "shape_type": "polygon",
            "flags": {},
            "mask": None,
        }
        for outline in traced
    ]
    return {
        "version": _LABELME_VERSION,
        "flags": {},
        "shapes": shapes,
        "imagePath": f"../images/{one.file}",
        "imageData": None,
        "imageHeight": height,
        "imageWidth": width,
    }


class _Coco:
    """A COCO file that grows by pictures; category 1 is class 0."""

    def __init__(self, class_names: Sequence[str]) -> None:
        self.content: Json = {
            "images": [],
            "annotations": [],
            "categories": [
                {"id": number, "name": name, "supercategory": ""}
                for number, name in enumerate(class_names, start=1)
            ],
        }

    def add(self, one: PreLabel, traced: Sequence[Outline]) -> None:
        height, width = one.labels.shape
        images, regions = self.content["images"], self.content["annotations"]
        images.append(
            {
                "id": len(images) + 1,
                "file_name": one.file,
                "height": height,
                "width": width,
            }
        )
        for outline in traced:
            edge = np.clip(outline.edge, 0, (width, height)).round(_DIGITS)
            polygons = [edge.ravel().tolist()]
            drawn = coco_mask.merge(coco_mask.frPyObjects(polygons, height, width))
            regions.append(
                {
                    "id": len(regions) + 1,
                    "image_id": len(images),
                    "category_id": outline.label + 1,
                    "segmentation": polygons,
                    "area": int(coco_mask.area(drawn)),
                    "bbox": coco_mask.toBbox(drawn).tolist(),
                    "iscrowd": 0,
                }
            )
