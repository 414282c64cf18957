"""What `chaos.py` disturbs: commands, their input, and what they must have written."""

import contextlib
import dataclasses
import hashlib
import http.server
import json
import pathlib
import shutil
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

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


def prepare(source: Path, chosen: list[str]) -> None:
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
def server(archive: Path) -> Iterator[None]:
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

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as serving:
        address = f"http://127.0.0.1:{serving.server_port}/"
        archive.with_name("address").write_text(address)
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield
        serving.shutdown()
