"""The checkpoints of a run folder, named by their steps: written whole, and read."""

import os
import pathlib
import re
import shutil

import keras
import tensorflow as tf

from deeplab_tf import files
from deeplab_tf.errors import UserError

# What TensorFlow raises for a full disk, a quota, or a limit on the size of a file.
_DISK_ERRORS = (
    tf.errors.ResourceExhaustedError,
    tf.errors.OutOfRangeError,
    tf.errors.UnknownError,
)
_CHECKPOINT = re.compile(r"ckpt-(\d+)\.index")
_HALF_WRITTEN = re.compile(r"ckpt-\d+_temp|checkpoint\.tmp|\.checkpoint\.writing-")


def weights(model: keras.Model) -> tf.train.Checkpoint:
    """The weights as a checkpoint that names each by its path in the model."""
    return tf.train.Checkpoint(**{"weights": {v.path: v.value for v in model.weights}})


def weights_path(run_path: pathlib.Path, checkpoint: str) -> str:
    """The checkpoint's prefix in the run folder, as `restore_weights` reads it."""
    folders = {"best": ("best", "checkpoints"), "latest": ("checkpoints",)}[checkpoint]
    for folder in folders:
        for path in checkpoint_paths(run_path / folder):
            return path
    raise UserError(f"{run_path}: holds no checkpoint yet; train first.")


def checkpoint_paths(folder: pathlib.Path) -> list[str]:
    """Prefixes of the checkpoints in a folder, the newest first.

    By their names: the file `checkpoint`, where TensorFlow looks, may be lost or lie.
    """
    found = [_CHECKPOINT.fullmatch(path.name) for path in _entries(folder)]
    steps = sorted({int(match[1]) for match in found if match}, reverse=True)
    return [str(folder / f"ckpt-{step}") for step in steps]


def _entries(folder: pathlib.Path) -> list[pathlib.Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def for_tensorflow(path: str) -> str:
    """A checkpoint's prefix in letters that TensorFlow takes as they are."""
    folder, name = os.path.split(path)
    return os.path.join(files.without_wildcards(folder), name)


def write_checkpoint(
    checkpoint: tf.train.Checkpoint, folder: pathlib.Path, step: int, keep: int
) -> None:
    """Writes a checkpoint, and deletes those before but for the last `keep` - 1.

    Raises:
      UserError: the disk is full; what was written before is kept.
    """
    path = folder / f"ckpt-{step}"
    try:
        checkpoint.write(for_tensorflow(str(path)))
    except _DISK_ERRORS as error:
        remove_half_written(folder)
        raise UserError(
            f"{path}: cannot be written ({str(error).splitlines()[0]}); what was "
            "written before is kept. Make space and give the same command again."
        ) from None
    paths = checkpoint_paths(folder)
    upto = paths[paths.index(str(path)) :]
    for old in upto[keep:]:
        name = os.path.basename(old)
        for file in _entries(folder):
            if file.name.partition(".")[0] == name:
                file.unlink()
    lines = [
        f'all_model_checkpoint_paths: "{os.path.basename(p)}"' for p in upto[:keep]
    ]
    # For tf.train.latest_checkpoint; nothing here reads it.
    with files.replacing(folder / "checkpoint") as temporary:
        latest = f'model_checkpoint_path: "ckpt-{step}"'
        temporary.write_text("\n".join([latest, *lines[::-1]]) + "\n")


def remove_half_written(folder: pathlib.Path) -> None:
    """Removes what killed processes left of checkpoints; only one may write there."""
    for path in _entries(folder):
        if _HALF_WRITTEN.match(path.name):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def save_best(run_path: pathlib.Path, model: keras.Model, step: int) -> None:
    """Writes the weights of the best evaluation, of the only step that is kept."""
    write_checkpoint(weights(model), run_path / "best", step, keep=1)


def restore_weights(model: keras.Model, path: str) -> None:
    """Restores all weights of the model from a checkpoint of `weights`.

    Raises:
      UserError: the file is damaged or lacks a weight of the model.
    """
    try:
        status = weights(model).read(for_tensorflow(path))
        status.assert_existing_objects_matched()
        status.expect_partial()
    except (tf.errors.OpError, AssertionError, ValueError, IndexError) as error:
        first_line = str(error).strip().split("\n")[0]
        raise UserError(
            f"{path}: is damaged or of another model: {first_line}"
        ) from None
