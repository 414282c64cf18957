"""From the train section to a tf.distribute strategy."""

import contextlib

import tensorflow as tf

from deeplab_tf.config import Train
from deeplab_tf.errors import UserError


def make_strategy(train: Train) -> tf.distribute.Strategy:
    """Returns the strategy that the settings ask for.

    On a machine without a GPU, `mirrored` splits the CPU into `train.num_devices`
    logical devices: no faster, but the same program as on that many GPUs.

    Raises:
      UserError: there are too few devices, or the batch cannot be split evenly.
    """
    gpus = tf.config.list_logical_devices("GPU") if _has_gpu() else []
    count = train.num_devices or max(1, len(gpus))
    if train.strategy == "one_device" or (train.strategy == "auto" and count == 1):
        return tf.distribute.get_strategy()
    devices = [gpu.name for gpu in gpus] if gpus else _logical_cpus(count)
    if len(devices) < count:
        raise UserError(
            f"train.num_devices must be at most {len(devices)}, the GPUs that "
            f"TensorFlow sees; received {count}."
        )
    if train.batch_size % count:
        raise UserError(
            f"train.batch_size must be a multiple of the {count} devices; received "
            f"{train.batch_size}."
        )
    # Between logical CPUs a plain sum does; the collective operations of a second
    # strategy in one process get mixed up with those of the first.
    reduction = None if gpus else tf.distribute.ReductionToOneDevice()
    return tf.distribute.MirroredStrategy(devices[:count], reduction)


def _has_gpu() -> bool:
    # The physical list leaves the runtime uninitialised; _logical_cpus needs that.
    return bool(tf.config.list_physical_devices("GPU"))


def _logical_cpus(count: int) -> list[str]:
    cpu = tf.config.list_physical_devices("CPU")[0]
    if tf.config.get_logical_device_configuration(cpu) is None:
        parts = [tf.config.LogicalDeviceConfiguration()] * count
        # A RuntimeError says that TensorFlow runs already: its devices must do.
        with contextlib.suppress(RuntimeError):
            tf.config.set_logical_device_configuration(cpu, parts)
    return [device.name for device in tf.config.list_logical_devices("CPU")]
