"""Which classes the masks of a layout hold: as a file says, or as the masks show."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from deeplab_tf.data.conversion.class_tables import ClassTable, find_table
from deeplab_tf.data.conversion.classes_file import FILE_NAME, read_classes
from deeplab_tf.data.conversion.contents import Contents
from deeplab_tf.data.conversion.guessing import guess_classes
from deeplab_tf.data.conversion.labels import Look, look
from deeplab_tf.data.conversion.reading import Reading, folder_name
from deeplab_tf.data.conversion.samples import Coding, Sample, SampleError
from deeplab_tf.data.dataset_info import DatasetInfo
from deeplab_tf.errors import UserError


def read_masks(
    contents: Contents,
    splits: Mapping[str, Sequence[Sample]],
    source: str,
    notes: Iterable[str] = (),
) -> Reading:
    """A reading of masks: by classes.json, else by a tool's table, else by guess.

    Args:
      contents: the folder.
      splits: the examples, whose coding is not known yet.
      source: what the layout is.
      notes: remarks so far.

    Raises:
      UserError: the classes cannot be known.
    """
    name, notes = folder_name(contents), list(notes)
    if FILE_NAME in contents.files:
        info, coding = read_classes(contents.root / FILE_NAME, name)
        notes.append(f"classes by {FILE_NAME}.")
        return _reading(info, splits, coding, notes)
    everything = [sample for samples in splits.values() for sample in samples]
    table = find_table(contents)
    if table:
        table = _fitting(contents, table, everything)
        classes, said = table.classes(), [f"classes by {table.file}."]
        said += classes.notes()
    else:
        classes, said = guess_classes(everything)
    return _reading(classes.info(name, source), splits, classes.coding, notes + said)


def _reading(
    info: DatasetInfo,
    splits: Mapping[str, Sequence[Sample]],
    coding: Coding,
    notes: Sequence[str],
) -> Reading:
    coded = {
        split: [dataclasses.replace(sample, coding=coding) for sample in samples]
        for split, samples in splits.items()
    }
    return Reading(info=info, splits=coded, notes=tuple(notes))


def _fitting(
    contents: Contents, table: ClassTable, samples: Iterable[Sample]
) -> ClassTable:
    """The table for the pixels that the first readable mask has."""
    first = next(filter(None, map(_look, samples)), None)
    if first is None:
        return table
    if table.values and first.in_colors:
        if any(code % 0x010101 for code in first.counts):
            raise UserError(
                f"{contents.path(table.file)}: names classes by number, but the masks "
                f"are coloured; write classes.json with a table of colours, as "
                '{"class_names": ["road"], "colors": {"128,64,128": "road"}}.'
            )
        greys = {(v, v, v): name for v, name in table.values.items()}
        return ClassTable(table.file, colors=greys)
    if table.colors and not first.in_colors and not first.palette:
        by_row = dict(enumerate(dict.fromkeys(table.colors.values())))
        return ClassTable(table.file, values=by_row)
    return table


def _look(sample: Sample) -> Look | None:
    try:
        content = sample.label()
        return None if content is None else look(content, sample.label_name)
    except SampleError:
        return None
