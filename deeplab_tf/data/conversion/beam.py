"""The same shards through Apache Beam, for more than one machine.

A shard is one element. A worker reads its examples and writes the file and its side-car
just as a local process does, so the bytes are the same and finished shards are kept;
only who does the work differs. The workers must see source and output folder under the
same paths, and have this project and the folder datasets/ on their Python path.
"""

import os
import sys
from collections.abc import Sequence

from deeplab_tf.data.conversion.workers import Task
from deeplab_tf.errors import UserError


def run_beam(
    tasks: Sequence[Task], num_examples: int, title: str, beam_flags: Sequence[str]
) -> None:
    """Runs all tasks as a pipeline.

    Args:
      tasks: one for each shard.
      num_examples: not used; Beam's runners have their own progress.
      title: name of the job.
      beam_flags: options for Beam, as --runner=FlinkRunner.

    Raises:
      UserError: Beam is not installed, or the pipeline failed.
    """
    del num_examples
    try:
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError:
        raise UserError(
            "--runner=beam needs Apache Beam: pip install 'deeplab-tf[beam]'."
        ) from None
    # Workers that Beam starts on this machine find the modules of this folder by it.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    options = PipelineOptions(list(beam_flags), job_name=title.replace("_", "-"))
    try:
        with beam.Pipeline(options=options) as pipeline:
            (
                pipeline
                | "Shards" >> beam.Create(list(tasks))
                | "Spread" >> beam.Reshuffle()
                | "Write" >> beam.Map(_run)
            )
    except Exception as error:  # whatever the runner makes of a worker's error
        text = str(error).strip().splitlines()
        reason = text[-1] if text else type(error).__name__
        raise UserError(
            f"the Beam pipeline failed: {reason}. Finished shards are kept: run the "
            "same command again once this is mended."
        ) from error


def _run(task: Task) -> None:
    task(lambda: None)
