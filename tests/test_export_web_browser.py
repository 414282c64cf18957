"""The page in a real browser: its labels are those of Keras.

Needs npm with its registry, Chromium with its driver, and selenium ([dev]).
"""

import base64
import contextlib
import functools
import http.server
import io
import json
import shutil
import threading

import numpy as np
import pytest
import tiny_run
from PIL import Image

from deeplab_tf import runs
from deeplab_tf.config.options import WebOptions
from deeplab_tf.errors import UserError
from deeplab_tf.export import write
from deeplab_tf.inference import exported, images

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is missing")
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.wait import WebDriverWait  # noqa: E402

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("shallow_resnet"),
    pytest.mark.skipif(
        not (shutil.which("chromium") and shutil.which("chromedriver")),
        reason="chromium and chromium-driver are not installed",
    ),
    pytest.mark.skipif(not shutil.which("npm"), reason="npm is not installed"),
]
SIZE = 97, 129
# Smaller than the network takes, as large, with odd sides, and shrunk in both ways.
SIZES = [(60, 80), SIZE, (75, 101), (120, 310), (400, 211)]
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--disable-quic"),
    *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("web")
    return runs.open_run(tiny_run.write(folder, tiny_run.FEW_LAYERS))


@pytest.fixture(scope="module")
def site(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("page") / "site"
    try:
        write(run, "web", folder, WebOptions(input_size=SIZE, measure=False))
    except UserError as error:
        if "npm" not in str(error):
            raise
        pytest.skip(f"no LiteRT.js: {error}")
    return folder


class Quiet(http.server.SimpleHTTPRequestHandler):
    """What `python -m http.server` is, without its lines."""

    def log_message(self, *parts):
        pass


class Isolating(Quiet):
    """Sends what a browser wants to see before it gives threads."""

    def end_headers(self):
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()


@contextlib.contextmanager
def served(site, kind):
    handler = functools.partial(kind, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def address(site):
    with served(site, Quiet) as address:
        yield address


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Starts a browser that tells its log and downloads into a folder."""
    folder = tmp_path_factory.mktemp("browser")
    begun = []

    def start():
        options = webdriver.ChromeOptions()
        number = len(begun)
        netlog = folder / f"net{number}.json"
        for flag in (*FLAGS, f"--log-net-log={netlog}"):
            options.add_argument(flag)
        options.add_experimental_option(
            "prefs", {"download.default_directory": str(folder / str(number))}
        )
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        service = webdriver.ChromeService(shutil.which("chromedriver"))
        browser = webdriver.Chrome(options, service)
        begun.append(browser)
        return browser, folder / str(number), netlog

    yield start
    for browser in begun:
        browser.quit()


@pytest.fixture(scope="module")
def opened(start):
    return start()


def find(browser, name):
    return browser.find_element("id", name)


def wait(browser, condition, seconds=60):
    return WebDriverWait(browser, seconds, 0.05).until(lambda _: condition())


def open_page(browser, address):
    browser.get(address)
    wait(browser, lambda: find(browser, "status").text == "Ready.")


def show(browser, path):
    """Gives the page a picture and waits for its labels."""
    find(browser, "files").send_keys(str(path))
    wait(browser, lambda: find(browser, "facts").text.startswith(f"{path.name}:"))
    wait(browser, lambda: find(browser, "status").text == "Ready.")


def downloaded(browser, folder, name):
    find(browser, "download").click()
    path = folder / name
    wait(browser, path.exists)
    return Image.open(io.BytesIO(path.read_bytes()))


def press(browser, *keys):
    webdriver.ActionChains(browser).send_keys(*keys).perform()


def overlay(browser):
    """uint8 [h, w, 4] of the canvas that lies over the picture."""
    data = browser.execute_script("return document.all.overlay.toDataURL()")
    content = base64.b64decode(data.partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGBA"))


def errors(browser):
    return [one for one in browser.get_log("browser") if one["level"] == "SEVERE"]


def requests(netlog, address):
    """Addresses that the page and its worker asked for."""
    events = json.loads(netlog.read_text())["events"]
    asked = [event.get("params", {}) for event in events]
    found = {one["url"] for one in asked if one.get("initiator") == address}
    return {url for url in found if not url.startswith(("blob:", "data:"))}


def make_pictures(folder):
    """Five files: PNG, and a JPEG that EXIF turns."""
    for number, (height, width) in enumerate(SIZES):
        (pixels,) = tiny_run.pictures(height, width, seed=number)
        image = Image.fromarray(pixels)
        path = folder / f"picture{number}.png"
        if number == 2:
            path = path.with_suffix(".jpg")
            exif = Image.Exif()
            exif[0x0112] = 6
            image.save(path, quality=95, exif=exif)
        else:
            image.save(path)
        yield path


def expected_labels(run, paths):
    """Keras' labels of each picture, fitted as an export of this size sees it."""
    model = runs.load_model(run)
    fill = exported.border(run.to_dict(), 3)
    for path in paths:
        picture = images.read(path, 3)
        fitted, box = exported.fit(picture, SIZE, fill)
        logits = np.asarray(model(np.float32(fitted), training=False))
        yield exported.restore(logits.argmax(-1)[0][box], picture.shape[:2])


@pytest.mark.parametrize("kind", [Quiet, Isolating])
def test_labels_are_those_of_keras_and_nothing_is_asked_elsewhere(
    run, site, start, tmp_path, kind
):
    paths = list(make_pictures(tmp_path))
    browser, downloads, netlog = start()
    equal = []
    with served(site, kind) as address:
        open_page(browser, address)
        for path, expected in zip(paths, expected_labels(run, paths), strict=True):
            show(browser, path)
            mask = downloaded(browser, downloads, f"{path.stem}_mask.png")
            assert mask.mode == "P"
            assert len(np.unique(expected)) > 1
            equal.append(np.asarray(mask) == expected)
        assert ("threads" in find(browser, "facts").text) == (kind is Isolating)
        assert errors(browser) == []
        browser.quit()
    colors = np.reshape(mask.getpalette()[: 3 * run.info.num_classes], (-1, 3))
    assert colors.tolist() == [list(color) for color in run.info.colormap]
    assert np.concatenate([one.ravel() for one in equal]).mean() >= 0.999
    asked = requests(netlog, address)
    assert f"{address}/model.tflite" in asked  # so the worker's are among them
    assert [url for url in asked if not url.startswith(address)] == []


def test_the_keyboard_switches_classes_and_opacity(run, address, opened, tmp_path):
    browser, *_ = opened
    open_page(browser, address)
    *_, path = make_pictures(tmp_path)
    show(browser, path)
    before = overlay(browser)
    for name in ("files", "camera", "download", "", "opacity", "all", "none"):
        press(browser, Keys.TAB)  # the fourth is the picture's own button
        assert browser.switch_to.active_element.get_attribute("id") == name
    press(browser, Keys.TAB, Keys.SPACE)
    color = np.array([*run.info.colormap[0], 255])
    is_first = (before == color).all(-1)
    assert is_first.any()
    assert not is_first.all()
    after = overlay(browser)
    assert not after[is_first].any()
    np.testing.assert_array_equal(after[~is_first], before[~is_first])
    find(browser, "none").send_keys(Keys.SPACE)
    assert not overlay(browser).any()
    find(browser, "opacity").send_keys(Keys.HOME, Keys.ARROW_RIGHT)
    assert find(browser, "percent").text == "1 %"
    assert find(browser, "overlay").value_of_css_property("opacity") == "0.01"


def test_the_camera_is_labelled_until_it_is_stopped(address, opened):
    browser, *_ = opened
    open_page(browser, address)
    find(browser, "camera").click()
    wait(browser, lambda: find(browser, "facts").text.startswith("camera: "))
    assert find(browser, "camera").text == "Stop the camera"
    find(browser, "camera").click()
    assert find(browser, "status").text == "The camera is off."
    assert errors(browser) == []


def test_a_file_that_is_no_picture_is_named(address, opened, tmp_path):
    browser, *_ = opened
    open_page(browser, address)
    path = tmp_path / "list.png"
    path.write_text("no picture")
    find(browser, "files").send_keys(str(path))
    wait(browser, lambda: "list.png: the browser" in find(browser, "status").text)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_fits_a_narrow_screen(address, opened, tmp_path, theme):
    browser, *_ = opened
    metrics = {"width": 420, "height": 900, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    media = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    open_page(browser, address)
    path, *_ = make_pictures(tmp_path)
    show(browser, path)
    root = "document.documentElement"
    assert browser.execute_script(f"return {root}.scrollWidth") == 420
    shot = Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("L")
    assert (np.asarray(shot)[0, 0] < 128) == (theme == "dark")
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_opened_as_a_file_it_tells_the_command(site, opened):
    browser, *_ = opened
    browser.get((site / "index.html").as_uri())
    told = find(browser, "problem").text
    assert f"python -m http.server --bind 127.0.0.1 --directory '{site}/'" in told
    assert not find(browser, "tool").is_displayed()


@pytest.mark.parametrize(
    ("name", "words"),
    [("WebAssembly", "no WebAssembly"), ("OffscreenCanvas", "no off-screen canvases")],
)
def test_a_browser_that_cannot_is_told_why(address, opened, name, words):
    browser, *_ = opened
    made = browser.execute_cdp_cmd(
        "Page.addScriptToEvaluateOnNewDocument", {"source": f"delete window.{name}"}
    )
    browser.get(address)
    assert words in find(browser, "problem").text
    assert not find(browser, "tool").is_displayed()
    browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", made)
