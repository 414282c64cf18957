import json
import os
import subprocess
import sys

import tiny_run
from conftest import ROOT

from deeplab_tf import runs
from deeplab_tf.network import cost
from deeplab_tf.report import exploration
from deeplab_tf.report.exploration import Point, Setting


def point(miou, multiply_adds, stride=16, milliseconds=1.0):
    return Point(
        setting=Setting(output_stride=stride, scales=(1.0,), flip=False),
        miou=miou,
        multiply_adds=multiply_adds,
        milliseconds=milliseconds,
        peak_memory_bytes=2,
    )


def test_front_is_what_nothing_cheaper_equals():
    values = [(0.5, 30), (0.6, 20), (0.4, 10), (0.6, 40), (0.7, 50), (0.3, 10)]
    marked = exploration.mark_best([point(*pair) for pair in values])
    assert [(one.miou, one.multiply_adds) for one in marked] == [
        *((0.4, 10), (0.3, 10), (0.6, 20), (0.5, 30), (0.6, 40), (0.7, 50)),
    ]
    front = [(one.miou, one.multiply_adds) for one in marked if one.is_best]
    dominated = [
        pair
        for pair in values
        if any(
            other != pair and other[0] >= pair[0] and other[1] <= pair[1]
            for other in values
        )
    ]
    assert sorted(front) == sorted(set(values) - set(dominated))


def test_settings_are_all_combinations():
    found = exploration.settings((8, 16), [(1.0,), (0.5, 1.0)], (False, True))
    assert len(set(found)) == 2 * 2 * 2
    assert str(found[3]) == "stride 8, scales 0.5 1, flip"


def test_advice_is_the_best_within_the_budget():
    points = [
        point(0.5, 1, stride=32, milliseconds=10.0),
        point(0.7, 2, stride=16, milliseconds=30.0),
        point(0.7, 3, stride=16, milliseconds=40.0),
        point(0.8, 4, stride=8, milliseconds=90.0),
    ]
    assert "take stride 16" in exploration.advice(points, 50)
    assert "30 ms" in exploration.advice(points, 50)
    assert "take stride 32" in exploration.advice(points, 10)
    assert "quickest is stride 32" in exploration.advice(points, 9)


def test_command_writes_table_and_chart(tmp_path):
    settings = {"model.context": "none", "model.decoder_strides": ()}
    run_dir = tiny_run.write(tmp_path, {**tiny_run.FEW_LAYERS, **settings})
    result = subprocess.run(
        [
            *(sys.executable, "-m", "deeplab_tf.explore", f"--run_dir={run_dir}"),
            *("--output_strides=16", "--scales=0.5,1.0", "--flip=false"),
            *("--scales=1.0", "--size=65,97", "--budget_ms=60000"),
        ],
        cwd=ROOT,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    found = json.loads((run_dir / "explore" / "val.json").read_text())
    other, one = found["points"]
    assert other["setting"]["scales"] == [1.0]
    assert other["peak_memory_bytes"] > 1e8
    assert "Within 60000 ms take" in result.stdout
    assert one["setting"] == {"output_stride": 16, "scales": [0.5, 1.0], "flip": False}
    model = runs.load_model(runs.open_run(run_dir))
    assert one["multiply_adds"] == cost.multiply_adds(
        model, 65, 97
    ) + cost.multiply_adds(model, 32, 48)
    assert one["milliseconds"] > 0
    assert one["peak_memory_bytes"] > 1e8  # with TensorFlow
    assert f"{one['miou']:7.4f}" in result.stdout
    page = (run_dir / "explore" / "val.html").read_text()
    assert "stride 16, scales 0.5 1" in page
    assert "<svg" in page
