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


def test_json_round_trip_and_errors(tmp_path):
    path = tmp_path / "x.json"
    files.write_json(path, {"a": [1, None]})
    assert files.read_json(path, "") == {"a": [1, None]}
    path.write_text("{")
    with pytest.raises(UserError, match=r"x\.json: cannot be read as JSON.*; mend it"):
        files.read_json(path, "mend it")
    with pytest.raises(UserError, match=r"y\.json: no such file; write it"):
        files.read_json(tmp_path / "y.json", "write it")
