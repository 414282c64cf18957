"""What a run tells to experiment trackers: MLflow, Weights & Biases.

They are told what metrics.jsonl is told, by a thread of their own, so that no step
waits for a server. Where they keep it is said by their own environment variables
(MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_NAME, WANDB_PROJECT, WANDB_MODE ...).
"""

import contextlib
import importlib.util
import json
import os
import pathlib
import re
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from absl import logging

from deeplab_tf import files, runs
from deeplab_tf.errors import UserError, printable
from deeplab_tf.files import Json
from deeplab_tf.runs import Run

FILE_NAME = "trackers.json"
_REFUSED = re.compile(r"[^\w\- ]")
# Who stops a run by a signal does not call it failed.
_STOPPED = {128 + signal.SIGINT, 128 + signal.SIGTERM}


class Tracker(Protocol):
    """One tracker's record of a run; whatever it raises ends no training."""

    def __init__(self, run: Run, known: str | None) -> None:
        """Begins a record, or goes on with the one of that id."""

    @property
    def id(self) -> str:
        """Of the record, by which a later process goes on with it."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Keeps values of a step by their names."""

    def keep(self, folder: pathlib.Path) -> None:
        """Keeps the files of a folder."""

    def end(self, code: int) -> None:
        """Ends the record with the run's exit code, in the thread that began it."""


class MLflow:
    """A run of MLflow, whose parameters are the settings that the run began with."""

    def __init__(self, run: Run, known: str | None) -> None:
        import mlflow

        name = None if known else run.path.resolve().name
        # Nested, so that a run that a notebook has open is left as it is.
        self.id = mlflow.start_run(known, run_name=name, nested=True).info.run_id
        if not known:
            texts = {
                name: value if isinstance(value, str) else json.dumps(value)
                for name, value in _settings(run).items()
            }
            mlflow.log_params(texts, run_id=self.id)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """See `Tracker`."""
        import mlflow

        mlflow.log_metrics(dict(values), step=step, run_id=self.id)

    def keep(self, folder: pathlib.Path) -> None:
        """See `Tracker`."""
        import mlflow

        mlflow.log_artifacts(os.fspath(folder), run_id=self.id)

    def end(self, code: int) -> None:
        """See `Tracker`."""
        import mlflow

        stopped = "KILLED" if code in _STOPPED else "FAILED"
        mlflow.end_run(stopped if code else "FINISHED")


class WeightsAndBiases:
    """A run of Weights & Biases; its steps only grow, so none is told twice."""

    def __init__(self, run: Run, known: str | None) -> None:
        import wandb

        self._run = wandb.init(
            id=known,
            resume="allow" if known else None,
            name=run.path.resolve().name,
            reinit="create_new",  # a run that a notebook has open is left as it is
        )
        self._run.config.update(_settings(run), allow_val_change=True)
        self.id = self._run.id

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """See `Tracker`."""
        self._run.log(dict(values), step=step)

    def keep(self, folder: pathlib.Path) -> None:
        """See `Tracker`."""
        import wandb

        artifact = wandb.Artifact(f"run-{self.id}", type="run")
        artifact.add_dir(os.fspath(folder))
        self._run.log_artifact(artifact)

    def end(self, code: int) -> None:
        """See `Tracker`."""
        self._run.finish(exit_code=code)


TRACKERS: dict[str, Callable[[Run, str | None], Tracker]] = {
    "mlflow": MLflow,
    "wandb": WeightsAndBiases,
}


def _settings(run: Run) -> Json:
    """The settings by their dotted names, and the data set's name."""
    return {"dataset": run.info.name, **run.config.leaves()}


def require(names: Iterable[str]) -> None:
    """Raises UserError where the package of a tracker is not installed."""
    for name in names:
        if importlib.util.find_spec(name) is None:
            raise UserError(
                f"train.callbacks={name} needs more packages: "
                f"pip install 'deeplab-tf[{name}]' (or '.[{name}]')."
            )


class Tracking:
    """The trackers of a run. One that fails is warned of, and told nothing more.

    Args:
      run: its `train.callbacks` names them. The ids of their records are kept in the
        run folder, so that the run goes on with the same ones when it is resumed.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._trackers: dict[str, Tracker] = {}
        self._failed: set[str] = set()
        self._evaluation: Json = {}
        if names := run.config.train.callbacks:
            self._start(names)
            self._thread = ThreadPoolExecutor(1, "trackers")

    def _start(self, names: Iterable[str]) -> None:
        path = self._run.path / FILE_NAME
        ids = files.read_json(path, "delete it.") if path.exists() else {}
        for name in names:
            with self._warned(name):
                self._trackers[name] = TRACKERS[name](self._run, ids.get(name))
                ids[name] = self._trackers[name].id
        files.write_json(path, ids)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Tells values of a step."""
        named = {_allowed(name): value for name, value in values.items()}
        self._tell(lambda tracker: tracker.log(step, named))

    def evaluated(self, result: Json) -> None:
        """Notes an evaluation; the last is kept when the run ends."""
        self._evaluation = result

    def end(self, error: BaseException | None) -> None:
        """Waits until all is told; then what the run ends with, and its files."""
        if not self._trackers:
            return
        with tempfile.TemporaryDirectory() as name:
            if error is None:
                folder = pathlib.Path(name)
                self._gather(folder)
                self._tell(lambda tracker: tracker.keep(folder))
            self._thread.shutdown()
        stopped = 128 + signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
        code = getattr(error, "exit_code", stopped) if error else 0
        for name, tracker in self._trackers.items():
            with self._warned(name):
                tracker.end(code)

    def _gather(self, folder: pathlib.Path) -> None:
        """Copies what is to be kept of the run."""
        for name in (runs.RUN_FILE, "metrics.jsonl", "initialization.json"):
            path = self._run.path / name
            if path.exists():
                shutil.copy(path, folder)
        if result := self._evaluation:
            files.write_json(folder / "eval" / f"{result['split']}.json", result)

    def _tell(self, what: Callable[[Tracker], None]) -> None:
        for name in self._trackers:
            self._thread.submit(self._do, name, what)

    def _do(self, name: str, what: Callable[[Tracker], None]) -> None:
        if name not in self._failed:
            with self._warned(name):
                what(self._trackers[name])

    @contextlib.contextmanager
    def _warned(self, name: str) -> Iterator[None]:
        """Warns of the first thing that goes wrong with a tracker."""
        try:
            yield
        except Exception as error:  # a server that is gone must not end a training
            if name not in self._failed:
                logging.warning(
                    f"train.callbacks={name} failed and is told nothing more of this "
                    f"run: {printable(str(error))}"
                )
            self._failed.add(name)


def _allowed(name: str) -> str:
    """The name without what MLflow refuses in a class's name."""
    return "/".join(_REFUSED.sub("_", part) for part in name.split("/", 1))
