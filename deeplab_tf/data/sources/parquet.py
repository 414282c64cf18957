"""A Hugging Face data set as files: *.parquet with a column of images and one of masks.

Splits are in the names (train-00000-of-00002.parquet). Class names are those of
id2label.json, which maps mask values to names; a value called unlabeled or void counts
nowhere. Needs the extra [parquet].
"""

import dataclasses
import functools
import json
import pathlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from deeplab_tf.data.conversion.contents import Contents
from deeplab_tf.data.conversion.mask_classes import read_masks
from deeplab_tf.data.conversion.reading import UNDIVIDED, Reading
from deeplab_tf.data.conversion.samples import Content, Sample, SampleError
from deeplab_tf.data.conversion.splits import split_in
from deeplab_tf.errors import UserError, unknown

if TYPE_CHECKING:
    from pyarrow import ChunkedArray
    from pyarrow.parquet import ParquetFile

TITLE = "Hugging Face parquet files"
OPTIONS = {
    "image_column": "Column of the images; empty: find it.",
    "label_column": "Column of the masks; empty: find it.",
}
_IMAGES = ("image", "pixel_values", "img", "images", "picture")
# fmt: off
_LABELS = (
    "label", "labels", "mask", "masks", "annotation", "annotations",
    "segmentation_mask", "segmentation", "semantic_segmentation", "gt",
    "label_mask", "mask_image",
)
# fmt: on


def clues(contents: Contents) -> dict[str, bool]:
    """Any parquet file."""
    return {"*.parquet": bool(_files(contents))}


def _files(contents: Contents) -> list[str]:
    return contents.named(r".*\.parquet")


def read(
    contents: Contents, *, image_column: str = "", label_column: str = ""
) -> Reading:
    """The rows of all files, in order."""
    splits: dict[str, list[Sample]] = {}
    columns = ("", "")
    for path in _files(contents):
        file = _open(contents.path(path))
        columns = _columns(contents.path(path), file, image_column, label_column)
        split = split_in(path) or UNDIVIDED
        splits.setdefault(split, []).extend(_samples(contents, path, file, columns))
    notes = [f"images from column {columns[0]!r}, masks from {columns[1]!r}."]
    return read_masks(contents, splits, TITLE, notes)


@functools.lru_cache(maxsize=1)
def _open(path: str) -> "ParquetFile":
    try:
        from pyarrow import parquet
    except ImportError:
        raise UserError(
            f"{path}: parquet files need pyarrow: pip install 'deeplab-tf[parquet]'."
        ) from None
    try:
        return parquet.ParquetFile(path)
    except Exception as error:  # pyarrow raises many kinds
        raise UserError(f"{path}: cannot be read as parquet ({error}).") from None


def _columns(path: str, file: "ParquetFile", image: str, label: str) -> tuple[str, str]:
    """The columns of images and masks: as the file's features tell, or by name."""
    columns = _image_columns(file)
    for named in filter(None, (image, label)):
        if named not in columns:
            raise unknown(f"column of images in {path}", named, columns)
    image = image or _only(path, columns, _IMAGES, "--image_column")
    others = [column for column in columns if column != image]
    return image, label or _only(path, others, _LABELS, "--label_column")


def _image_columns(file: "ParquetFile") -> list[str]:
    """Columns with bytes of image files."""
    schema = file.schema_arrow
    facts = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    features = facts.get("info", {}).get("features", {})
    named = [n for n, f in features.items() if f.get("_type") == "Image"]
    return named or [
        field.name
        for field in schema
        if str(field.type).startswith(("struct<bytes", "binary", "large_binary"))
    ]


def _only(path: str, columns: list[str], usual: Iterable[str], flag: str) -> str:
    known = [name for name in usual if name in columns]
    if known or len(columns) == 1:
        return (known or columns)[0]
    choice = ", ".join(columns) or "there is no such column"
    raise UserError(f"{path}: choose by {flag}: {choice}.")


def _samples(
    contents: Contents, path: str, file: "ParquetFile", columns: tuple[str, str]
) -> Iterator["ParquetSample"]:
    stem = pathlib.PurePath(path).stem
    for group in range(file.num_row_groups):
        for row in range(file.metadata.row_group(group).num_rows):
            yield ParquetSample(
                name=f"{stem}_{group:04d}_{row:06d}",
                path=contents.path(path),
                place=(group, row),
                columns=columns,
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ParquetSample(Sample):
    """One row.

    Attributes:
      path: of the file.
      place: row group, and row in it.
      columns: of image and mask.
    """

    path: str
    place: tuple[int, int]
    columns: tuple[str, str]

    @property
    def image_name(self) -> str:
        """File and row."""
        group, row = self.place
        return f"{self.path}, row group {group}, row {row}"

    @property
    def label_name(self) -> str:
        """File, row and column."""
        return f"{self.image_name}, {self.columns[1]}"

    def image(self) -> Content:
        """The image's file as it is stored."""
        return self._bytes(0)

    def label(self) -> Content:
        """The mask's file as it is stored."""
        return self._bytes(1)

    def _bytes(self, which: int) -> bytes:
        cell = _group(self.path, self.place[0], self.columns[which])[self.place[1]]
        value = cell.as_py()
        data = value.get("bytes") if isinstance(value, dict) else value
        if not isinstance(data, bytes):
            what = ("image", "label")[which]
            text = f"{self.image_name}: column {self.columns[which]!r} holds no file."
            raise SampleError(f"missing_{what}", text)
        return data


@functools.lru_cache(maxsize=2)
def _group(path: str, group: int, column: str) -> "ChunkedArray":
    return _open(path).read_row_group(group, columns=[column]).column(0)
