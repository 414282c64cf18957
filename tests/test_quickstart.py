"""docs/quickstart.ipynb does what it says, and is committed without its outputs."""

import json
import os

import pytest
from conftest import ROOT

NOTEBOOK = ROOT / "docs" / "quickstart.ipynb"


def code_cells(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_outputs_are_not_committed():
    for cell in code_cells(json.loads(NOTEBOOK.read_text())):
        assert (cell["outputs"], cell["execution_count"]) == ([], None)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_every_cell_runs(tmp_path, monkeypatch):
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    monkeypatch.setenv("PYTHONPATH", os.fspath(ROOT))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    resources = {"metadata": {"path": os.fspath(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=600, resources=resources).execute()
    shown = [
        output.data
        for cell in code_cells(notebook)
        for output in cell.outputs
        if output.output_type == "execute_result"
    ]
    assert "'disk'" in shown[0]["text/plain"]
    assert 0 < float(shown[2]["text/plain"]) < 1
    assert "image/png" in shown[4]
    assert float(shown[5]["text/plain"]) > 0.99
    assert (tmp_path / "quickstart" / "shapes.tflite").is_file()
