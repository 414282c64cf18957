"""The house: rooms that import in one direction, and script folders without code."""

import ast
import os
import pathlib
import re
import subprocess
import sys

import pytest
import structure
from conftest import ROOT

PACKAGE = ROOT / "deeplab_tf"
# From left to right; a room imports from its own group's left only.
ORDER = (
    "errors flag_help",
    "files cli",
    "config",
    "data network",
    "runs inference",
    "evaluation labelling released",
    "training export report",
)
ROOMS = [room for group in ORDER for room in group.split()]
# The rooms of one group that may know each other: a run folder is read by inference.
NEIGHBOURS = {("inference", "runs"), ("cli", "files")}
RANK = {room: rank for rank, group in enumerate(ORDER) for room in group.split()}
COMMANDS = sorted(
    path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    for path in [*PACKAGE.glob("*.py"), *PACKAGE.glob("*/__main__.py")]
    if path.name != "__init__.py"
    and path != PACKAGE / "__main__.py"
    and path.stem not in ROOMS
    and 'if __name__ == "__main__"' in path.read_text()
)
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__main__.py")


def room_of(path: pathlib.Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(path: pathlib.Path) -> set[str]:
    """The rooms that a file names in an import, at its head or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    parts = [name.split(".") for name in found]
    return {part[1] for part in parts if part[0] == "deeplab_tf" and len(part) > 1}


def may_import(room: str, other: str) -> bool:
    if room == other or other.startswith("__"):
        return True
    if room not in RANK:  # a command, or the door in __init__.py
        return True
    if other not in RANK:
        return False
    return RANK[other] < RANK[room] or (room, other) in NEIGHBOURS


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_rooms_import_from_their_left(path):
    room = room_of(path)
    wrong = {other for other in imported_rooms(path) if not may_import(room, other)}
    assert not wrong, f"{path.relative_to(ROOT)} imports from {', '.join(wrong)}"


def test_the_import_chain_is_short():
    scripts = [p for name in ("datasets", "export") for p in (ROOT / name).glob("*.py")]
    arrows = structure.imports([*PACKAGE.rglob("*.py"), *scripts])
    assert max(structure.levels(arrows).values()) <= 9


def test_every_file_has_a_room():
    known = {*ROOMS, *COMMANDS, "commands", "__init__"}
    assert {room_of(path) for path in FILES} <= known
    assert len({path.name for path in PACKAGE.glob("[!_]*")}) <= 27


def test_library_imports_no_script():
    for path in FILES:
        assert not re.search(
            r"^\s*(from|import) (datasets|export|benchmarks)\b", path.read_text(), re.M
        )


@pytest.mark.parametrize(
    "room", ["errors", "flag_help", "files", "cli", "config", "data"]
)
def test_left_rooms_load_no_tensorflow(room):
    code = f"import sys, deeplab_tf.{room}; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_the_package_loads_neither_tensorflow_nor_matplotlib():
    code = (
        "import sys, deeplab_tf; "
        "sys.exit(any(name in sys.modules for name in ('tensorflow', 'matplotlib')))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_only_commands_read_flags():
    """A library function takes its settings as arguments."""
    reads = {
        str(path.relative_to(PACKAGE))
        for path in FILES
        if re.search(r"\bFLAGS\b", path.read_text())
    }
    commands = {f"{name}.py" for name in COMMANDS}
    frame = {"cli.py", "flag_help.py", "config/setting_flags.py"}
    assert {name for name in reads if not name.startswith("commands/")} <= (
        commands | frame
    )


def test_functions_are_short():
    lengths = []
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                length = node.end_lineno - node.lineno + 1
                lengths.append(length)
                assert length <= 60, f"{path}: {node.name} has {length} lines"
    assert sorted(lengths)[len(lengths) // 2] <= 10


@pytest.mark.parametrize("command", COMMANDS)
def test_help_loads_no_tensorflow_and_shows_examples(command, tmp_path):
    (tmp_path / "tensorflow.py").write_text("raise SystemExit('loaded TensorFlow')")
    result = subprocess.run(
        [sys.executable, "-m", f"deeplab_tf.{command}", "--help"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.fspath(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert f"python -m deeplab_tf.{command} --" in result.stdout, result.stderr
    assert (result.returncode, result.stderr) == (0, "")
    assert len(re.findall(r"^  --", result.stdout, re.M)) <= 22, "for --helpfull"


@pytest.mark.parametrize("folder", ["datasets", "export", "benchmarks"])
def test_script_folders_are_no_packages(folder):
    assert not (ROOT / folder / "__init__.py").exists()


@pytest.mark.parametrize("folder", ["datasets", "export", "benchmarks"])
def test_scripts_shadow_no_module(folder):
    """A script's folder comes first in sys.path, so its file names hide modules."""
    code = (
        "import importlib.util, sys\n"
        "sys.path = [p for p in sys.path if p]\n"
        "print([n for n in sys.argv[1:] if importlib.util.find_spec(n)])"
    )
    names = [
        path.stem for path in (ROOT / folder).iterdir() if path.stem[0] not in "._"
    ]
    result = subprocess.run(
        [sys.executable, "-c", code, *names], cwd="/", capture_output=True, text=True
    )
    assert result.stdout.strip() == "[]"


def test_only_the_library_is_packaged():
    from setuptools import find_packages

    found = find_packages(os.fspath(ROOT), include=["deeplab_tf*"])
    assert "deeplab_tf.network.backbones" in found
    assert 'include = ["deeplab_tf*"]' in (ROOT / "pyproject.toml").read_text()
