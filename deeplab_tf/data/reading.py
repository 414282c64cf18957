"""The examples of a split, one after the other, each at its own size."""

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence

import tensorflow as tf

from deeplab_tf import cli
from deeplab_tf.config import Config
from deeplab_tf.data import records
from deeplab_tf.data.dataset_info import DatasetInfo, shard_paths
from deeplab_tf.data.pipeline import make_eval_dataset, make_train_dataset
from deeplab_tf.data.tfrecord import read_records
from deeplab_tf.errors import UserError

Example = dict[str, tf.Tensor]
# What reading raises. TensorFlow quotes a record that it cannot parse, which need not
# be text.
UNREADABLE = (tf.errors.OpError, UnicodeDecodeError)
# Of it, what is the data's fault where the same call also computes.
DAMAGED = (
    tf.errors.DataLossError,
    tf.errors.InvalidArgumentError,
    UnicodeDecodeError,
)
_MACHINERY = re.compile(
    r"\{\{.*?\}\}|\[\[.*?\]\]|\[Op:.*|Error in user-defined function.*Iterator::\S+:",
    re.DOTALL,
)


def read_split(
    dataset_dir: str,
    info: DatasetInfo,
    split: str,
    title: str | None = None,
    *,
    count: int | None = None,
) -> Iterator[Example]:
    """Yields the examples of a split, with a title behind a progress bar.

    Args:
      dataset_dir, info, split: what to read.
      title: of the bar.
      count: of the first examples; None: all.

    Raises:
      UserError: a shard is damaged, or an example cannot be decoded; names it.
    """
    dataset = make_eval_dataset(dataset_dir, info, split)
    items: Iterable[Example] = dataset if count is None else dataset.take(count)
    if title is not None:
        items = cli.bar(items, title, info.split(split).num_examples)
    yield from _named(items, dataset_dir, info, split)


def read_crops(
    config: Config,
    info: DatasetInfo,
    count: int,
    *,
    fill: Sequence[float],
    start_step: int = 0,
    filenames: bool = False,
) -> Iterator[Example]:
    """Yields `count` batches of what `pipeline.make_train_dataset` gives.

    Raises:
      UserError: as `read_split`.
    """
    batches = make_train_dataset(
        config, info, fill=fill, start_step=start_step, filenames=filenames
    ).take(count)
    data = config.data
    yield from _named(batches, data.dataset_dir, info, data.train_split)


def _named(
    items: Iterable[Example], dataset_dir: str, info: DatasetInfo, split: str
) -> Iterator[Example]:
    try:
        yield from items
    except UNREADABLE as error:
        raise explain(error, dataset_dir, info, split) from error


def explain(
    error: Exception, dataset_dir: str, info: DatasetInfo, split: str
) -> UserError:
    """Finds the shard and the example that tf.data could not read.

    tf.data says what is wrong, not where, so the split is read again up to the first
    fault, with the decoder that training and evaluation use.

    Args:
      error: what iterating over the data set raised: DataLossError,
        InvalidArgumentError or another tf.errors.OpError.
      dataset_dir, info, split: what was read.
    """
    has_labels = info.split(split).has_labels
    parse = records.make_parser(info.channels, info.ignore_label, has_labels, info.bits)
    for path in shard_paths(dataset_dir, info, split):
        number = 0
        try:
            for _ in read_records(path):
                pass
            dataset = tf.data.TFRecordDataset(path)
            for _ in dataset.map(parse, num_parallel_calls=tf.data.AUTOTUNE):
                number += 1
        except UserError as damaged:
            return damaged
        except OSError as unreadable:
            return UserError(f"{path}: {unreadable.strerror}.")
        except UNREADABLE as fault:
            return UserError(
                f"{path}, record {number} ({_stored_name(path, number)}) cannot be "
                f"read: {_reason(fault)}. Find all such with datasets/convert.py "
                "--verify."
            )
    return UserError(
        f"{dataset_dir}: an example of split {split!r} cannot be used "
        f"({_reason(error)}). Check the shards with datasets/convert.py --verify."
    )


def _stored_name(path: str, number: int) -> str:
    """The file name that a record holds."""
    serialized = next(itertools.islice(read_records(path), number, None))
    try:
        return records.name_of(records.decode_example(serialized))
    except UserError:
        return "no example"


def _reason(error: Exception) -> str:
    """What an operation said, without the machinery round it."""
    said = getattr(error, "message", "") or str(error)
    return " ".join(_MACHINERY.sub(" ", said).split()).rstrip(".")
