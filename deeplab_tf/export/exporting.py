"""The frame of the export commands: their common flags, the proof, the report."""

import contextlib
import pathlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from absl import flags as absl_flags

from deeplab_tf import cli, files
from deeplab_tf.errors import UserError

if TYPE_CHECKING:
    import keras

    from deeplab_tf.runs import Run

FLAGS = absl_flags.FLAGS


def define_flags() -> None:
    """Defines the flags that every export has."""
    cli.define_run_dir()
    absl_flags.DEFINE_integer(
        "output_stride", None, "Another than trained at: 8, 16, 32."
    )
    absl_flags.DEFINE_enum(
        "checkpoint", "best", ["best", "latest"], "Weights to take from the run."
    )
    absl_flags.DEFINE_string("dataset_dir", None, "Folder of the shards, if it moved.")
    absl_flags.DEFINE_integer(
        "check_pictures",
        50,
        "Pictures of the run's eval_split to compare with Keras.",
        lower_bound=1,
    )
    absl_flags.DEFINE_float(
        "max_miou_drop", 0.05, "An export that loses more mIoU is not written."
    )
    absl_flags.DEFINE_bool("measure", True, "Measure speed and memory, too.")


def output_file(suffix: str) -> pathlib.Path:
    """The file of --output.

    Raises:
      UserError: it is a folder or ends otherwise.
    """
    output = pathlib.Path(FLAGS.output)
    if output.suffix != suffix or output.is_dir():
        raise UserError(f"--output must be a file FILE{suffix}; received {output}.")
    return output


def load() -> tuple["Run", "keras.Model"]:
    """The run of --run_dir and its model."""
    cli.import_tensorflow()
    from deeplab_tf import runs

    run = runs.open_run(FLAGS.run_dir)
    model = runs.load_model(
        run, output_stride=FLAGS.output_stride, checkpoint=FLAGS.checkpoint
    )
    return run, model


@contextlib.contextmanager
def proven(
    output: pathlib.Path,
    run: "Run",
    model: "keras.Model",
    *,
    exact: bool,
    **averaging: Any,
) -> Iterator[pathlib.Path]:
    """Yields a path to write an export to; it becomes `output` once it is proven.

    Then OUTPUT.proof.json lies beside it, and a summary is printed.

    Args:
      output: final name.
      run: the run.
      model: its Keras model.
      exact: whether the format computes in float32 and must agree to rounding.
      **averaging: scales and flip, where the export averages predictions.

    Raises:
      UserError: the export is worse than Keras; nothing is written.
    """
    from deeplab_tf.export import proof
    from deeplab_tf.inference import exported

    with files.replacing(output) as temporary:
        yield temporary
        opened = exported.open_export(str(temporary))
        examples = proof.sample(
            run, FLAGS.check_pictures, dataset_dir=FLAGS.dataset_dir
        )
        agreement = proof.compare(model, opened, examples, run.info, **averaging)
        # A network that rounds may round a tie the other way in another kernel.
        if exact and run.config.train.quantize == "none":
            agreement.require_float(str(output))
        agreement.require_miou(str(output), FLAGS.max_miou_drop)
        report = proof.report(opened, agreement, run, measure=FLAGS.measure)
    files.write_json(f"{output}.proof.json", {"artefact": str(output), **report})
    print(f"{output}: {report['num_bytes'] / 1e6:.1f} MB; {agreement}")
    for speed in report["speed"]:
        print(
            f"  {speed['latency_ms']:.0f} ms on {speed['num_threads']} threads at "
            f"{report['size'][0]}x{report['size'][1]}, loaded in "
            f"{speed['load_seconds']:.1f} s, {speed['peak_memory_bytes'] / 1e6:.0f} MB"
        )
    print(f"  Report: {output}.proof.json")
