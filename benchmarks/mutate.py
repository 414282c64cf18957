"""Would the tests notice? Breaks the code in one place at a time and runs them.

Example:
  python benchmarks/mutate.py --room=losses
  python benchmarks/mutate.py --only=dropout --again

A mutant is one entry of tests/mutants/ROOM.txt (tests/mutant_table.py has the format).
It is planted in a scratch copy of the tree, without the real data that a fresh clone
lacks, and the tests named for it run until one fails. Results are kept in --results:
a mutant that was tried before is not tried again. Survivors are printed at the end, and
so are the mutants known to be equivalent.
"""

import argparse
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import mutant_table  # noqa: E402


def main() -> None:
    arguments = _arguments()
    os.nice(10)
    chosen = [mutant for mutant in mutant_table.load() if _is_chosen(mutant, arguments)]
    known = _read(arguments.results)
    end = time.monotonic() + 60 * arguments.minutes
    with tempfile.TemporaryDirectory() as folder:
        tree = _copy_tree(pathlib.Path(folder))
        for mutant in chosen:
            outcome = known.get(mutant.key)
            again = arguments.again and outcome != "killed"
            if mutant.reason or not (outcome is None or again):
                continue
            if time.monotonic() > end:
                break
            outcome = known[mutant.key] = _try(tree, mutant, arguments.timeout)
            with arguments.results.open("a") as file:
                file.write(json.dumps({"key": mutant.key, "outcome": outcome}) + "\n")
            print(f"{outcome:9} {mutant.title}", flush=True)
    _print(chosen, known)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--room", help="file of tests/mutants; default: all")
    add("--only", default="", help="mutants that hold this text")
    add("--again", action="store_true", help="also those that survived before")
    add("--results", type=pathlib.Path, default=ROOT / "build" / "mutants.jsonl")
    add("--minutes", type=float, default=1e9, help="begins no mutant after so many")
    add("--timeout", type=int, default=900, help="seconds of one file of tests")
    arguments = parser.parse_args()
    arguments.results.parent.mkdir(exist_ok=True)
    return arguments


def _is_chosen(mutant: mutant_table.Mutant, arguments: argparse.Namespace) -> bool:
    text = f"{mutant.path} {mutant.old} {mutant.new}"
    return arguments.room in (None, mutant.room) and arguments.only in text


def _read(path: pathlib.Path) -> dict[str, str]:
    lines = path.read_text().splitlines() if path.exists() else []
    return {row["key"]: row["outcome"] for row in map(json.loads, lines)}


def _copy_tree(tree: pathlib.Path) -> pathlib.Path:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    for name in filter(lambda name: (ROOT / name).exists(), listed):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, tree / name)
    return tree


def _try(tree: pathlib.Path, mutant: mutant_table.Mutant, timeout: int) -> str:
    """Plants the mutant, runs its tests, restores the file."""
    path = tree / mutant.path
    text = path.read_text()
    path.write_text(mutant.apply(text))
    try:
        for test in mutant.tests:
            code = _pytest(tree, test, timeout)
            if code in (1, 2, -signal.SIGALRM):  # failed, cannot be read, hangs
                return "killed"
            if code:
                return f"error {code}"
        return "survived"
    finally:
        path.write_text(text)


def _pytest(tree: pathlib.Path, test: str, timeout: int) -> int:
    """Runs the tests in a fork that has the libraries, but not ours, in memory."""
    import keras  # noqa: F401
    import pytest

    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    signal.alarm(timeout)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(1, 2)
    os.chdir(tree)
    os.environ.update(PYTHONPATH=str(tree), DEEPLAB_TEST_DATA="none")
    own = {str(ROOT), str(ROOT / "benchmarks"), str(ROOT / "tests")}
    sys.path[:] = [str(tree), *(part for part in sys.path if part not in own)]
    sys.dont_write_bytecode = True  # a mutant may have the size and time of the last
    del sys.modules["mutant_table"]
    code = pytest.main(["-x", "-p", "no:cacheprovider", f"tests/{test}"])
    os._exit(int(code))


def _print(chosen: list[mutant_table.Mutant], known: dict[str, str]) -> None:
    rooms = sorted({mutant.room for mutant in chosen})
    for room in rooms:
        mine = [mutant for mutant in chosen if mutant.room == room]
        equal = sum(bool(mutant.reason) for mutant in mine)
        found = [known.get(mutant.key) for mutant in mine if not mutant.reason]
        tried = sum(outcome is not None for outcome in found)
        print(
            f"{room}: {found.count('killed')} of {tried} killed, "
            f"{len(found) - tried} not tried, {equal} equivalent"
        )
    for mutant in chosen:
        if mutant.reason:
            print(f"equivalent {mutant.title}: {mutant.reason}")
        elif known.get(mutant.key) not in (None, "killed"):
            print(f"{known[mutant.key]} {mutant.title}")


if __name__ == "__main__":
    main()
