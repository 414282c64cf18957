"""Any data set of TensorFlow Datasets that has a picture and a segmentation mask.

  --dataset=tfds --source=NAME[/CONFIG][:VERSION]   looked for in --source_dir, or else
                                                    in that package's own folder
  --dataset=tfds --source_dir=DIR                   a prepared folder, as DIR/1.0.0

Nothing is downloaded. Picture and mask are found by their kind where there is one of
each, else named: --image_key=image --label_key=segmentation_mask. Names of classes
come from the mask's feature or from --classes=FILE, which is as the classes.json of
--dataset=folder; it may map raw values, as {"values": {"1": "pet", ...}}.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from deeplab_tf import cli
from deeplab_tf.data.conversion.classes_file import read_classes
from deeplab_tf.data.conversion.contents import Contents
from deeplab_tf.data.conversion.samples import INDICES, Content, Sample
from deeplab_tf.data.dataset_info import DatasetInfo
from deeplab_tf.errors import UserError, unknown
from deeplab_tf.files import Values

if TYPE_CHECKING:
    from tensorflow_datasets.core import DatasetBuilder

TITLE = "TensorFlow Datasets"
OPTIONS = {
    "source": "Name, perhaps with config and version; empty: read --source_dir itself.",
    "image_key": "Feature of the picture, as image or image/left; empty: find it.",
    "label_key": "Feature of the mask; empty: find it.",
    "classes": "A classes.json; empty: the mask's feature knows the names.",
}
Keys = tuple[str, str]  # of picture and mask


def clues(contents: Contents) -> dict[str, bool]:
    """The files that describe a prepared folder."""
    return {
        "dataset_info.json and features.json": {
            "dataset_info.json",
            "features.json",
        }.issubset(contents.files),
        "no dataset.json": "dataset.json" not in contents.files,
    }


def INFO(  # noqa: N802
    source_dir: str,
    *,
    source: str = "",
    image_key: str = "",
    label_key: str = "",
    classes: str = "",
) -> DatasetInfo:
    """The classes, by file or feature."""
    builder = _builder(source, source_dir)
    if classes:
        return read_classes(pathlib.Path(classes), builder.name)[0]
    _, key = _find_keys(builder, image_key, label_key)
    names = getattr(_features(builder)[key], "names", None)
    if not names:
        raise UserError(
            f"{builder.name}: its {key!r} names no classes; give --classes."
        )
    return DatasetInfo(
        name=builder.name, class_names=tuple(names), source=f"tfds: {builder.name}"
    )


def SPLITS(source_dir: str, *, source: str = "") -> tuple[str, ...]:  # noqa: N802
    """All splits that are prepared."""
    return tuple(_builder(source, source_dir).info.splits)


def samples(
    source_dir: str,
    split: str,
    *,
    source: str = "",
    image_key: str = "",
    label_key: str = "",
    classes: str = "",
) -> Iterator["TfdsSample"]:
    """The examples of a split, in the order of the files."""
    builder = _builder(source, source_dir)
    if split not in builder.info.splits:
        raise unknown(f"split of {builder.name}", split, builder.info.splits)
    keys = _find_keys(builder, image_key, label_key)
    coding = INDICES
    if classes:
        coding = read_classes(pathlib.Path(classes), builder.name)[1]
    for index in range(builder.info.splits[split].num_examples):
        yield TfdsSample(
            name=f"{split}_{index:07d}",
            coding=coding,
            place=(source, source_dir, split),
            index=index,
            keys=keys,
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class TfdsSample(Sample):
    """One example of a builder.

    Attributes:
      place: source, source_dir and split.
      index: within the split.
      keys: of picture and mask.
    """

    place: tuple[str, str, str]
    index: int
    keys: Keys

    def image(self) -> Content:
        """The picture's file as it is stored."""
        return _content(self._example()[self.keys[0]])

    def label(self) -> Content | None:
        """The mask's file or pixels."""
        if not self.keys[1]:
            return None
        content = _content(self._example()[self.keys[1]])
        if isinstance(content, np.ndarray) and content.ndim == 3:
            return content[:, :, 0]
        return content

    def _example(self) -> Values:
        return _reader(self.place, self.keys).at(self.index)


class _Reader:
    """Reads a split forwards; going back opens it anew."""

    def __init__(self, place: tuple[str, str, str], keys: Keys) -> None:
        self._place, self._keys = place, keys
        self._next = -1
        self._examples: Iterator[Values] = iter(())
        self._last: Values = {}

    def at(self, index: int) -> Values:
        if index != self._next - 1:
            if index != self._next:
                self._open(index)
            self._last = _flat(next(self._examples))
            self._next = index + 1
        return self._last

    def _open(self, index: int) -> None:
        import tensorflow_datasets

        source, source_dir, split = self._place
        builder = _builder(source, source_dir)
        skip: dict[str, Any] = {}
        for key in filter(None, self._keys):
            if isinstance(_features(builder)[key], tensorflow_datasets.features.Image):
                _put(skip, key, tensorflow_datasets.decode.SkipDecoding())
        # Threads would only contend with the other worker processes.
        config = tensorflow_datasets.ReadConfig(
            interleave_cycle_length=1, try_autocache=False, skip_prefetch=True
        )
        examples = builder.as_dataset(
            split=f"{split}[{index}:]", decoders=skip, read_config=config
        )
        self._examples = examples.as_numpy_iterator()
        self._next = index


_reader = functools.lru_cache(maxsize=1)(_Reader)


@functools.cache
def _builder(source: str, source_dir: str) -> "DatasetBuilder":
    cli.import_tensorflow()
    import tensorflow_datasets

    try:
        if source:
            builder = tensorflow_datasets.builder(source, data_dir=source_dir or None)
        else:
            builder = tensorflow_datasets.builder_from_directory(source_dir)
        splits = builder.info.splits
    except Exception as error:  # that package raises many kinds
        text = str(error).strip().splitlines()[0]
        raise UserError(
            f"{source or source_dir}: no data set of tfds: {text}"
        ) from None
    if not splits:
        raise UserError(
            f"{source}: not prepared in {builder.data_dir}; run "
            f"tfds.builder({source!r}).download_and_prepare() first."
        )
    return builder


def _features(builder: "DatasetBuilder") -> Values:
    """The builder's features by path."""
    return _flat(builder.info.features)


def _flat(tree: object, prefix: str = "") -> Values:
    if not hasattr(tree, "items"):  # a dictionary of values or of features
        return {prefix: tree}
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat.update(_flat(value, f"{prefix}/{key}" if prefix else key))
    return flat


def _put(tree: dict[str, Any], path: str, value: object) -> None:
    *above, last = path.split("/")
    for part in above:
        tree = tree.setdefault(part, {})
    tree[last] = value


def _find_keys(builder: "DatasetBuilder", image_key: str, label_key: str) -> Keys:
    features = _features(builder)
    for key in filter(None, (image_key, label_key)):
        if key not in features:
            raise unknown(f"feature of {builder.name}", key, features)
    shapes = {
        key: feature.shape
        for key, feature in features.items()
        if len(getattr(feature, "shape", None) or ()) in (2, 3)
    }
    images = [k for k, s in shapes.items() if len(s) == 3 and s[2] == 3]
    masks = [k for k, s in shapes.items() if len(s) == 2 or s[2] == 1]
    return (
        image_key or _only(builder, images, "--image_key"),
        label_key or _only(builder, masks, "--label_key"),
    )


def _only(builder: "DatasetBuilder", found: list[str], flag: str) -> str:
    if len(found) != 1:
        choice = ", ".join(found) or "nothing fits"
        raise UserError(f"{builder.name}: choose by {flag}: {choice}.")
    return found[0]


def _content(value: object) -> Content:
    return value if isinstance(value, bytes | np.ndarray) else np.asarray(value)
