"""The page of a run in a real browser, Debian's Chromium without a network: the pad, keys, sizes, access."""
import dataclasses
import shutil
import time

import numpy as np
import pytest

import nnjit as nn
from nnjit import page, report

pytest.importorskip("selenium", reason="needs selenium, which make test-browser installs")
CHROMIUM, DRIVER = (shutil.which(name) for name in ("chromium", "chromedriver"))
pytestmark = [pytest.mark.compiled, pytest.mark.filterwarnings("ignore"),
              pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromium-driver"),
              pytest.mark.xdist_group("browser")]


def train(folder, layers, epochs=3, name="<b>MNIST</b>", images=False, classes=None):
    """Train a network on the book's images; write its run and its page, and return model and test data."""
    data = nn.datasets.load_book_mnist()
    (x, y), (x_test, y_test) = data.images(500) if images else data.rows("float32", 500)
    _, (shown, _) = data.images(1)
    x_test, y_test, shown = x_test[:300], y_test[:300], shown[:300]
    units = report.UnitsWatch(x_test)
    model = nn.Sequential(layers, nn.Categorical())
    model.fit(x, y, nn.Adam(0.005), epochs, 50, validation_data=(x_test, y_test), callbacks=[units],
              verbose=0)
    data = dataclasses.replace(data, name=name)
    tested = report.Tested(x_test, shown, y_test, classes or data.classes)
    report.write(report.RunFolder(folder), model, {"seed": 0}, data, f"{name}: a run",
                 None if images else (28, 28), tested,
                 {"argv": ["nnjit", "train", "--act", "a b"], "units": units})
    page.write(folder / "report.html", [folder])
    return model, (x_test, y_test)


@pytest.fixture(scope="module")
def dense(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dense")
    classes = ["zero", "<i>one</i>", *"23456789"]
    layers = [nn.Dense(40), nn.Tanh(), nn.Dropout(0.2), nn.Dense(30), nn.ReLU(), nn.Dense(10)]
    return folder, *train(folder, layers, classes=classes)


@pytest.fixture(scope="module")
def convolutional(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cnn")
    layers = [nn.Conv2D(8, 3), nn.BatchNormalization(), nn.ReLU(), nn.MaxPool2D(2),
              nn.Conv2D(16, 3, strides=2), nn.GELU(), nn.AveragePool2D(2), nn.Flatten(), nn.Dense(64),
              nn.SiLU(), nn.Dense(10)]
    return folder, *train(folder, layers, images=True)


@pytest.fixture(scope="module")
def browser():
    from selenium import webdriver
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for word in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars"):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    found = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    found.execute_cdp_cmd("Network.enable", {})
    found.execute_cdp_cmd("Network.emulateNetworkConditions",
                          {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0})
    yield found
    found.quit()


def opened(browser, folder, width=1000, dark=False):
    """Open the page of a run, and return the browser; nothing may have been written to the console."""
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [
        {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]})
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                            {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500})
    browser.get(f"file://{folder}/report.html")
    assert browser.get_log("browser") == []
    return browser


def answers(browser):
    """Return the text of the answer, and the probabilities that are shown."""
    return browser.execute_script(
        "return [document.getElementById('answer').textContent,"
        "[...document.querySelectorAll('[data-class]')].map(e => Number(e.dataset.p))]")


@pytest.mark.parametrize("name", ["dense", "convolutional"])
def test_the_network_in_the_page_is_the_trained_one(request, browser, name):
    folder, model, (x, _y) = request.getfixturevalue(name)
    opened(browser, folder)
    rows = (x[:20] / 255 if x.dtype == np.uint8 else x[:20]).reshape(20, 784).astype(float)
    expected, logits = model.predict_proba(x[:20]), model.logits(x[:20])
    for row, p, z in zip(rows, expected, logits):
        found = browser.execute_script(
            "return [nnjit.probabilities(arguments[0]), nnjit.logits(arguments[0])]", row.tolist())
        np.testing.assert_allclose(found[0], p, rtol=0, atol=1e-5)
        np.testing.assert_allclose(found[1], z, rtol=1e-4, atol=1e-4)
    largest = browser.execute_script(
        "return [0.25, 1, 4].map(T => Math.max(...nnjit.probabilities(arguments[0], T)))", rows[0].tolist())
    assert largest[0] > largest[1] > largest[2]


def test_a_convolution_answers_while_one_draws(browser, convolutional):
    folder, _, (x, _) = convolutional
    opened(browser, folder)
    seconds = browser.execute_script(
        "const x = arguments[0]; nnjit.logits(x); const t = performance.now();"
        "for (let i = 0; i < 20; i++) nnjit.logits(x); return (performance.now() - t) / 20e3",
        (x[0].ravel() / 255).tolist())
    assert seconds < 0.3    # a bound for a loaded machine; idle it takes some milliseconds


@pytest.mark.parametrize("name", ["dense", "convolutional"])
def test_drawing_by_strokes(request, browser, name):
    """A one and a seven are drawn by pointer; the answer is that of the model for the pixels of the page."""
    from selenium.webdriver import ActionChains
    folder, model, _ = request.getfixturevalue(name)
    opened(browser, folder)
    canvas = browser.find_element("id", "pad")
    names = [item.text for item in browser.find_elements("css selector", "[data-class] > :first-child")]
    for strokes in ([(0, -80), (0, 80)], [(-60, -70), (60, -70), (-20, 80)],
                    [(-50, -60), (-50, 0), (50, 0), (50, -60), (50, 80)]):
        browser.find_element("id", "clear").click()
        chain = ActionChains(browser, 20).move_to_element_with_offset(canvas, *strokes[0]).click_and_hold()
        for point in strokes[1:]:
            chain.move_to_element_with_offset(canvas, *point)
        chain.release().perform()
        pixels = np.array(browser.execute_script("return nnjit.pixels()"))
        assert pixels.sum() > 20 and abs(_centre(pixels) - 13.5).max() < 0.6
        row = pixels.astype(np.float32).reshape(1, *model.input_shape)
        p = model.predict_proba(row)[0]
        text, shown = answers(browser)
        np.testing.assert_allclose(shown, p, rtol=0, atol=1e-5)
        assert text == names[p.argmax()]


def _centre(pixels):
    image = pixels.reshape(28, 28)
    return np.array([(image.sum(axis=1) @ np.arange(28)), (image.sum(axis=0) @ np.arange(28))]) / image.sum()


def test_keys(browser, dense):
    from selenium.webdriver import ActionChains, Keys
    folder, _, _ = dense
    opened(browser, folder)
    browser.execute_script("document.getElementById('pad').focus()")
    assert answers(browser)[0] == "–"
    ActionChains(browser).send_keys(*[Keys.ARROW_DOWN] * 8).perform()
    assert answers(browser)[0] != "–"
    ActionChains(browser).send_keys(Keys.DELETE).perform()
    assert answers(browser)[0] == "–"
    ActionChains(browser).key_down(Keys.SHIFT).send_keys(*[Keys.ARROW_UP] * 5).key_up(Keys.SHIFT).perform()
    assert answers(browser)[0] == "–"    # it moves, and does not paint
    chart = browser.find_element("css selector", "#curves svg[tabindex]")
    browser.execute_script("arguments[0].focus()", chart)
    ActionChains(browser).send_keys(Keys.HOME).perform()
    assert browser.find_element("css selector", "#curves .values").text.startswith("epoch 0: ")


def test_test_images_temperature_and_sigmoids(browser, dense):
    folder, model, (x, _y) = dense
    opened(browser, folder)
    browser.find_element("id", "random").click()
    pixels = np.array(browser.execute_script("return nnjit.pixels()"), np.float32)
    k = np.flatnonzero(np.abs(x[:100] - pixels).max(axis=1) < 1e-6)[0]
    _, shown = answers(browser)
    np.testing.assert_allclose(shown, model.predict_proba(x[k:k + 1])[0], rtol=0, atol=1e-5)
    assert "it is" in browser.find_element("id", "truth").text
    slide = ("const t = document.getElementById('temperature'); t.value = arguments[0];"
             "t.dispatchEvent(new Event('input'))")
    largest = []
    for value in (-2, 0, 2):
        browser.execute_script(slide, value)
        largest.append(max(answers(browser)[1]))
    assert largest[0] > largest[1] > largest[2]
    browser.execute_script(slide, 0)
    browser.find_element("id", "sigmoids").click()
    z = model.logits(x[k:k + 1])[0]
    np.testing.assert_allclose(answers(browser)[1], 1 / (1 + np.exp(-z)), rtol=0, atol=1e-5)


def test_evidence_adds_up(browser, dense):
    """Pixel by pixel: the derivative of the answer's logit less the mean, by central differences."""
    folder, model, (x, _y) = dense
    opened(browser, folder)
    found = np.array(browser.execute_script(
        "const run = JSON.parse(document.getElementById('data').textContent).runs[0];"
        "return new nets.Network(run.network).evidence(arguments[0], 3)", x[0].astype(float).tolist()))
    same = nn.Sequential([nn.Dense(40), nn.Tanh(), nn.Dense(30), nn.ReLU(), nn.Dense(10)], nn.Categorical(),
                         "float64").build(784)
    same.set_weights(model.get_weights())
    row, h = x[0].astype(float), 1e-5
    for i in np.flatnonzero(row)[::10]:
        moved = np.stack([row, row])
        moved[:, i] += (h, -h)
        z = same.logits(moved)
        slope = ((z[0, 3] - z[0].mean()) - (z[1, 3] - z[1].mean())) / (2 * h)
        np.testing.assert_allclose(found[i], slope * row[i], rtol=1e-3, atol=1e-5)


def test_the_step_is_explained(browser, dense):
    folder, _, _ = dense
    opened(browser, folder)
    seen = [browser.find_element("id", "step").text]
    while browser.find_element("id", "next").is_enabled():
        browser.find_element("id", "next").click()
        seen.append(browser.find_element("id", "step").text)
    assert len(seen) == len(set(seen)) == 11
    assert seen[0].startswith("input") and "0.W after" in seen[-1]
    assert not browser.find_element("id", "next").is_enabled()


def test_names_are_text(browser, dense):
    folder, _, _ = dense
    opened(browser, folder)
    assert browser.title == "<b>MNIST</b>: a run"
    assert browser.find_elements("css selector", "#probabilities i i, h1 b, table i") == []
    assert "<i>one</i>" in browser.find_element("css selector", "#confusion table").text
    assert "nnjit train --act 'a b'" in browser.find_element("id", "configuration").text


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("name", ["dense", "convolutional"])
def test_access(request, browser, name, dark):
    """axe-core finds nothing serious, and a telephone needs no sideways scrolling."""
    from axe_core_python.selenium import Axe
    folder = request.getfixturevalue(name)[0]
    opened(browser, folder, 360, dark)
    width = browser.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    assert width[0] <= width[1] == 360
    found = Axe().run(browser)["violations"]
    assert not [(one["id"], [node["html"] for node in one["nodes"]][:3]) for one in found
                if one["impact"] in ("serious", "critical")]


def test_several_runs(browser, dense, convolutional, tmp_path):
    from selenium.webdriver.support.ui import Select
    page.write(tmp_path / "report.html", [dense[0], convolutional[0]])
    opened(browser, tmp_path)
    choice = Select(browser.find_element("id", "run"))
    assert len(choice.options) == 2
    choice.select_by_index(1)
    x = convolutional[2][0]
    found = browser.execute_script("return nnjit.probabilities(arguments[0])", (x[0].ravel() / 255).tolist())
    np.testing.assert_allclose(found, convolutional[1].predict_proba(x[:1])[0], rtol=0, atol=1e-5)
    assert len(browser.find_elements("css selector", "#curves figure")) == 3


def test_nothing_is_fetched(browser, dense):
    folder, _, _ = dense
    opened(browser, folder)
    time.sleep(0.2)
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0
    refused = browser.execute_async_script(
        "const done = arguments[0];"
        "fetch('https://example.org/').then(() => done('fetched'), e => done(e.name))")
    assert refused == "TypeError"
    assert any("Content Security Policy" in entry["message"] for entry in browser.get_log("browser"))
