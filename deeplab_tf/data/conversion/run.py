"""The conversion of a folder, from finding out what it is to the finished shards."""

import functools
import os
import pathlib
import tempfile
from collections.abc import Sequence

from deeplab_tf import files
from deeplab_tf.data import dataset_info, sources
from deeplab_tf.data.conversion import decisions as decided
from deeplab_tf.data.conversion.audit import Audit
from deeplab_tf.data.conversion.beam import run_beam
from deeplab_tf.data.conversion.output import Execute, Output
from deeplab_tf.data.conversion.reading import pair_of
from deeplab_tf.data.conversion.samples import Sample
from deeplab_tf.data.conversion.scan import differences, scan
from deeplab_tf.data.conversion.shards import Shard, plan
from deeplab_tf.data.conversion.workers import available_cpus, run_tasks
from deeplab_tf.data.dataset_info import DatasetInfo
from deeplab_tf.errors import UserError

_EXAMPLES_PER_SHARD = 128
_MIN_SHARDS = 4
_SHOWN_PAIRS = 3
_SHOWN_CLASSES = 30
Path = str | os.PathLike[str]


def convert(
    source_dir: Path = "",
    output_dir: Path = "",
    *,
    dataset: str = sources.AUTO,
    splits: Sequence[str] = (),
    val_fraction: float | None = None,
    unlabelled: Sequence[str] = (),
    num_shards: int = 0,
    workers: int = 0,
    skip_bad: bool = False,
    audit_only: bool = False,
    decisions: Sequence[str] = (),
    beam_flags: Sequence[str] | None = None,
    **options: object,
) -> DatasetInfo:
    """Turns a folder of labelled pictures into TFRecord shards with a dataset.json.

    What was understood, and what the examples add up to, is printed.

    Args:
      source_dir: the folder.
      output_dir: for the shards; with `audit_only` for audit.json alone, if given.
      dataset: what the folder is; "auto": it tells itself.
      splits: those to convert; none: all usual ones.
      val_fraction: in [0, 1), becomes val where there are no splits; None: 0.2.
      unlabelled: splits whose labels are not used.
      num_shards: of each split; 0: by its length.
      workers: processes; 0: one for each CPU.
      skip_bad: leave bad examples out and list them in skipped.jsonl.
      audit_only: check and report; write no shards.
      decisions: files that the page of `review` saved.
      beam_flags: run by Apache Beam with these options instead of processes here.
      **options: the source's own, as annotations="stuff" of coco.

    Returns:
      The data set's facts, as dataset.json has them; without splits if none is written.

    Raises:
      UserError: folder or decisions are not understood, or an example is bad.

    Example:
      >>> info = data.conversion.convert("my_pictures", "out", val_fraction=0.1)
      >>> info.class_names
      ('background', 'road', 'car')
    """
    folder = os.fspath(source_dir)
    source = sources.open_source(
        dataset, folder, options, val_fraction=val_fraction, unlabelled=unlabelled
    )
    if not output_dir and not audit_only:
        raise UserError("--output_dir must name the folder to write.")
    output = Output(pathlib.Path(output_dir))
    if not audit_only and output.is_finished():
        return dataset_info.load(output.folder)
    shards = _plan(source, splits, num_shards, decisions)
    execute = _executor(workers, beam_flags)
    if audit_only:
        return _audit_only(shards, output.folder if output_dir else None, execute)
    return _write(shards, output, execute, skip_bad)


def _executor(workers: int, beam_flags: Sequence[str] | None) -> Execute:
    """What runs the tasks: processes of this machine, or Apache Beam."""
    if beam_flags is None:
        return functools.partial(run_tasks, num_workers=workers or available_cpus())
    return functools.partial(run_beam, beam_flags=beam_flags)


def _write(
    shards: list[Shard], output: Output, execute: Execute, skip_bad: bool
) -> DatasetInfo:
    audit, written = output.write(shards, execute)
    print(audit.table())
    if (audit.errors and not skip_bad) or audit.has_empty_split():
        _stop(audit)
    info = output.finish(shards[0].info, audit, written)
    for line in _doubts(info):
        print(f"note: {line}")
    total = sum(split.num_examples for split in info.splits.values())
    print(f"Wrote {total} examples to {output.folder}.")
    return info


def _audit_only(
    shards: list[Shard], output: pathlib.Path | None, execute: Execute
) -> DatasetInfo:
    with tempfile.TemporaryDirectory() as folder:
        audit, _ = Output(pathlib.Path(folder)).write(
            shards, execute, keep_records=False
        )
    if output:
        files.write_json(output / "audit.json", audit.to_dict())
    print(audit.table())
    if audit.errors:
        _stop(audit)
    return shards[0].info


def verify(folder: Path, workers: int = 0) -> None:
    """Reads every record of a finished data set again.

    Raises:
      UserError: something is not as dataset.json says.
    """
    folder = pathlib.Path(folder)
    info = dataset_info.load(folder)
    shards = {name: split.shards for name, split in info.splits.items()}
    for split in info.splits:
        dataset_info.shard_paths(folder, info, split)
    audit, found = scan(info, folder, shards, workers or available_cpus())
    lines = differences(info, audit, found)
    print("\n".join([audit.table(), *lines]))
    if lines:
        raise UserError(f"{folder}: {lines[0]} In all {len(lines)} differences.")
    if audit.errors:
        _stop(audit)
    print(f"{folder}: all shards are as {dataset_info.FILE_NAME} says.")


def _plan(
    source: sources.Source,
    splits: Sequence[str],
    num_shards: int,
    decisions: Sequence[str],
) -> list[Shard]:
    info = source.info()
    for split in splits:
        if list(splits).count(split) > 1:
            raise UserError(f"split {split!r} is given twice; give it once.")
    found = {split: source.samples(split) for split in splits or source.splits()}
    samples, notes = decided.apply(found, info, decisions)
    print(_summary(source, info, samples, [*source.notes(), *notes]))
    shards: list[Shard] = []
    for split, members in samples.items():
        usual = max(_MIN_SHARDS, -(-len(members) // _EXAMPLES_PER_SHARD))
        shards += plan(info, split, members, min(num_shards or usual, len(members)))
    return shards


def _summary(
    source: sources.Source,
    info: DatasetInfo,
    samples: dict[str, list[Sample]],
    notes: Sequence[str],
) -> str:
    """What the folder was taken for: classes, colours, splits, three pairs."""
    where = f"{source.source_dir}: " if source.source_dir else ""
    named = [
        f"  {number:>3} {name}  ({','.join(map(str, color))})"
        for number, (name, color) in enumerate(
            zip(info.class_names, info.colormap, strict=True)
        )
    ]
    if len(named) > _SHOWN_CLASSES:
        named = [*named[:_SHOWN_CLASSES], f"  ... {len(named)} in all"]
    counts = ", ".join(f"{split} {len(some)}" for split, some in samples.items())
    first = next(iter(samples.values()))[:_SHOWN_PAIRS]
    return "\n".join(
        [
            f"{where}{source.title} (--dataset={source.name})",
            f"classes, with their colours; {info.ignore_label} is void:",
            *named,
            f"splits: {counts}",
            "for example:",
            *(f"  {pair_of(sample)}" for sample in first),
            *(f"note: {note}" for note in notes),
            "",
        ]
    )


def _doubts(info: DatasetInfo) -> list[str]:
    """What looks like a misunderstanding once everything is counted."""
    labelled = [split for split in info.splits.values() if split.has_labels]
    if not labelled:
        return []
    pixels = [
        sum(column) for column in zip(*(s.class_pixels for s in labelled), strict=True)
    ]
    ignored = sum(split.ignored_pixels for split in labelled)
    present = [
        name for name, count in zip(info.class_names, pixels, strict=True) if count
    ]
    if len(present) > 1:
        return []
    what = f"only one class occurs, {present[0]!r}" if present else "no class occurs"
    lines = [f"{what}: a network learns to say it everywhere."]
    if ignored and info.ignore_label == dataset_info.IGNORE_LABEL:
        pair = [*info.class_names, "foreground"][:2]
        values = f'"0": "{pair[0]}", "255": "{pair[1]}"'
        lines.append(
            f"{ignored:,} pixels are 255, which is void here. If 255 is a class, say "
            f'so in classes.json: "class_names": ["{pair[0]}", "{pair[1]}"], "values": '
            f"{{{values}}}."
        )
    return lines


def _stop(audit: Audit) -> None:
    more = len(audit.errors) - 1
    tail = f" {more} more errors are listed above." if more else ""
    raise UserError(audit.errors[0]["message"] + tail)
