"""The report, made by the commands and opened in a browser where there is one."""

import html.parser
import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import shallow
import tiny_run
from conftest import ROOT

from deeplab_tf import report as report_room
from deeplab_tf import runs
from deeplab_tf.config.options import ReportOptions
from deeplab_tf.data.dataset_info import DatasetInfo, Split
from deeplab_tf.errors import UserError
from deeplab_tf.evaluation.image_scores import PictureScore
from deeplab_tf.report import (
    browser,
    exploration,
    exploration_page,
    figures,
    gallery,
    page,
)
from deeplab_tf.report.figures import Series

pytestmark = pytest.mark.usefixtures("shallow_resnet")

# What a stranger may call a folder, a class or a file. Were one not escaped, the
# browser would run it, or complain that the page's policy forbids it.
HOSTILE = '<img src=x onerror=console.log("ran")>&'
WITHOUT_PICTURES = ReportOptions(pictures=0)
SPLIT = "a 'b' & {{ c }}"  # the worst that a split may be called
HOSTILE_CLASSES = (
    "ground",
    '</style><script>console.log("ran")</script>',
    "\"'><svg onload=console.log(1)>{{ 7 * 7 }}",
)


def command(name, *arguments):
    result = subprocess.run(
        shallow.command(f"deeplab_tf.{name}", *arguments),
        cwd=ROOT,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    return result.returncode, result.stdout + result.stderr


def rename_classes(path, *keys):
    """Gives the data set that stands in a JSON file, below the keys, hostile names."""
    content = json.loads(path.read_text())
    info = content
    for key in keys:
        info = info[key]
    info["class_names"] = HOSTILE_CLASSES
    path.write_text(json.dumps(content))


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp(HOSTILE)
    run = tiny_run.write(folder, tiny_run.FEW_LAYERS)
    rename_classes(run / "run.json", "dataset")
    rename_classes(folder / "data" / "dataset.json")
    lines = [f'{{"step": {s}, "loss": {1 / s}, "miou": 0.1}}\n' for s in range(1, 900)]
    lines.append('{"step": 900, "miou": NaN}\n')
    (run / "metrics.jsonl").write_text("".join(lines) + '{"step": 900, "lo')
    code, output = command("eval", f"--run_dir={run}")
    assert code == 0, output
    named = run / "eval" / "val.pictures.jsonl"
    scores = [
        json.loads(line) | {"name": HOSTILE} for line in named.read_text().splitlines()
    ]
    named.write_text("".join(json.dumps(score) + "\n" for score in scores))
    return run


@pytest.fixture(scope="module")
def report(run_dir):
    output = run_dir.parent / "out" / "report.html"
    code, text = command(
        "report", f"--run_dir={run_dir}", f"--run_dir={run_dir}", f"--output={output}"
    )
    assert code == 0, text
    return output


@pytest.fixture(scope="module")
def pages(report, tmp_path_factory):
    """The report, the explorer's and the data browser's page, with hostile names."""
    folder = tmp_path_factory.mktemp("pages")
    setting = exploration.Setting(output_stride=16, scales=(1.0,), flip=False)
    points = [
        exploration.Point(
            setting=setting,
            miou=miou,
            multiply_adds=10**9,
            milliseconds=1.0,
            peak_memory_bytes=1,
        )
        for miou in (0.5, 0.4)
    ]
    explorer = folder / "explorer.html"
    explorer.write_text(exploration_page.render(exploration.mark_best(points), HOSTILE))
    split = Split(num_examples=1, shards=("x",), class_pixels=(9, 0, 1))
    info = DatasetInfo(
        name=HOSTILE,
        class_names=HOSTILE_CLASSES,
        source=HOSTILE,
        splits={SPLIT: split},
    )
    image, labels = np.zeros((9, 9, 3), np.uint8), np.ones((9, 9), np.uint8)
    card = browser.Card(title=HOSTILE, image=image, labels=labels, remark=HOSTILE)
    finding = {"split": HOSTILE, "message": HOSTILE}
    data = folder / "browse.html"
    data.write_text(browser.html_page(info, {SPLIT: [card]}, {"warnings": [finding]}))
    return {"report": report, "explorer": explorer, "browser": data}


class Reader(html.parser.HTMLParser):
    """Collects tags that are not closed, addresses, and what could run."""

    VOID = ("meta", "link", "img", "br")

    def __init__(self, text):
        super().__init__()
        self.open, self.links, self.headings, self.active = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        if tag not in self.VOID:
            self.open.append(tag)
        self.links += [
            v for k, v in attributes if k in ("src", "href", "action", "xlink:href")
        ]
        self.active += [k for k, _ in attributes if k.startswith("on")]
        self.active += [tag] * (tag in ("script", "iframe", "object", "embed"))

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in self.VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] == ["h2"]:
            self.headings.append(data)


@pytest.mark.parametrize("name", ["report", "explorer", "browser"])
def test_pages_are_whole_and_hold_nothing_that_runs(pages, name):
    text = pages[name].read_text()
    reader = Reader(text)
    assert reader.open == []
    assert reader.active == []
    assert all(link.startswith(("data:", "#")) for link in reader.links)
    assert "{{ 7 * 7 }}" in html.unescape(text) or name == "explorer"
    assert not re.search(r"\bnan\b|\bNone<", text)


def test_report_begins_with_pictures(report):
    assert Reader(report.read_text()).headings == [
        *("Examples", "Summary", "Classes", "Training", "Boundaries", "Calibration"),
        *("Confusion", "Pictures", "Settings"),
    ]
    assert report.stat().st_size < 5e6


def test_report_shows_what_eval_found(report, run_dir):
    result = json.loads((run_dir / "eval" / "val.json").read_text())
    text = report.read_text()
    assert f"{result['miou']:.3f}" in text
    for value in result["per_class_iou"].values():
        assert f"{value:.3f}" in text
    assert "+0.0000" in text  # the run compared with itself
    assert text.count("data:image/jpeg") >= 4


@pytest.mark.skipif(not shutil.which("chromium"), reason="Chromium is not installed")
@pytest.mark.parametrize(
    ("name", "width"),
    [("report", 1200), ("report", 400), ("explorer", 1200), ("browser", 400)],
)
def test_a_browser_shows_it_without_complaint(pages, tmp_path, name, width):
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
            pages[name].as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "CONSOLE" not in result.stderr
    pixels = np.asarray(Image.open(shot).convert("L"))
    assert pixels.std() > 5  # not a blank page


def restarted(run_dir, folder, **provenance):
    """A copy of a run that says to have been another one."""
    copy = shutil.copytree(run_dir, folder)
    content = json.loads((copy / "run.json").read_text())
    content["provenance"] |= provenance
    (copy / "run.json").write_text(json.dumps(content))
    return runs.open_run(copy)


def test_how_it_was_evaluated_is_told(run_dir, report, tmp_path):
    assert "was evaluated at" not in report.read_text()
    averaged = restarted(run_dir, tmp_path / "averaged")
    path = averaged.path / "eval" / "val.json"
    manner = {"scales": [0.75, 1.0], "flip": True, "output_stride": 8}
    path.write_text(json.dumps(json.loads(path.read_text()) | manner))
    output = tmp_path / "report.html"
    report_room.write([averaged], output, WITHOUT_PICTURES)
    told = "averaged was evaluated at scales 0.75, 1.0, with the mirrored image, "
    assert f"{told}output stride 8." in output.read_text()


def test_a_report_of_another_run_is_not_replaced(run_dir, tmp_path):
    run = runs.open_run(run_dir)
    other = restarted(run_dir, tmp_path / HOSTILE, started="another day")
    output = tmp_path / "report.html"
    report_room.write([run], output, WITHOUT_PICTURES)
    report_room.write([run, other], output, WITHOUT_PICTURES)  # nothing is lost
    before = output.read_text()
    with pytest.raises(UserError, match="is a report of another run") as refusal:
        report_room.write([run], output, WITHOUT_PICTURES)
    assert HOSTILE in str(refusal.value)
    assert output.read_text() == before
    moved = restarted(run_dir, tmp_path / "moved")
    report_room.write([moved, other], output, WITHOUT_PICTURES)
    assert f"moved, {HOSTILE} on tiny" in html.unescape(output.read_text())


def without_scores(value):
    """NaN for each score, as older versions wrote what is now null."""
    if isinstance(value, dict):
        return {key: without_scores(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [without_scores(entry) for entry in value]
    return float("nan") if isinstance(value, float) else value


def test_scores_of_nothing_are_dashes(run_dir, tmp_path):
    void = restarted(run_dir, tmp_path / "void")
    path = void.path / "eval" / "val.json"
    result = without_scores(json.loads(path.read_text()))
    result["confusion_matrix"] = np.zeros((3, 3), int).tolist()
    path.write_text(json.dumps(result))
    named = path.with_suffix(".pictures.jsonl")
    nothing = {"miou": None, "suspect": 0.0, "classes": [], "confused": []}
    scores = [json.loads(line) | nothing for line in named.read_text().splitlines()]
    named.write_text("".join(json.dumps(score) + "\n" for score in scores))
    for reported in ([void], [void, runs.open_run(run_dir)]):
        output = tmp_path / f"{len(reported)}.html"
        report_room.write(reported, output, ReportOptions(pictures=1))
        text = output.read_text()
        assert not re.search(r"\bnan\b|\bNaN\b|>None<", text)
        assert text.count("\N{EM DASH}") >= 3 + 3
        assert "no labelled pixel" in text


def test_report_without_evaluation_tells_what_to_run(run_dir, tmp_path):
    with pytest.raises(UserError, match=r"python -m deeplab_tf\.eval --run_dir="):
        report_room.write(
            [runs.open_run(run_dir)], tmp_path / "x.html", ReportOptions(split="train")
        )
    assert not list(tmp_path.iterdir())


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
        "Examples": [4, 2],
        "Worst": [1, 4],
        "Best": [2, 0],
        "Most confused": [1, 0],
        "Labels to check": [1, 4],
    }
    assert chosen["Most confused"][1][1] == "c taken for b"


def test_examples_are_spread_from_the_worst_to_the_best():
    pictures = [picture(i, miou, 0.0) for i, miou in enumerate((0.5, 0.1, 0.3, 0.9))]
    indices = {
        count: [one.index for one in gallery._spread(pictures, count)]
        for count in (1, 2, 4, 9)
    }
    assert indices == {1: [2], 2: [1, 3], 4: [0, 1, 2, 3], 9: [0, 1, 2, 3]}
    assert gallery._spread([], 4) == []


def line_chart(series, **options):
    labels = {"title": "t", "x_label": "x", "y_label": "y"}
    return figures.line_chart(series, **labels, **options)


def test_curve_lies_where_its_values_are():
    points = [(0.0, 1.0), (5.0, 3.0), (10.0, 2.0)]
    chart = line_chart([Series(name=HOSTILE, points=points, dots=True)], y_range=(1, 3))
    assert HOSTILE not in chart.svg
    assert chart.legend == [(0, HOSTILE)]
    curve = re.search(r'd="(M[^"]* L[^"]* L[^"]*)"[^>]*var\(--s0\)', chart.svg).group(1)
    x, y = np.array(re.findall(r"[\d.]+", curve), float).reshape(-1, 2).T
    np.testing.assert_allclose((x - x[0]) / (x[2] - x[0]), [0, 0.5, 1], atol=1e-3)
    np.testing.assert_allclose((y[0] - y) / (y[0] - y[1]), [0, 1, 0.5], atol=1e-3)
    assert y[1] < y[0]  # down is more in SVG
    dots = re.findall(r'<use [^>]*x="([\d.]+)" y="([\d.]+)"', chart.svg)
    np.testing.assert_allclose(np.array(dots, float), np.stack([x, y], 1), atol=1e-3)
    tips = [html.unescape(tip) for tip in re.findall("<title>(.*?)</title>", chart.svg)]
    assert tips == [f"{HOSTILE}: {x:g}, {y:g}" for x, y in points]


def test_a_chart_has_no_colour_font_or_style_of_its_own():
    reference = Series(name="r", points=[(0, 0), (1, 1)], is_reference=True)
    points = Series(name="a", points=[(0, 1), (1, 1)], color=5, dots=True, line=False)
    svg = line_chart([reference, points]).svg
    assert set(re.findall(r"(?:fill|stroke): ?([^;\"]+)", svg)) == {
        *("none", "var(--s5)", "var(--card)", "var(--soft)", "var(--line)"),
    }
    assert not re.search('<style|<metadata|font|#[0-9a-f]{6}\\b(?!")', svg)
    identifiers = re.findall(r'id="([^"]*)"', svg)
    assert all(f"#{one}" in svg for one in identifiers)  # those that are referred to


def test_long_curves_are_thinned_to_means():
    points = [(float(x), float(x % 2)) for x in range(1000)]
    thinned = figures.thin(points, 500)
    assert thinned == [(2 * i + 0.5, 0.5) for i in range(500)]
    assert figures.thin([]) == []


def test_a_chart_of_nothing_is_no_chart():
    assert line_chart([Series(name="a", points=[])]) is None
    reference = Series(name="r", points=[(0, 0), (1, 1)], is_reference=True)
    assert line_chart([reference, Series(name="a", points=[])]) is None


def test_numbers_and_what_is_none():
    assert page.number(0.25) == "0.250"
    assert page.interval([0.25, 0.5], ".1f", " to ") == "0.2 to 0.5"
    for nothing in (None, float("nan"), float("inf")):
        assert page.number(nothing) == "\N{EM DASH}"
    for nothing in (None, [None, None], [0.5, None]):
        assert page.interval(nothing) == "\N{EM DASH}"


def test_only_pages_with_figures_load_matplotlib():
    users = {
        str(path.relative_to(ROOT / "deeplab_tf"))
        for path in (ROOT / "deeplab_tf").rglob("*.py")
        if re.search(r"^\s*(import|from) matplotlib", path.read_text(), re.M)
    }
    # The second for its paths, which leave out corners of outlines.
    assert users == {"report/figures.py", "labelling/outlines.py"}
    code = (
        "import sys, deeplab_tf.report.browser, deeplab_tf.commands.browse; "
        "sys.exit(bool({'matplotlib', 'tensorflow'} & {*sys.modules}))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_the_templates_are_packaged():
    import tomllib

    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packaged = settings["tool"]["setuptools"]["package-data"]
    assert packaged["deeplab_tf.report"] == ["templates/*"]
