"""The page that runs a network in the browser; what it takes from npm."""

import dataclasses
import os
import re
import shutil

import pytest
import tiny_run

from deeplab_tf import files, runs
from deeplab_tf.config.options import WebOptions
from deeplab_tf.errors import UserError
from deeplab_tf.export.web import npm, site

PACKAGE = "@litertjs/wasm-utils@2.5.3"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("web")
    return runs.open_run(tiny_run.write(folder, tiny_run.FEW_LAYERS))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv(files.CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_without_npm_it_is_said_what_to_install(cache, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    place = re.escape(str(cache / "litertjs-wasm-utils@2.5.3.tgz"))
    with pytest.raises(UserError, match=f"npm was not found.*Node.js.* at {place}"):
        npm.read(PACKAGE, "")
    assert not list(cache.glob("*"))


@pytest.mark.skipif(not shutil.which("npm"), reason="npm is not installed")
def test_without_network_npm_is_quoted(cache, tmp_path, monkeypatch):
    monkeypatch.setenv("npm_config_offline", "true")
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm"))
    with pytest.raises(UserError, match=r"npm pack .* failed: .*ENOTCACHED.*Node\.js"):
        npm.read(PACKAGE, "")
    assert not list(cache.glob("*"))


def test_another_archive_than_was_tested_is_refused(cache):
    cache.mkdir()
    (cache / "litertjs-wasm-utils@2.5.3.tgz").write_bytes(b"something else")
    with pytest.raises(UserError, match=r"is not the archive of .* that was tested"):
        npm.read(PACKAGE, "4fJiw6tB")


def test_other_channels_than_a_browser_has_are_refused(run):
    info = dataclasses.replace(run.info, channels=4)
    with pytest.raises(UserError, match=r"3 channels.*takes 4"):
        site.check(dataclasses.replace(run, info=info))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"input_size": (65, 65, 97, 97)}, "--input_size must be one height,width"),
        ({"quantize": "int16x8"}, "--quantize must be none, float16, dynamic or int8"),
    ],
)
def test_options_that_do_not_suit_a_page(values, message):
    with pytest.raises(UserError, match=message):
        WebOptions(**values)


def test_the_page_names_no_other_server():
    folder = os.path.join(os.path.dirname(site.__file__), "page")
    for name in os.listdir(folder):
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            named = re.findall(r"https?://[\w.:]+|\b(?:src|href)=\"//", file.read())
        assert {*named} <= {"http://127.0.0.1:8000"}, name
