"""The table of mutants fits the code: `make mutate` has something to break."""

import ast

import mutant_table
import pytest
from conftest import ROOT

MUTANTS = mutant_table.load()
PATHS = sorted({mutant.path for mutant in MUTANTS})


@pytest.mark.parametrize("path", PATHS)
def test_old_text_occurs_once_and_the_new_one_is_python(path):
    text = (ROOT / path).read_text()
    for mutant in MUTANTS:
        if mutant.path == path:
            changed = mutant.apply(text)
            assert changed != text, mutant.title
            ast.parse(changed)


def quick_tests(name):
    """The functions of a file of tests that `make test` runs."""
    for node in ast.parse((ROOT / "tests" / name).read_text()).body:
        if isinstance(node, ast.FunctionDef) and not any(
            "mark.slow" in ast.unparse(mark) for mark in node.decorator_list
        ):
            yield node.name


def test_named_tests_are_there_and_quick():
    for mutant in MUTANTS:
        assert mutant.tests or mutant.reason, mutant.title
        for test in mutant.tests:
            name, _, function = test.partition("[")[0].partition("::")
            known = set(quick_tests(name))
            assert function in known if function else known, test


def test_there_are_many_and_each_is_its_own():
    assert len({mutant.key for mutant in MUTANTS}) == len(MUTANTS) >= 150
