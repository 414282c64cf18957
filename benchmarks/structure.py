"""Prints the structure of the code: rooms, import levels, lines, functions.

  python benchmarks/structure.py

Rooms are the folders and loose files of deeplab_tf/, datasets/ and export/. The level
of a room is one more than that of the highest room that it imports from.
"""

import ast
import collections
import json
import pathlib
import statistics

ROOT = pathlib.Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "deeplab_tf"


def main() -> None:
    """Measures and prints."""
    files = [*PACKAGE.rglob("*.py"), *ROOT.glob("datasets/*.py")]
    files += ROOT.glob("export/*.py")
    arrows = imports(files)
    lines: collections.Counter[str] = collections.Counter()
    for path in files:
        lines[room_of(path)] += len(path.read_text().splitlines())
    lengths = sorted(length for path in files for length in function_lengths(path))
    names = sorted(p.name for p in PACKAGE.glob("[!_]*") if p.name != "py.typed")
    result = {
        "names_at_the_top": len(names),
        "import_levels": max(levels(arrows).values()),
        "lines": sum(lines.values()),
        "lines_by_room": dict(sorted(lines.items(), key=lambda item: -item[1])),
        "files": len(files),
        "longest_file": max(len(path.read_text().splitlines()) for path in files),
        "functions": len(lengths),
        "function_median": statistics.median(lengths),
        "function_longest": lengths[-1],
        "any": sum(path.read_text().count("Any") for path in files),
    }
    print(json.dumps(result, indent=2))


def room_of(path: pathlib.Path) -> str:
    """The folder or loose file below the package; the folder's name elsewhere."""
    if not path.is_relative_to(PACKAGE):
        return path.relative_to(ROOT).parts[0] + "/"
    first = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    # The command `report` lies in the room of its name.
    return f"{first}.{path.stem}" if path.stem == "__main__" != first else first


def imports(files: list[pathlib.Path]) -> dict[str, set[str]]:
    """Room -> the rooms that it imports from, inside functions too."""
    arrows: dict[str, set[str]] = {}
    for path in files:
        room = room_of(path)
        found = arrows.setdefault(room, set())
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                parts = [f"{node.module}.{a.name}".split(".") for a in node.names]
                found |= {p[1] for p in parts if p[0] == "deeplab_tf" and p[1:]}
        found -= {room, "__version__"}
    known = set(arrows)
    return {room: found & known for room, found in arrows.items()}


def levels(arrows: dict[str, set[str]]) -> dict[str, int]:
    """Level of each room, from 1; raises ValueError for a circle."""
    found: dict[str, int] = {}

    def level(room: str, above: tuple[str, ...] = ()) -> int:
        if room in above:
            raise ValueError(f"a circle: {' -> '.join([*above, room])}")
        if room not in found:
            below = [level(other, (*above, room)) for other in arrows[room]]
            found[room] = 1 + max(below, default=0)
        return found[room]

    for room in arrows:
        level(room)
    return found


def function_lengths(path: pathlib.Path) -> list[int]:
    """Lines of every function and method of a file, its decorators left out."""
    return [
        (node.end_lineno or node.lineno) - node.lineno + 1
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
    ]


if __name__ == "__main__":
    main()
