"""classes.json: the classes of somebody's own data, and how labels code them.

It holds {"class_names": ["road", "car"]} and perhaps more of dataset.json: "name",
"colormap", "ignore_label", "channels", "bits"; or it is the list of names alone.
Labels whose pixels are not the classes' indices add one table:
  "values": {"7": "road", "26": "car", "0": "ignore"}         raw value -> class
  "colors": {"128,64,128": "road", "0,0,0": "ignore"}         RGB -> class
A table of values that only says what is ignored leaves the other values as they are:
  "values": {"11": "ignore"}
"""

import pathlib
from collections.abc import Mapping

from deeplab_tf.data.conversion.samples import INDICES, Coding
from deeplab_tf.data.dataset_info import DatasetInfo
from deeplab_tf.errors import UserError, unknown
from deeplab_tf.files import Values, read_json_value

FILE_NAME = "classes.json"
_IGNORE = "ignore"
_TABLES = {"values": '{"7": "road"}', "colors": '{"0,64,128": "road"}'}


def read_classes(path: pathlib.Path, default_name: str) -> tuple[DatasetInfo, Coding]:
    """Reads classes.json.

    Args:
      path: the file.
      default_name: of the data set, where the file gives none.

    Raises:
      UserError: the file is missing, is no JSON, or a field is wrong.
    """
    values = read_json_value(
        path, 'write the classes, as {"class_names": ["sky", "car"]}.'
    )
    if isinstance(values, list):
        values = {"class_names": values}
    if not isinstance(values, dict):
        raise UserError(f"{path}: must hold a JSON object, or a list of names.")
    facts = {"name": default_name} | values
    tables = {key: facts.pop(key) for key in _TABLES if key in facts}
    info = DatasetInfo.from_dict(facts, str(path))
    return info, _read_coding(path, tables, info)


def _read_coding(path: pathlib.Path, tables: Values, info: DatasetInfo) -> Coding:
    if not tables:
        return INDICES
    if len(tables) > 1:
        raise UserError(f"{path}: give values or colors, not both.")
    classes = {name: value for value, name in enumerate(info.class_names)}
    classes[_IGNORE] = info.ignore_label
    kind, table = next(iter(tables.items()))
    try:
        return _read_table(kind, table, classes)
    except (AttributeError, TypeError, ValueError):
        raise UserError(f"{path}: {kind} must be as {_TABLES[kind]}.") from None
    except KeyError as error:
        problem = unknown(f"class in {kind}", error.args[0], classes)
        raise UserError(f"{path}: {problem}") from None


def _read_table(
    kind: str, table: Mapping[str, str], classes: Mapping[str, int]
) -> Coding:
    if kind == "values":
        values = {int(raw): classes[n] for raw, n in table.items()}
        if set(table.values()) == {_IGNORE}:
            values = {c: c for c in classes.values()} | values
        return Coding.of(values=values)
    colors = {}
    for text, name in table.items():
        red, green, blue = (int(part) for part in text.split(","))
        colors[red, green, blue] = classes[name]
    return Coding.of(colors=colors)
