"""More that is fuzzed: folders of labelling tools with their lists, frozen graphs."""

import functools
import json
import pathlib

import numpy as np
import test_data_layouts_tools as tools
import test_released_checkpoints
from fuzzing import DifferenceError, Try, mutated, mutated_json
from label_layouts import mask, opened, picture, write

from deeplab_tf.data.conversion import shards
from deeplab_tf.data.conversion.samples import SampleError
from deeplab_tf.inference import graph_operations
from deeplab_tf.released import checkpoints

# These tests write a folder as the tool does.
_FOLDERS = (
    *(
        functools.partial(tools.test_labelme_shapes, kind=k)
        for k in ("polygon", "mask")
    ),
    tools.test_labelme_embedded_picture_and_label_list,
    *(
        functools.partial(tools.test_coco_json_of_cvat, kind=kind)
        for kind in tools.SEGMENTATIONS
    ),
    *(
        functools.partial(tools.test_label_studio_json, kind=kind, minimal=False)
        for kind in ("brushlabels", "polygonlabels", "rectanglelabels")
    ),
    *(
        functools.partial(tools.test_supervisely, kind=kind)
        for kind in ("bitmap", "polygon")
    ),
    tools.test_yolo_of_cvat_lists_its_pictures,
)


def _write_lists(folder: pathlib.Path) -> None:
    lines = []
    for name in ("a b", "c"):
        picture(folder / "images" / f"{name}.jpg")
        mask(folder / "masks" / f"{name}.png")
        lines.append(f"images/{name}.jpg\tmasks/{name}.png\n")
    for split in ("train", "val"):
        write(folder / f"{split}.txt", "".join(lines))
    write(folder / "classes.json", {"class_names": ["background", *tools.BOTH]})


def folders(folder: pathlib.Path) -> Try:
    """One damaged list or JSON file of a folder, recognised and converted."""
    texts = []
    for number, write_folder in enumerate([*_FOLDERS, _write_lists]):
        place = folder / str(number)
        place.mkdir()
        write_folder(place)
        texts += [
            (place, path)
            for path in sorted(place.rglob("*"))
            if path.suffix in (".json", ".txt", ".yaml")
        ]

    def attempt(rng: np.random.Generator) -> None:
        place, path = texts[rng.integers(len(texts))]
        good = path.read_bytes()
        if path.suffix == ".json" and rng.random() < 0.7:
            bad = mutated_json(rng, json.loads(good)).encode()
        else:
            bad = mutated(rng, good)
        path.write_bytes(bad)
        try:
            _convert(place)
        finally:
            path.write_bytes(good)

    return attempt


def _convert(place: pathlib.Path) -> None:
    source = opened(place)
    info = source.info()
    for split in source.splits():
        samples = source.samples(split)
        shards.plan(info, split, samples, 1)
        for sample in samples:
            fact, _ = shards.convert_sample(sample, info)
            if fact["fault"]:
                raise SampleError(*fact["fault"])


def graphs(folder: pathlib.Path) -> Try:
    """Frozen graphs of strangers: nothing that is read can do harm."""
    path = folder / "frozen_inference_graph.pb"
    good = test_released_checkpoints.graph_def().SerializeToString()
    places = [at for at in range(len(good)) if good.startswith(b"\x08Identity", at)]

    def attempt(rng: np.random.Generator) -> None:
        data = good
        if rng.random() < 0.2:  # an operation of the same length that reads files
            at = places[rng.integers(len(places))]
            data = data[:at] + b"\x08ReadFile" + data[at + 9 :]
        path.write_bytes(mutated(rng, data) if rng.random() < 0.9 else data)
        graph = checkpoints.read_graph(str(path))
        if any(node.op == "ReadFile" for node in graph.node):
            raise DifferenceError("a graph that reads files is accepted")
        graph_operations.require_graph(graph, str(path))
        checkpoints.read(str(path))

    return attempt
