"""The report, made by the commands and opened in a browser where there is one."""

import html.parser
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tiny_run
from conftest import ROOT

from deeplab_tf.evaluation.image_scores import PictureScore
from deeplab_tf.report import charts, gallery, page
from deeplab_tf.report.charts import Series

HOSTILE = '<b onclick="x">&'


def command(name, *arguments):
    result = subprocess.run(
        [sys.executable, "-m", f"deeplab_tf.{name}", *arguments],
        cwd=ROOT,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
        capture_output=True,
        text=True,
    )
    return result.returncode, result.stdout + result.stderr


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp(HOSTILE)
    run = tiny_run.write(folder)
    lines = [f'{{"step": {s}, "loss": {1 / s}, "miou": 0.1}}\n' for s in range(1, 900)]
    (run / "metrics.jsonl").write_text("".join(lines) + '{"step": 900, "lo')
    code, output = command("eval", f"--run_dir={run}")
    assert code == 0, output
    return run


@pytest.fixture(scope="module")
def report(run_dir):
    output = run_dir.parent / "out" / "report.html"
    code, text = command(
        "report", f"--run_dir={run_dir}", f"--run_dir={run_dir}", f"--output={output}"
    )
    assert code == 0, text
    return output


class Reader(html.parser.HTMLParser):
    """Collects tags that are not closed, and addresses."""

    VOID = ("meta", "link", "img", "br")

    def __init__(self, text):
        super().__init__()
        self.open, self.links, self.headings = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        if tag not in self.VOID:
            self.open.append(tag)
        self.links += [v for k, v in attributes if k in ("src", "href", "action")]

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] == ["h2"]:
            self.headings.append(data)


def test_report_is_whole_and_loads_nothing(report):
    text = report.read_text()
    reader = Reader(text)
    assert reader.open == []
    assert reader.headings == [
        *("Summary", "Classes", "Training", "Boundaries", "Calibration", "Confusion"),
        *("Pictures", "Settings"),
    ]
    assert all(link.startswith(("data:", "#")) for link in reader.links)
    assert "<script" not in text
    assert "onclick=" not in re.sub("&lt;.*?&amp;", "", text)
    assert report.stat().st_size < 5e6
    assert not re.search(r"\bnan\b|None</td>", text)


def test_report_shows_what_eval_found(report, run_dir):
    import json

    result = json.loads((run_dir / "eval" / "val.json").read_text())
    text = report.read_text()
    assert f"{result['miou']:.3f}" in text
    for value in result["per_class_iou"].values():
        assert f"{value:.3f}" in text
    assert "+0.0000" in text  # the run compared with itself
    assert text.count("data:image/jpeg") >= 4


@pytest.mark.skipif(not shutil.which("chromium"), reason="Chromium is not installed")
@pytest.mark.parametrize("width", [1200, 400])
def test_a_browser_shows_it_without_complaint(report, tmp_path, width):
    from PIL import Image

    shot = tmp_path / "shot.png"
    result = subprocess.run(
        [
            "chromium",
            *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"),
            *("--no-first-run", "--disable-background-networking", "--disable-sync"),
            *("--disable-component-update", "--enable-logging=stderr"),
            f"--user-data-dir={tmp_path / 'profile'}",
            f"--window-size={width},3000",
            f"--screenshot={shot}",
            report.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "CONSOLE" not in result.stderr
    pixels = np.asarray(Image.open(shot).convert("L"))
    assert pixels.std() > 5  # not a blank page


def test_how_it_was_evaluated_is_told(run_dir, report, tmp_path):
    assert "was evaluated at" not in report.read_text()
    averaged = shutil.copytree(run_dir, tmp_path / "averaged")
    flags = ("--scales=0.75,1.0", "--flip", "--output_stride=8")
    assert command("eval", f"--run_dir={averaged}", *flags)[0] == 0
    output = tmp_path / "report.html"
    assert command("report", f"--run_dir={averaged}", f"--output={output}")[0] == 0
    told = "averaged was evaluated at scales 0.75, 1.0, with the mirrored picture, "
    assert f"{told}output stride 8." in output.read_text()


def test_report_without_evaluation_tells_what_to_run(tmp_path):
    run = tiny_run.write(tmp_path)
    code, output = command("report", f"--run_dir={run}")
    assert code == 1
    assert output.count("\n") == 1
    assert "python -m deeplab_tf.eval --run_dir=" in output


def picture(index, miou, suspect, confused=()):
    return PictureScore(
        index=index,
        name=str(index),
        miou=miou,
        suspect=suspect,
        classes=[],
        confused=list(confused),
    )


def test_gallery_chooses_best_worst_confused_and_doubtful():
    class Info:
        class_names = ("a", "b", "c")

    pictures = [
        picture(0, 0.5, 0.0, [[0, 1, 10], [2, 1, 50]]),
        picture(1, 0.1, 0.3, [[0, 1, 80]]),
        picture(2, 0.9, 0.0004),
        picture(3, None, 0.0),
        picture(4, 0.3, 0.02, [[2, 1, 20]]),
    ]
    chosen = gallery.choose(pictures, Info, 2)
    numbers = {
        title: [one.index for one, _ in group] for title, group in chosen.items()
    }
    assert numbers == {
        "Worst": [1, 4],
        "Best": [2, 0],
        "Most confused": [1, 0],
        "Labels to check": [1, 4],
    }
    assert chosen["Most confused"][1][1] == "c taken for b"


def test_curve_lies_where_its_values_are():
    points = [(0.0, 1.0), (5.0, 3.0), (10.0, 2.0)]
    text = charts.line_chart(
        [Series(name=HOSTILE, points=points, dots=True)],
        title="t",
        x_label="x",
        y_label="y",
        y_range=(1, 3),
    )
    assert HOSTILE not in text
    places = re.search(r'points="([^"]*)"', text).group(1).split()
    x, y = np.array([place.split(",") for place in places], float).T
    np.testing.assert_allclose((x - x[0]) / (x[2] - x[0]), [0, 0.5, 1], atol=1e-3)
    np.testing.assert_allclose((y[0] - y) / (y[0] - y[1]), [0, 1, 0.5], atol=1e-3)
    assert y[1] < y[0]  # down is more in SVG


def test_long_curves_are_thinned_to_means():
    points = [(float(x), float(x % 2)) for x in range(1000)]
    thinned = charts.thin(points, 500)
    assert thinned == [(2 * i + 0.5, 0.5) for i in range(500)]
    assert charts.thin([]) == []


def test_a_chart_of_nothing_is_no_chart():
    empty = Series(name="a", points=[])
    assert not charts.line_chart([empty], title="t", x_label="x", y_label="y")


def test_cells_and_pictures():
    assert "absent" in page.bar(None)
    assert "--v:25.0%" in page.bar(0.25)
    assert "rgb(1, 2, 3)" in page.swatch((1, 2, 3))
    shown = page.picture(np.zeros((4, 6, 3), np.uint8), "c", HOSTILE)
    assert 'width="6" height="4"' in shown
    assert HOSTILE not in shown
