"""The table of released models, and fetching from a server on this machine."""

import hashlib
import http.server
import io
import re
import tarfile
import threading

import pytest

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
    """Serves `content` for every path; counts the bytes; may break off."""

    def __init__(self, content):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.sent, self.break_after = content, [], None

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}/"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        start = int(re.match(r"bytes=(\d+)-", self.headers["Range"])[1])
        rest = self.server.content[start:]
        self.send_response(206 if rest else 416)
        self.send_header("Content-Length", str(len(rest)))
        rest = rest[: self.server.break_after]
        # Before the last byte, after which the client may go on.
        self.server.sent.append((start, len(rest)))
        self.end_headers()
        self.wfile.write(rest)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv(zoo.CACHE_VARIABLE, str(tmp_path / "cache"))
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
    assert server.sent == [(0, len(server.content))]


def test_broken_download_goes_on(server):
    server.break_after = 100
    with pytest.raises(UserError, match="cannot fetch"):
        zoo.fetch(NAME, server.address)
    server.break_after = None
    path = zoo.fetch(NAME, server.address)
    assert path.read_bytes() == server.content
    assert server.sent == [(0, 100), (100, len(server.content) - 100)]


def test_whole_part_is_taken(server):
    path = zoo.fetch(NAME, server.address)
    part = path.with_name(f"{path.name}.part")
    path.rename(part)
    assert zoo.fetch(NAME, server.address).read_bytes() == server.content
    assert server.sent[1:] == [(len(server.content), 0)]


@pytest.mark.parametrize(
    ("name", "words"), [(NAME, "no archive"), (CHECKED, "SHA-384")]
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
    monkeypatch.setenv(zoo.CACHE_VARIABLE, str(tmp_path))
    archive = zoo.get(NAME).archive
    with pytest.raises(UserError, match=f"put the file at {tmp_path}/{archive}"):
        zoo.fetch(NAME, "http://127.0.0.1:1/")
