"""Opens whatever holds a trained network, for Python."""

import pathlib
import tempfile
from typing import Any

import numpy as np

from deeplab_tf import runs
from deeplab_tf.config.options import PredictOptions
from deeplab_tf.data.dataset_info import IGNORE_LABEL
from deeplab_tf.errors import UserError
from deeplab_tf.inference import exported, segmenter
from deeplab_tf.inference.segmenter import Segmenter
from deeplab_tf.released import class_lists, importer, zoo

_FILES = (".tar.gz", ".tgz", ".tar", ".pb", ".index", ".meta")
_EXPORTS = (".tflite", ".onnx", ".keras")
_TRIED = 65  # side of the image that shows how many classes an export has


def load(source: str | pathlib.Path, **options: Any) -> Segmenter:
    """Loads a trained network.

    Args:
      source: zoo:NAME (`zoo.MODELS` lists them); a TF1 checkpoint, archive or frozen
        graph; a run folder; a SavedModel of this project; a .tflite, .onnx or .keras
        file. One from elsewhere gets class names by their number: 21 are VOC's.
      **options: of a run and of a released model, as in `segmenter.load`:
        output_stride, scales, flip, tile_size.

    Raises:
      UserError: there is nothing of the kind, or options were given that an export
        has fixed.

    Example:
      >>> model = deeplab_tf.load("zoo:mobilenetv2_coco_voc_trainaug")
      >>> labels = model("street.jpg")  # [H, W]
      >>> labels = model(["a.jpg", "b.png"])  # a list of such
      >>> model.draw("street.jpg").save("drawn.png")
      >>> logits = model.model(images)  # the Keras model
    """
    if is_released(str(source)):
        released = importer.fetch(str(source))
        with tempfile.TemporaryDirectory() as folder:
            importer.import_model(released, folder, {})
            return segmenter.load(folder, **options)
    if str(source).endswith(_EXPORTS) and PredictOptions(**options) == PredictOptions():
        opened = exported.open_export(str(source))
        if not opened.run:
            return Segmenter(opened, class_lists.guess(_num_classes(opened)))
    return segmenter.load(source, **options)


def is_released(source: str) -> bool:
    """Whether it is a model of the zoo, or files that TensorFlow 1 wrote."""
    if source.startswith(zoo.PREFIX) or source.endswith(_FILES):
        return True
    path = pathlib.Path(source)
    if not path.is_dir():
        return pathlib.Path(f"{source}.index").is_file()
    is_ours = (path / runs.RUN_FILE).exists() or (path / "saved_model.pb").exists()
    return not is_ours and any(path.glob("*.index"))


def _num_classes(opened: exported.Export) -> int:
    """The scores that the export gives for a pixel; of labels alone, all but void."""
    height, width = opened.sizes[0] if opened.sizes else (_TRIED, _TRIED)
    image = np.zeros((1, height, width, opened.runner.channels), np.uint8)
    try:
        return int(opened.probabilities(image).shape[-1])
    except (UserError, KeyError):
        if "labels" in opened.runner.names:
            return IGNORE_LABEL
        outputs = ", ".join(map(str, opened.runner.names))
        raise UserError(
            f"{opened.path}: its outputs must be labels, logits or probabilities; "
            f"received {outputs}."
        ) from None
