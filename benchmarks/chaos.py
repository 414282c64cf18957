"""Does anything get lost? Kills commands at random moments, then lets them finish.

A trail is a folder in which a command is started again and again and killed each time
(SIGKILL to all its processes, or to the first alone), or started on a disk that is full
after so many bytes, or in folders that turn read-only; in the end it runs undisturbed.
It must then succeed, what it wrote must be what a run that nobody disturbed wrote (the
same bytes of shards, scores, exports and downloads, the same tensors of checkpoints),
and nothing half written may lie beside it. A fault must end in one line.

Half of the moments are anywhere in the command's time, half are in the part of it in
which files are written. Prints tries and failures by area as JSON; exit code 1 where
something failed.

Examples:
  python benchmarks/chaos.py --kills=300
  python benchmarks/chaos.py --kills=50 --area=training --seed=1
"""

import argparse
import collections
import contextlib
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any

import psutil
from chaos_areas import AREAS, Area, prepare, server

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

_LONGEST_TRAIL = 8
_FAULTS = 0.15  # of the tries
_PATIENCE_SECONDS = 300
_WASTE = re.compile(r"\.partial|.*(\.writing-|_temp|\.tmp).*")
# Root may write anywhere, unless it gives up that right.
_MORTAL = ["setpriv", "--bounding-set=-dac_override"] if os.geteuid() == 0 else []
Path = pathlib.Path


def main() -> int:
    given = _arguments()
    chosen = [given.area] if given.area else list(AREAS)
    total = sum(AREAS[name].share for name in chosen)
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "source")
        prepare(source, chosen)
        with server(source / "archive.tar.gz"):
            for name in chosen:
                trials = Trials(AREAS[name], source, Path(folder, name), given.seed)
                trials.run(round(given.kills * AREAS[name].share / total))
                results[name] = trials.summary()
                print(name, results[name], file=sys.stderr, flush=True)
    print(json.dumps(results, indent=1))
    return any(result["failures"] for result in results.values())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--area", choices=AREAS)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


class Trials:
    """The trails of one area.

    Args:
      area: what is tried.
      source: folder of the input.
      folder: to work in.
      seed: of the moments and faults.
    """

    def __init__(self, area: Area, source: Path, folder: Path, seed: int) -> None:
        self._area, self._source = area, source
        self._rng = random.Random(f"{seed} {folder.name}")
        self._work, self._home = folder / "work", folder / "home"
        self._home.mkdir(parents=True)
        self._begin = self._end = 0.0  # of the time in which files are written
        self._counts: collections.Counter[str] = collections.Counter()
        self._failures: list[str] = []
        self._started = time.monotonic()

    def run(self, kills: int) -> None:
        """Goes on until so many processes were killed."""
        self._new_folder()
        self._finish("undisturbed")
        expected = self._area.result(self._work)
        while self._counts["kills"] < kills and len(self._failures) < 20:
            self._new_folder()
            told = []
            left = kills - self._counts["kills"]
            for _ in range(self._rng.randint(1, min(_LONGEST_TRAIL, left))):
                told.append(self._disturb())
            self._compare(expected, " ".join(told))
            self._counts["trails"] += 1

    def summary(self) -> dict[str, Any]:
        """Tries by kind, and what failed."""
        seconds = round(time.monotonic() - self._started)
        return {**self._counts, "seconds": seconds, "failures": self._failures}

    def _new_folder(self) -> None:
        shutil.rmtree(self._work, ignore_errors=True)
        self._work.mkdir()

    def _disturb(self) -> str:
        if self._rng.random() < _FAULTS:
            return self._rng.choice([self._fill_disk, self._take_rights])()
        begin = self._rng.choice([0.0, 0.9 * self._begin])
        moment = self._rng.uniform(begin, self._end)
        process = self._start()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=moment)
        if process.returncode is not None:
            self._counts["too_late"] += 1
            return f"ended({process.returncode})"
        self._counts["kills"] += 1
        alone = self._area.leader_alone and self._rng.random() < 0.5
        if alone:
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return f"kill{'-leader' * alone}@{moment:.2f}"

    def _fill_disk(self) -> str:
        """No file may grow beyond a random size, as where the disk is full."""
        blocks = round(2 ** self._rng.uniform(0, 14))
        shell = f'ulimit -f {blocks}; trap "" XFSZ; exec "$@"'
        told = f"full@{blocks}KiB"
        self._check_fault(self._start("bash", "-c", shell, "_"), told)
        self._counts["full_disks"] += 1
        return told

    def _take_rights(self) -> str:
        """All folders are read-only from a random moment on."""
        moment = self._rng.uniform(0, self._end)
        process = self._start()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(moment)
        folders = [Path(root) for root, _, _ in os.walk(self._work)]
        for folder in folders:
            _change_mode(folder, 0o555)
        told = f"read-only@{moment:.2f}"
        self._check_fault(process, told)
        for folder in folders:
            _change_mode(folder, 0o755)
        self._counts["read_only"] += 1
        return told

    def _check_fault(self, process: subprocess.Popen[str], told: str) -> None:
        """It ended well, or with one line."""
        _, errors = process.communicate(timeout=_PATIENCE_SECONDS)
        lines = [text for text in errors.splitlines() if text.startswith("error: ")]
        clean = "Traceback" not in errors and "unexpected" not in " ".join(lines)
        again = "holds a finished data set already" in errors
        if not again and (process.returncode, len(lines)) not in ((0, 0), (1, 1)):
            clean = False
        if not clean:
            self._fail(f"{told}: exit code {process.returncode}: {errors[-800:]}")

    def _start(self, *before: str) -> subprocess.Popen[str]:
        command = self._area.command(self._source, self._work)
        return subprocess.Popen(
            [*_MORTAL, *before, sys.executable, *command],
            cwd=ROOT,
            env={**os.environ, "HOME": str(self._home), "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def _finish(self, told: str) -> None:
        """Runs it to its end; notes when it first wrote and how long it took."""
        start, begin = time.monotonic(), 0.0
        before = _snapshot(self._work)
        process = self._start()
        with contextlib.suppress(subprocess.TimeoutExpired):
            while not begin and process.poll() is None:
                if _snapshot(self._work) != before:
                    begin = time.monotonic() - start
                time.sleep(0.01)
        _, errors = process.communicate(timeout=_PATIENCE_SECONDS)
        if process.returncode and "holds a" not in errors:
            self._fail(f"{told}: did not finish: {errors[-800:]}")
        if told == "undisturbed":
            self._begin, self._end = begin, time.monotonic() - start

    def _compare(self, expected: Any, told: str) -> None:
        """The trail's end: the same result, no waste, no process left."""
        self._finish(told)
        found = self._area.result(self._work)
        if found != expected:
            self._fail(f"{told}: another result: {_first_difference(expected, found)}")
        waste = [p.name for p in self._work.rglob("*") if _WASTE.fullmatch(p.name)]
        if waste:
            self._fail(f"{told}: left behind: {waste}")
        for process in psutil.process_iter(["cmdline"]):
            if str(self._work) in " ".join(process.info["cmdline"] or ()):
                with contextlib.suppress(psutil.Error):
                    process.wait(10)
                    continue
                self._fail(f"{told}: a process is left: {process}")
                process.kill()

    def _fail(self, message: str) -> None:
        self._failures.append(message)


def _change_mode(folder: Path, mode: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        folder.chmod(mode)


def _snapshot(folder: Path) -> set[tuple[str, int]]:
    found = set()
    for root, _, names in os.walk(folder):
        for name in (".", *names):
            with contextlib.suppress(FileNotFoundError):
                path = os.path.join(root, name)
                found.add((path, os.stat(path).st_mtime_ns))
    return found


def _first_difference(expected: Any, found: Any) -> str:
    if not isinstance(expected, dict) or not isinstance(found, dict):
        return f"{expected!r:.200} -> {found!r:.200}"
    for name in sorted({*expected, *found}, key=str):
        if expected.get(name) != found.get(name):
            return f"{name}: {expected.get(name)!r:.200} -> {found.get(name)!r:.200}"
    return "order"


if __name__ == "__main__":
    raise SystemExit(main())
