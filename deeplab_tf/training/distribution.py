"""From the train section to a tf.distribute strategy."""

import contextlib
import json
import os
from collections.abc import Callable

import tensorflow as tf

from deeplab_tf.config import Train
from deeplab_tf.errors import UserError


def make_strategy(train: Train) -> tf.distribute.Strategy:
    """Returns the strategy that the settings and the environment ask for.

    `auto` is multi_worker where TF_CONFIG names several workers, mirrored where there
    are several GPUs, one_device else. On a machine without a GPU, `mirrored` splits
    the CPU into `train.num_devices` logical devices: no faster, but the same program
    as on that many GPUs.

    Raises:
      UserError: there are too few devices, the batch cannot be split evenly, or the
        environment does not name the workers.
    """
    kind = _automatic(train) if train.strategy == "auto" else train.strategy
    strategy = {
        "one_device": lambda _: tf.distribute.get_strategy(),
        "mirrored": _mirrored,
        "multi_worker": lambda _: tf.distribute.MultiWorkerMirroredStrategy(
            cluster_resolver=_worker_resolver()
        ),
        "tpu": _tpu,
    }[kind](train)
    if train.batch_size % (strategy.num_replicas_in_sync * train.accumulate_steps):
        raise UserError(
            "train.batch_size must be a multiple of the "
            f"{strategy.num_replicas_in_sync} replicas times train.accumulate_steps; "
            f"received {train.batch_size}."
        )
    _require_no_xla(train, strategy)
    return strategy


def _require_no_xla(train: Train, strategy: tf.distribute.Strategy) -> None:
    """XLA compiles for one device; replicas meet inside the step, to add up counts.

    TPUs, which compile for all of them together, are not asked.
    """
    replicas = strategy.num_replicas_in_sync
    on_tpu = isinstance(strategy, tf.distribute.TPUStrategy)
    if train.xla == "on" and replicas > 1 and not on_tpu:
        raise UserError(
            f"train.xla must be auto or off where the batch is spread over {replicas} "
            "replicas, whose steps are never compiled; received 'on'."
        )


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process writes the run folder: the first of several workers."""
    return strategy.extended.should_save_summary


def is_multi_worker(train: Train) -> bool:
    """Whether other processes train beside this one."""
    kind = _automatic(train) if train.strategy == "auto" else train.strategy
    return kind == "multi_worker"


def make_agreement(strategy: tf.distribute.Strategy) -> Callable[..., list[bool]]:
    """Makes the function from wishes to which of them any worker has.

    All workers must call it at the same step, and get the same answers.
    """
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return lambda *wishes: list(wishes)

    @tf.function
    def count(own: tf.Tensor) -> tf.Tensor:
        votes = strategy.run(tf.identity, (own,))
        return strategy.reduce(tf.distribute.ReduceOp.SUM, votes, axis=None)

    def agree(*wishes: bool) -> list[bool]:
        return [float(n) > 0 for n in count(tf.constant(wishes, tf.float32))]

    return agree


def has_accelerator() -> bool:
    """Whether TensorFlow sees a GPU or TPU."""
    # The physical list leaves the runtime uninitialised; _logical_cpus needs that.
    kinds = ("GPU", "TPU")
    return any(tf.config.list_physical_devices(kind) for kind in kinds)


def _automatic(train: Train) -> str:
    workers = json.loads(os.environ.get("TF_CONFIG", "{}")).get("cluster", {})
    if sum(len(workers.get(job, ())) for job in ("chief", "worker")) > 1:
        return "multi_worker"
    gpus = len(tf.config.list_physical_devices("GPU"))
    return "mirrored" if (train.num_devices or gpus) > 1 else "one_device"


def _mirrored(train: Train) -> tf.distribute.Strategy:
    gpus = (
        [gpu.name for gpu in tf.config.list_logical_devices("GPU")]
        if (tf.config.list_physical_devices("GPU"))
        else []
    )
    count = train.num_devices or max(1, len(gpus))
    devices = gpus or _logical_cpus(count)
    if len(devices) < count:
        raise UserError(
            f"train.num_devices must be at most {len(devices)}, the devices that "
            f"TensorFlow sees; received {count}."
        )
    # Between logical CPUs a plain sum does; the collective operations of a second
    # strategy in one process get mixed up with those of the first.
    reduction = None if gpus else tf.distribute.ReductionToOneDevice()
    return tf.distribute.MirroredStrategy(devices[:count], reduction)


def _logical_cpus(count: int) -> list[str]:
    cpu = tf.config.list_physical_devices("CPU")[0]
    if tf.config.get_logical_device_configuration(cpu) is None:
        parts = [tf.config.LogicalDeviceConfiguration()] * count
        # A RuntimeError says that TensorFlow runs already: its devices must do.
        with contextlib.suppress(RuntimeError):
            tf.config.set_logical_device_configuration(cpu, parts)
    return [device.name for device in tf.config.list_logical_devices("CPU")]


def _worker_resolver() -> "tf.distribute.cluster_resolver.ClusterResolver":
    """Who the other workers are, by TensorFlow's own reading of the environment."""
    resolvers = tf.distribute.cluster_resolver
    if "TF_CONFIG" in os.environ:
        return resolvers.TFConfigClusterResolver()
    if "SLURM_JOB_ID" in os.environ:
        return resolvers.SlurmClusterResolver()
    if "KUBERNETES_SERVICE_HOST" in os.environ:
        return resolvers.KubernetesClusterResolver()
    raise UserError(
        "train.strategy=multi_worker needs TF_CONFIG, Slurm or Kubernetes to name the "
        "workers; for a trial on one machine: python -m deeplab_tf.launch --workers=2."
    )


def _tpu(train: Train) -> tf.distribute.Strategy:
    del train
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver.connect(
            os.environ.get("TPU_NAME", "local")
        )
    except (ValueError, RuntimeError, tf.errors.OpError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"train.strategy=tpu finds no TPU: {reason}") from None
    return tf.distribute.TPUStrategy(resolver)
