"""What to label again: the page of suspects, its decisions, and the way back."""

import dataclasses
import io
import json
import shutil

import numpy as np
import pytest
from conversion_runs import save
from PIL import Image
from pycocotools import mask as coco_mask

from deeplab_tf import runs
from deeplab_tf.config.options import ReviewOptions
from deeplab_tf.data import dataset_info, reading, records
from deeplab_tf.data.conversion import decisions
from deeplab_tf.data.conversion.run import convert
from deeplab_tf.errors import UserError
from deeplab_tf.labelling.suspects import Suspect
from deeplab_tf.report import review, review_page

pytestmark = pytest.mark.usefixtures("shallow_resnet")

# The least that random weights give: regions of any size.
OPTIONS = ReviewOptions(least=9, count=5)


@pytest.fixture(scope="module")
def reviewed(run):
    return review.write(run, OPTIONS)


def labels_of(run, split="train"):
    examples = reading.read_split(run.config.data.dataset_dir, run.info, split)
    return {records.name_of(e): e["labels"].numpy() for e in examples}


def test_regions_are_where_the_labels_and_the_network_differ(run, reviewed):
    content = json.loads((run.path / "review" / "train" / "regions.json").read_text())
    assert reviewed == {**content, "path": run.path / "review" / "train", "files": []}
    assert content["decided_before"] == 0
    labels, model = labels_of(run), runs.load_model(run)
    examples = reading.read_split(run.config.data.dataset_dir, run.info, "train")
    predictions = {
        records.name_of(e): model(np.float32(e["image"])[None], training=False)
        .numpy()
        .argmax(-1)[0]
        for e in examples
    }
    assert len(content["regions"]) > OPTIONS.count
    assert [one["region"] for one in content["regions"]] == [
        *range(1, len(content["regions"]) + 1)
    ]
    scores = [one["score"] for one in content["regions"]]
    assert scores == sorted(scores, reverse=True)
    for one in content["regions"]:
        fields = ("example", "region", "label", "prediction", "size", "counts")
        decision = decisions.Decision(
            action="keep", **{k: one[k] for k in fields if k != "size"},
            size=tuple(one["size"]),
        )  # fmt: skip
        inside = decision.pixels()
        assert (labels[one["example"]][inside] == one["label"]).all()
        agree = predictions[one["example"]][inside] == one["prediction"]
        assert agree.mean() > 0.99  # another order of additions may turn a tie


def test_the_page_shows_the_first_of_them(reviewed):
    text = (reviewed["path"] / "index.html").read_text()
    assert text.count("data:image/jpeg") == OPTIONS.count
    names = reviewed["class_names"]
    for number, one in enumerate(reviewed["regions"][: OPTIONS.count], start=1):
        said = f"{number}. <b>{names[one['label']]}</b> by the labels, <b>"
        assert f"{said}{names[one['prediction']]}</b> by the network; " in text


def test_a_hostile_name_is_no_markup(run, reviewed):
    """It stands in the page's text, in its script's data and in the decisions."""
    name = "</script><script>alert(1)</script>"
    region = reviewed["regions"][0] | {"example": name}
    fields = {k: v for k, v in region.items() if k != "region"}
    card = review_page.Card(suspect=Suspect(**fields), source="", width=1, height=1)
    content = {**reviewed, "regions": [region]}
    text = review_page.render(content, [card], run.info, name, "decisions.json")
    assert text.count("alert(1)") >= 3
    assert "<script>alert" not in text
    data = text.partition('id="saved">')[2].partition("</script>")[0]
    assert json.loads(data)["decisions"][0]["example"] == name


def decision(region, action, pixels):
    """As a file of decisions has it, of another number than today's."""
    mask = coco_mask.encode(np.asfortranarray(pixels, np.uint8))
    fields = {k: region[k] for k in ("example", "label", "prediction", "size")}
    number, counts = 1000 - region["region"], mask["counts"].decode()
    return {**fields, "region": number, "action": action, "counts": counts}


def test_what_was_decided_is_not_shown_again(run, reviewed, tmp_path):
    """By example and pixels: of three quarters of a region, but not of one quarter."""
    regions = reviewed["regions"]
    kept, other = regions[0], regions[1]
    dropped = next(r for r in regions if r["example"] not in {
        kept["example"], other["example"]})  # fmt: skip
    made = []
    for region, action, share in ((kept, "keep", 0.75), (other, "void", 0.25)):
        fields = {k: v for k, v in region.items() if k != "region"}
        places = np.argwhere(Suspect(**fields).mask)
        pixels = np.zeros(region["size"], bool)
        pixels[tuple(places[: round(share * len(places))].T)] = True
        made.append(decision(region, action, pixels))
    made.append(decision(dropped, "drop", np.ones(dropped["size"], bool)))
    content = {k: reviewed[k] for k in ("schema", "dataset", "split", "class_names")}
    for name, split, some in (
        ("decisions.json", "train", made[:1]),
        ("decisions_2.json", "train", made[1:]),
        (
            "decisions_3.json",
            "val",
            [decision(other, "keep", np.ones(other["size"], bool))],
        ),
    ):
        saved = {**content, "split": split, "decisions": some}
        (tmp_path / name).write_text(json.dumps(saved))
    again = review.write(run, dataclasses.replace(OPTIONS, output=str(tmp_path)))
    expected = [
        one for one in regions
        if one["region"] != kept["region"] and one["example"] != dropped["example"]
    ]  # fmt: skip
    assert [r["counts"] for r in again["regions"]] == [r["counts"] for r in expected]
    assert again["decided_before"] == len(regions) - len(expected)
    assert [path.rpartition("/")[2] for path in again["files"]] == [
        "decisions.json", "decisions_2.json", "decisions_3.json"
    ]  # fmt: skip
    text = (tmp_path / "index.html").read_text()
    assert f"; {again['decided_before']} more were decided before</p>" in text
    assert 'data-file="decisions_4.json"' in text


def test_a_split_without_labels_is_refused(run, tmp_path):
    folder = shutil.copytree(run.config.data.dataset_dir, tmp_path / "data")
    content = json.loads((folder / "dataset.json").read_text())
    content["splits"]["val"]["has_labels"] = False
    (folder / "dataset.json").write_text(json.dumps(content))
    options = ReviewOptions(split="val", dataset_dir=str(folder))
    with pytest.raises(UserError, match="'val' of 'tiny' has no labels to review"):
        review.write(run, options)


# --- In a browser

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is missing")
from selenium.webdriver.support.wait import WebDriverWait  # noqa: E402


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        pytest.skip("chromium and chromium-driver are not installed")
    folder = tmp_path_factory.mktemp("downloads")
    options = webdriver.ChromeOptions()
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic"):
        options.add_argument(flag)
    prefs = {"download.default_directory": str(folder)}
    options.add_experimental_option("prefs", prefs)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    opened = webdriver.Chrome(options, service)
    opened.downloads = folder
    yield opened
    opened.quit()


def press(browser, keys):
    webdriver.ActionChains(browser).send_keys(keys).perform()


def saved(browser):
    """What the page saves, once it lies in the folder of downloads."""
    path = browser.downloads / "decisions.json"
    path.unlink(missing_ok=True)
    press(browser, "s")
    WebDriverWait(browser, 20, 0.05).until(lambda _: path.exists())
    return path


def count(browser):
    return browser.find_element("id", "count").text


def test_what_the_keys_decide_is_what_conversion_does(
    run, reviewed, browser, tmp_path, capsys
):
    browser.get((reviewed["path"] / "index.html").as_uri())
    assert count(browser) == "0 of 5 decided"
    press(browser, "avdx")  # each goes on to the next
    press(browser, "ku")  # back, and the last one undone
    assert count(browser) == "3 of 5 decided"
    press(browser, "j")  # which brings it into view
    browser.find_elements("css selector", "#region-5 button")[0].click()
    path = saved(browser)
    found = decisions.load(path)
    actions = ["prediction", "void", "keep", "prediction"]
    assert [one.action for one in found.decisions] == actions
    regions = [reviewed["regions"][i] for i in (0, 1, 2, 4)]
    assert [one.region for one in found.decisions] == [1, 2, 3, 5]
    assert [one.counts for one in found.decisions] == [r["counts"] for r in regions]
    source, expected = tmp_path / "source", labels_of(run)
    for name, labels in expected.items():
        grey = np.zeros((*labels.shape, 3), np.uint8) + len(name)
        grey[0, 0] = [int(name[-1]), 0, 0]
        save(source / "images" / "train" / f"{name}.png", grey)
        save(source / "labels" / "train" / f"{name}.png", labels.astype(np.uint8))
    content = {"class_names": run.info.class_names}
    (source / "classes.json").write_text(json.dumps(content))
    convert(source, tmp_path / "out", decisions=[str(path)], workers=1)
    for one in found.decisions:
        result = {"void": 255, "prediction": one.prediction, "keep": one.label}
        expected[one.example][one.pixels()] = result[one.action]
    info = dataset_info.load(tmp_path / "out")
    written = reading.read_split(str(tmp_path / "out"), info, "train")
    for example in written:
        name = records.name_of(example)
        np.testing.assert_array_equal(example["labels"], expected[name])
    browser.refresh()
    assert count(browser) == "4 of 5 decided"  # it remembers
    assert browser.get_log("browser") == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_fits_a_narrow_screen(reviewed, browser, theme):
    metrics = {"width": 420, "height": 900, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    media = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    browser.get((reviewed["path"] / "index.html").as_uri())
    width = "return document.documentElement.scrollWidth"
    assert browser.execute_script(width) == 420
    shot = Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("L")
    assert (np.asarray(shot)[0, 0] < 128) == (theme == "dark")
