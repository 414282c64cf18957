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
import dataclasses
import hashlib
import http.server
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
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import psutil

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

_LONGEST_TRAIL = 8
_FAULTS = 0.15  # of the tries
_PATIENCE_SECONDS = 300
_WASTE = re.compile(r"\.partial|.*(\.writing-|_temp|\.tmp).*")
# Root may write anywhere, unless it gives up that right.
_MORTAL = ["setpriv", "--bounding-set=-dac_override"] if os.geteuid() == 0 else []
_ZOO_MODEL = "mobilenetv2_dm05_coco_voc_trainaug"
Path = pathlib.Path


@dataclasses.dataclass(frozen=True)
class Area:
    """A command that is disturbed.

    Attributes:
      share: of the kills, relative to the other areas.
      command: arguments, given the folder of the input and the one to write.
      result: what must be equal in the end, given the folder that was written.
      leader_alone: whether killing the first process ends all of them soon.
    """

    share: int
    command: Callable[[Path, Path], list[str]]
    result: Callable[[Path], Any]
    leader_alone: bool = True


def main() -> int:
    given = _arguments()
    chosen = [given.area] if given.area else list(AREAS)
    total = sum(AREAS[name].share for name in chosen)
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "source")
        _prepare(source, chosen)
        with _server(source / "archive.tar.gz"):
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


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _files(folder: Path) -> dict[str, str]:
    """Digest of each file; of JSON what is not about time."""
    return {
        str(path.relative_to(folder)): _plain(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _plain(path: Path) -> str:
    content = path.read_bytes()
    if path.suffix != ".json":
        return _digest(content)
    value = json.loads(content)
    value.pop("seconds", None)
    return json.dumps(value, sort_keys=True)


def _tensors(folder: Path) -> dict[str, str]:
    """Digest of every tensor of the newest checkpoint.

    But for how many checkpoints were written: a run that was killed wrote more.
    """
    import tensorflow as tf

    reader = tf.train.load_checkpoint(tf.train.latest_checkpoint(folder))
    names = set(reader.get_variable_to_shape_map())
    names -= {"_CHECKPOINTABLE_OBJECT_GRAPH", "save_counter/.ATTRIBUTES/VARIABLE_VALUE"}
    return {n: _digest(reader.get_tensor(n).tobytes()) for n in names}


def _trained(work: Path) -> dict[str, Any]:
    lines = [json.loads(x) for x in (work / "metrics.jsonl").read_text().splitlines()]
    losses = {f"line {i}": (x["step"], x.get("loss")) for i, x in enumerate(lines)}
    best = {f"best {k}": v for k, v in _tensors(work / "best").items()}
    return {**losses, **best, **_tensors(work / "checkpoints")}


def _exported(work: Path) -> dict[str, str]:
    """But for config.json, in which Keras writes addresses of its objects."""
    with zipfile.ZipFile(work / "model.keras") as archive:
        kept = [_digest(archive.read(n)) for n in ("run.json", "model.weights.h5")]
    return dict(zip(("run", "weights"), kept, strict=True))


def _convert(source: Path, work: Path) -> list[str]:
    flags = [f"--source_dir={source}/pictures", f"--output_dir={work}"]
    return ["datasets/convert.py", *flags, "--num_shards=8", "--workers=2"]


def _train(source: Path, work: Path) -> list[str]:
    return [
        *["-m", "deeplab_tf.train", f"--run_dir={work}", "--noauto"],
        f"--data.dataset_dir={source}/tiny/data",
        # The fewest layers to trace.
        *["--model.backbone=resnet_18", "--model.context=none"],
        *["--model.decoder_strides=", "--data.crop_size=33,33"],
        *["--train.batch_size=4", "--train.steps=24", "--train.log_steps=1"],
        *["--train.checkpoint_steps=2", "--train.eval_steps=8"],
        *["--train.ema_decay=0.9", "--optimizer.learning_rate=0.05"],
    ]


def _train_by_two(source: Path, work: Path) -> list[str]:
    start = ["-m", "deeplab_tf.launch", "--workers=2", "--"]
    return [*start, *_train(source, work)[2:], "--train.strategy=multi_worker"]


def _evaluate(source: Path, work: Path) -> list[str]:
    if not (work / "run.json").exists():
        shutil.copytree(source / "tiny" / "run", work, dirs_exist_ok=True)
    return ["-m", "deeplab_tf.eval", f"--run_dir={work}"]


def _export(source: Path, work: Path) -> list[str]:
    flags = [f"--run_dir={source}/tiny/run", f"--output={work}/model.keras"]
    return ["export/to_keras.py", *flags, "--nomeasure", "--check_pictures=2"]


def _import(source: Path, work: Path) -> list[str]:
    flags = [f"--checkpoint={source}/graph.pb", f"--run_dir={work}"]
    return ["-m", "deeplab_tf.import_tf1", *flags]


def _download(source: Path, work: Path) -> list[str]:
    address = (source / "address").read_text()
    code = f"""
import os
from deeplab_tf import cli, files
from deeplab_tf.released import zoo
os.environ[files.CACHE_VARIABLE] = {str(work)!r}
cli.run(lambda: print(zoo.fetch({_ZOO_MODEL!r}, {address!r})), "")
"""
    return ["-c", code]


AREAS: dict[str, Area] = {
    "conversion": Area(60, _convert, _files),
    "download": Area(15, _download, _files),
    "training": Area(8, _train, _trained),
    "two_workers": Area(3, _train_by_two, _trained, leader_alone=False),
    "evaluation": Area(5, _evaluate, lambda work: _files(work / "eval")),
    "export": Area(5, _export, _exported),
    "import": Area(4, _import, lambda work: _tensors(work / "best")),
}


def _prepare(source: Path, chosen: list[str]) -> None:
    """Pictures, a run, a graph and an archive; only what is needed."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    for split, count in (("train", 48), ("val", 16)):
        for kind, shape, top in (("images", (40, 48, 3), 256), ("labels", (40, 48), 3)):
            folder = source / "pictures" / split / kind
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, top, shape, dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    if set(chosen) - {"conversion", "download"}:
        import tiny_run

        tiny_run.write(source / "tiny", tiny_run.FEW_LAYERS)
    if "import" in chosen:
        import released_graph

        graph = released_graph.graph_def(released_graph.values())
        (source / "graph.pb").write_bytes(graph.SerializeToString())
    (source / "packed").mkdir()
    (source / "packed" / "model.ckpt.index").write_bytes(rng.bytes(1 << 21))
    shutil.make_archive(str(source / "archive"), "gztar", source / "packed")


@contextlib.contextmanager
def _server(archive: Path) -> Iterator[None]:
    """Serves the archive slowly for every path; its address is in a file beside it."""
    content = archive.read_bytes()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            with contextlib.suppress(OSError):  # it was killed
                for start in range(0, len(content), 1 << 16):
                    self.wfile.write(content[start : start + (1 << 16)])
                    time.sleep(0.01)

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        address = f"http://127.0.0.1:{server.server_port}/"
        archive.with_name("address").write_text(address)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield
        server.shutdown()


if __name__ == "__main__":
    raise SystemExit(main())
