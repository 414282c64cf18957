"""What takes long says first where its result cannot be written."""

import pytest

from deeplab_tf import export, report, runs
from deeplab_tf.config import Config
from deeplab_tf.data.dataset_info import DatasetInfo
from deeplab_tf.errors import UserError
from deeplab_tf.training import recalibration


@pytest.mark.parametrize("name", ["export", "report", "recalibrate"])
def test_a_place_where_nothing_can_be_written(name, tmp_path, monkeypatch):
    file = tmp_path / "file"
    file.touch()
    info = DatasetInfo(name="any", class_names=("a", "b"))
    run = runs.Run(file, Config().replace({"data.dataset_dir": "x"}), info, {})
    monkeypatch.setattr(runs, "load_model", lambda *_, **__: pytest.fail("too late"))
    begin = {
        "export": lambda: export.write(run, "keras", file / "x.keras"),
        "report": lambda: report.write([run], file / "x.html"),
        "recalibrate": lambda: recalibration.recalibrate(run, "x", 1),
    }[name]
    with pytest.raises(UserError, match=r"/file\S*: cannot be written \(.*\); "):
        begin()
