"""The examples of a split, one after the other, each at its own size."""

from collections.abc import Iterable

import tensorflow as tf

from deeplab_tf import cli
from deeplab_tf.data import records
from deeplab_tf.data.dataset_info import DatasetInfo, shard_paths
from deeplab_tf.data.pipeline import make_eval_dataset

Example = dict[str, tf.Tensor]


def read_split(
    dataset_dir: str, info: DatasetInfo, split: str, title: str
) -> Iterable[Example]:
    """Yields the examples of a split behind a progress bar.

    Raises:
      UserError: a shard is damaged; the message names it.
    """
    dataset = make_eval_dataset(dataset_dir, info, split)
    total = info.split(split).num_examples
    try:
        yield from cli.bar(dataset, title, total)
    except tf.errors.OpError as error:
        paths = shard_paths(dataset_dir, info, split)
        raise records.describe_read_error(error, paths) from error
