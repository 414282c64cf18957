"""The table of released models, and fetching from a server on this machine."""

import hashlib
import http.server
import io
import tarfile
import threading

import pytest

from deeplab_tf import files
from deeplab_tf.config import Config
from deeplab_tf.errors import UserError
from deeplab_tf.released import zoo

NAME = "mobilenetv2_dm05_coco_voc_trainaug"
CHECKED = "mobilenetv2_coco_voc_trainaug"


def packed(text):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as file:
        info = tarfile.TarInfo("model/model.ckpt.index")
        info.size = len(text)
        file.addfile(info, io.BytesIO(text))
    return buffer.getvalue()


class Server(http.server.ThreadingHTTPServer):
    """Serves `content` for every path, as `answer` says; counts what was asked for."""

    def __init__(self, content):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.asked, self.answer = content, [], "whole"

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}/"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        content, answer = self.server.content, self.server.answer
        if answer == "no HTTP":
            self.wfile.write(b"\0\xff garbage\r\n\r\n")
            return
        self.send_response(404 if answer == "missing" else 200)
        length = "many" if answer == "odd length" else str(len(content))
        self.send_header("Content-Length", length)
        if answer == "odd encoding":
            self.send_header("Content-Encoding", "gzip")
            content = content[1:]
        self.end_headers()
        self.wfile.write(content[:100] if answer == "broken off" else content)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv(files.CACHE_VARIABLE, str(tmp_path / "cache"))
    with Server(packed(bytes(range(256)) * 20)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_settings_of_every_entry_are_allowed():
    for name, entry in zoo.MODELS.items():
        Config().replace(entry.settings)
        assert zoo.get(f"zoo:{name}") is entry
    archives = [entry.archive for entry in zoo.MODELS.values()]
    assert len(set(archives)) == len(archives)


def test_unknown_name_suggests_the_nearest():
    with pytest.raises(UserError, match=f"Did you mean '{NAME}'"):
        zoo.get("zoo:mobilenetv2_dm05_coco_voc_trainug")


def test_archive_is_fetched_once(server):
    path = zoo.fetch(f"zoo:{NAME}", server.address)
    assert path.read_bytes() == server.content
    assert zoo.fetch(NAME, server.address) == path
    assert server.asked == [f"/{zoo.get(NAME).archive}"]


@pytest.mark.parametrize(
    "answer", ["broken off", "missing", "no HTTP", "odd length", "odd encoding"]
)
def test_odd_answers_are_one_error_and_leave_nothing(server, tmp_path, answer):
    server.answer = answer
    with pytest.raises(UserError, match=f"zoo:{NAME}: cannot fetch http.*put the file"):
        zoo.fetch(NAME, server.address)
    assert list((tmp_path / "cache").iterdir()) == []
    server.answer = "whole"
    assert zoo.fetch(NAME, server.address).read_bytes() == server.content


@pytest.mark.parametrize(
    ("name", "words"), [(NAME, "could not be opened"), (CHECKED, "expected sha384")]
)
def test_wrong_file_is_refused_and_removed(server, tmp_path, name, words):
    if name == NAME:
        server.content = b"<html>Not found</html>"
    digest = hashlib.sha384(server.content).hexdigest()
    with pytest.raises(UserError, match=words) as error:
        zoo.fetch(name, server.address)
    assert name == NAME or digest in str(error.value)
    assert list((tmp_path / "cache").iterdir()) == []


def test_no_network_tells_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv(files.CACHE_VARIABLE, str(tmp_path))
    archive = zoo.get(NAME).archive
    with pytest.raises(UserError, match=f"put the file at {tmp_path}/{archive}"):
        zoo.fetch(NAME, "http://127.0.0.1:1/")


@pytest.mark.parametrize("name", ["../../outside", "/outside", "zoo:../x", ""])
def test_names_do_not_become_paths(name):
    with pytest.raises(UserError, match="unknown released model"):
        zoo.fetch(name)


def test_the_best_start_for_a_backbone():
    """The data set's own first; never what has seen the pictures that are scored."""
    voc, other = (zoo.best("mobilenet_v2", 1.0, name) for name in ("voc2012", "mine"))
    assert voc[0] == other[0] == "mobilenetv2_coco_voc_trainaug"
    assert "mobilenetv2_coco_voc_trainval" in set(other) - set(voc)
    street = zoo.best("xception_65", 1.0, "cityscapes")
    assert street[0] == "xception65_cityscapes_trainfine"
    assert street[-1] == "xception_65_imagenet"
    assert zoo.best("mobilenet_v2", 0.35, "mine") == ()


def test_table_tells_what_is_cached(server):
    zoo.fetch(NAME, server.address)
    rows = {line.split()[0]: line for line in zoo.table().splitlines()[1:]}
    assert set(rows) == set(zoo.MODELS)
    assert [name for name, row in rows.items() if row.split()[2] == "yes"] == [NAME]
    assert "   7.6  yes     MobileNetV2 of half width" in rows[NAME]
    assert "70.19 val" in rows[NAME]
