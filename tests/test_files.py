import errno
import json
import os
import subprocess
import sys
import zipfile

import pytest

from deeplab_tf import files
from deeplab_tf.errors import UserError


def write_half(path):
    with files.replacing(path) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with files.replacing(path) as temporary:
        temporary.write_text("first")
        assert temporary.suffix == ".txt"
        assert not path.exists()
    with pytest.raises(ZeroDivisionError):
        write_half(path)
    assert path.read_text() == "first"
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_is_replaced_whole(tmp_path):
    path = tmp_path / "model"
    for name in ("one", "two"):
        with files.replacing(path) as temporary:
            temporary.mkdir()
            (temporary / name).touch()
    assert [item.name for item in path.iterdir()] == ["two"]
    with pytest.raises(ZeroDivisionError):
        write_half(path / "inside")
    with pytest.raises(ZeroDivisionError):
        write_half(path)
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path):
    """In a folder or a file; what living processes write stays."""
    write = """
import sys
from deeplab_tf import files
with files.replacing(sys.argv[1]) as temporary:
    if sys.argv[2] == "folder":
        temporary.mkdir()
        temporary /= "inside"
    temporary.write_text("half")
    print(temporary, flush=True)
    sys.stdin.read()
"""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", write, tmp_path / name, kind],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name, kind in (("a.txt", "file"), ("model", "folder"), ("b.txt", "file"))
    ]
    *_, living = (process.stdout.readline().strip() for process in started)
    for process in started[:2]:
        process.kill()
        process.communicate()
    files.write_json(tmp_path / "x.json", {})
    try:
        assert {str(path) for path in tmp_path.iterdir()} == {
            str(tmp_path / "x.json"),
            living,
        }
    finally:
        started[2].communicate("")
    assert (tmp_path / "b.txt").read_text() == "half"


def test_json_round_trip_and_errors(tmp_path):
    path = tmp_path / "x.json"
    files.write_json(path, {"a": [1, None]})
    assert files.read_json(path, "") == {"a": [1, None]}
    path.write_text("{")
    with pytest.raises(UserError, match=r"x\.json: cannot be read as JSON.*; mend it"):
        files.read_json(path, "mend it")
    with pytest.raises(UserError, match=r"y\.json: no such file; write it"):
        files.read_json(tmp_path / "y.json", "write it")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "must hold an object"),
        ("null", "must hold an object"),
        ('{"a":' * 100_000, "recursion"),
        ('{"a":' * 70 + "1" + "}" * 70, "nested more than 64 deep"),
        ('{"a": ' + "9" * 400 + "}", "a number of 400 digits"),
        ('{"a": "\\uD800"}', "surrogates not allowed"),
        ("\x00", "Expecting value"),
    ],
)
def test_json_that_would_fail_later_is_refused_at_once(tmp_path, text, message):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(UserError, match=rf"x\.json: cannot be read as JSON.*{message}"):
        files.read_json(path, "mend it")


def test_json_with_a_byte_order_mark(tmp_path):
    (tmp_path / "x.json").write_bytes(b"\xef\xbb\xbf" + '{"ä": 1}'.encode())
    assert files.read_json(tmp_path / "x.json", "") == {"ä": 1}


def test_json_that_may_hold_a_list(tmp_path):
    (tmp_path / "x.json").write_text('["sky", "car"]')
    assert files.read_json_value(tmp_path / "x.json", "") == ["sky", "car"]


def test_only_regular_files_within_bounds_are_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "endless").symlink_to("/dev/zero")
    (tmp_path / "long").write_bytes(bytes(11))
    for name in ("pipe", "endless"):
        with pytest.raises(OSError, match="is no regular file"):
            files.read_bytes(tmp_path / name)
    with pytest.raises(OSError, match="has more than 10 bytes"):
        files.read_bytes(tmp_path / "long", 10)
    assert files.read_bytes(tmp_path / "long", 11) == bytes(11)


@pytest.mark.parametrize("name", ["train", "a.b", "train_aug-2", "straße 2", "列車"])
def test_names_of_files(name):
    files.check_name(name, "split")


@pytest.mark.parametrize(
    "name",
    (
        "|..|../x|/abs|a\\b|a\nb|a*|<script>| a|a |a.|.a|-a|a\x00|\ud800|" + "ä" * 76
    ).split("|"),
)
def test_names_that_lead_elsewhere(name):
    with pytest.raises(
        UserError, match=r"^split .* cannot be a file name here"
    ) as error:
        files.check_name(name, "split")
    assert str(error.value).isprintable()


def test_a_folder_where_nothing_can_be_changed_names_the_file(tmp_path, monkeypatch):
    """Nor can be removed what could not be written."""

    def refuse(path, *_, **__):
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr("pathlib.Path.write_text", refuse)
    monkeypatch.setattr("pathlib.Path.unlink", refuse)
    with pytest.raises(UserError, match=r"x\.json: cannot be written \(Read-only"):
        files.write_json(tmp_path / "x.json", {})


def test_a_full_disk_names_the_file_and_not_the_temporary(tmp_path):
    def fill(path):
        with files.replacing(path) as temporary:
            raise OSError(errno.ENOSPC, "No space left on device", str(temporary))

    with pytest.raises(
        UserError, match=r"^/.*/a.bin: cannot be written .No space"
    ) as e:
        fill(tmp_path / "a.bin")
    assert "writing-" not in str(e.value)


def read_zip(path):
    with files.open_zip(path) as archive:
        return json.loads(archive.read("run.json"))


def test_a_plain_zip_file_is_read(tmp_path):
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("run.json", "{}")
        archive.writestr("folder/weights.h5", "")
    assert read_zip(path) == {}


@pytest.mark.parametrize(
    ("name", "mode", "words"),
    [
        ("/outside", 0o100644, "leads out of the folder"),
        ("a/../../outside", 0o100644, "leads out of the folder"),
        ("..\\outside", 0o100644, "leads out of the folder"),
        ("link", 0o120777, "is a link"),
    ],
)
def test_zip_files_that_reach_out_are_refused(tmp_path, name, mode, words):
    path = tmp_path / "model.keras"
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("run.json", "{}")
        archive.writestr(info, "x")
    with pytest.raises(UserError, match=rf"model\.keras: is refused: .*{words}"):
        read_zip(path)


def test_a_zip_file_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MAX_UNPACKED", 100_000)
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("run.json", b" " * 100_001)
    with pytest.raises(UserError, match=r"model\.keras: is refused: it unpacks to"):
        read_zip(path)
