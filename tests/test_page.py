"""The page of a run without a browser: what it says, its size, its policy; and a step that is explained."""
import base64
import hashlib
import json
import re

import numpy as np
import pytest
from head_cases import check_refused

import nnjit as nn
from nnjit import analysis, cli, page, report
from nnjit.inputs.checks import DataError
from nnjit.layers import ReLU, Sigmoid, Tanh
from nnjit.page import network
from nnjit.report.units import share

pytestmark = pytest.mark.compiled    # trains by the command


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a short training of the book's network, by the command."""
    folder = tmp_path_factory.mktemp("runs") / "one"
    assert cli.main(["train", "--data", "digits", "--epochs", "3", "--quiet", "--out-dir", str(folder)]) == 0
    return folder


def data_of(path):
    """Return the data that a page carries."""
    text = path.read_text(encoding="utf-8")
    return json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])


# ---- the page ----------------------------------------------------------------------------------------------

def test_one_file_of_a_run(run):
    path = run / "report.html"
    assert path.stat().st_size < 2_000_000    # of 784-100-10
    one, = data_of(path)["runs"]
    assert one["results"]["epochs"] == 3 and one["history"]["epoch"] == [0, 1, 2]
    assert one["command"] == "nnjit train --data digits --epochs 3"
    assert len(one["classes"]) == 10 and np.sum(one["confusion"]) == one["tested"]
    assert one["units"]["epochs"] == [0, 1, 2] and one["units"]["layers"][0]["kind"] == "saturated"
    text = path.read_text(encoding="utf-8")
    assert not re.search(r'(src|href)="(?!#)', text)
    assert set(re.findall(r"https?://[^\"]*", text)) == {"http://www.w3.org/2000/svg"}    # a name, no address


def test_the_policy_allows_its_own_script_only(run):
    text = (run / "report.html").read_text(encoding="utf-8")
    policy = re.search(r'Content-Security-Policy" content="(.*?)"', text)[1]
    assert policy.startswith("default-src 'none'; ")
    for name, content in (("script", text.rpartition("<script>")[2].partition("</script>")[0]),
                          ("style", text.partition("<style>")[2].partition("</style>")[0])):
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{name}-src 'sha256-{digest}'" in policy


@pytest.mark.compiled
def test_several_runs_and_parts(run, tmp_path, capsys):
    words = ["book", "--data", "digits", "--epochs", "2", "--quiet"]
    assert cli.main([*words, "--out-dir", str(tmp_path / "b")]) == 0
    names = [one["name"] for one in data_of(tmp_path / "b" / "report.html")["runs"]]
    assert names == [f"{act}, {kind} gradient" for act in ("relu", "tanh") for kind in ("literal", "exact")]
    assert len(data_of(tmp_path / "b" / "report.html")["shared"]) == 1    # all have the same test images
    assert cli.main(["report", str(run), str(tmp_path / "b"), "--out", str(tmp_path / "all.html")]) == 0
    assert len(data_of(tmp_path / "all.html")["runs"]) == 5
    assert (tmp_path / "all.html").stat().st_size < 3_000_000
    assert "all.html" in capsys.readouterr().out


def test_numbers_have_their_line(tmp_path):
    assert cli.main(["train", "--data", "iris", "--epochs", "2", "--quiet", "--out-dir", str(tmp_path)]) == 0
    one, = data_of(tmp_path / "report.html")["runs"]
    assert len(one["numbers"]["true"]) == len(one["numbers"]["predicted"]) == len(one["numbers"]["input"])
    assert len(one["numbers"]["line"][0]) == len(one["numbers"]["line"][1])


@pytest.mark.compiled
def test_no_report(tmp_path):
    words = ["train", "--data", "digits", "--epochs", "1", "--quiet", "--no-report"]
    assert cli.main([*words, "--out-dir", str(tmp_path)]) == 0
    assert not (tmp_path / "report.html").exists()


def test_folders_that_hold_no_run(tmp_path, run, capsys):
    assert cli.main(["report", str(tmp_path)]) == 1
    assert "got no run.json, expected the folder of a run" in capsys.readouterr().err
    for number, (name, content) in enumerate([("run.json", "{"), ("run.json", "{}"), ("run.json", "[]"),
                                              ("history.csv", "a,b\n1,2\n")]):
        broken = tmp_path / f"broken{number}"
        broken.mkdir()
        for file in ("run.json", "history.csv", "details.json"):
            (broken / file).write_bytes((run / file).read_bytes())
        (broken / name).write_text(content)
        with pytest.raises(DataError, match=f"{name}: damaged"):
            page.write(tmp_path / "page.html", [broken])


def test_hostile_names_are_escaped(run, tmp_path):
    for name in ("run.json", "history.csv", "details.json", "model.npz"):
        (tmp_path / name).write_bytes((run / name).read_bytes())
    told = json.loads((run / "run.json").read_text())
    told["title"] = told["data"]["name"] = "</script><script>alert(1)</script>\u2028"
    (tmp_path / "run.json").write_text(json.dumps(told))
    page.write(tmp_path / "page.html", [tmp_path])
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<script>alert" not in text and text.count("</script>") == 2
    assert data_of(tmp_path / "page.html")["runs"][0]["title"] == told["title"]


@pytest.mark.parametrize("layers, runs", [
    ([nn.Dense(3), nn.ELU(), nn.Dropout(0.5), nn.Dense(2)], True),
    ([nn.Dense(3), nn.Softplus(), nn.Dense(2)], True),
    ([nn.LayerNormalization(), nn.Dense(2)], False)])
def test_which_networks_run_in_the_page(layers, runs):
    model = nn.Sequential(layers, nn.Categorical()).build(4)
    assert (network.describe(model) is not None) == runs
    assert network.describe(nn.Sequential([nn.Dense(1)], nn.Gaussian()).build(4)) is None


# ---- the numbers behind it ---------------------------------------------------------------------------------

def test_calibration():
    p, right = np.array([0.95, 0.92, 0.55, 1.0]), np.array([True, False, True, True])
    found = analysis.calibration(p, right)
    assert [each["count"] for each in found["bins"]] == [1, 3]
    assert found["error"] == pytest.approx((0.45 + 3 * abs(2 / 3 - (0.95 + 0.92 + 1) / 3)) / 4)


def test_saturated_and_dead_units():
    a = np.array([[0.99, -0.2], [-0.96, 0.0]])
    assert share(Tanh(), a) == 0.5
    assert share(Sigmoid(), np.array([[0.99, 0.5], [0.01, 0.9]])) == 0.5
    assert share(ReLU(), np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]])) == pytest.approx(2 / 3)


def test_units_are_watched_by_epoch():
    (x, y), (x_test, y_test) = _rows()
    watch = report.UnitsWatch(x_test)
    model = nn.Sequential([nn.Dense(8), nn.ReLU(), nn.Dense(3)], nn.Categorical())
    model.fit(x, y, nn.Adam(0.01), 4, validation_data=(x_test, y_test), callbacks=[watch], validate_every=2,
              verbose=0)
    assert watch.epochs == [0, 2, 3] and len(watch.shares["1"]) == 3
    again = report.UnitsWatch(x_test)
    again.load_state(watch.state())
    assert again.shares == watch.shares


def _rows():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 4)).astype(np.float32)
    y = rng.integers(3, size=60)
    return (x[:40], y[:40]), (x[40:], y[40:])


# ---- one step, explained -----------------------------------------------------------------------------------

def small(head=None, units=2):
    layers = [nn.Dense(3), nn.Tanh(), nn.Dropout(0.5), nn.Dense(4), nn.ReLU(), nn.Dense(units)]
    return nn.Sequential(layers, head or nn.Categorical(), "float64").build(2, seed=1)


@pytest.mark.parametrize("step", [None, 0])
def test_the_numbers_are_those_of_a_training_step(step):
    model, X, y = small(), np.array([[1.0, -2.0], [0.5, 3.0]]), [1, 0]
    before = model.get_weights()
    found = nn.explain(model, X, y, nn.SGD(0.1), step)
    assert all((one == other).all() for one, other in zip(before, model.get_weights()))    # a copy steps
    gradients = model.gradients(X, y, step=step)
    backward = {one.title: one.arrays for one in found.steps if one.part == "backward"}
    for i in (0, 3, 5):
        arrays = next(arrays for title, arrays in backward.items() if title.startswith(f"layer {i},"))
        np.testing.assert_array_equal(arrays["dW"], gradients[f"{i}.W"])
    update = found.steps[-1].arrays
    for name, gradient in gradients.items():
        np.testing.assert_allclose(update[f"{name} after"], update[f"{name} before"] - 0.1 * gradient,
                                   rtol=1e-14)
    loss = next(one.arrays["loss"] for one in found.steps if "loss" in one.arrays)
    if step is None:
        assert loss == pytest.approx(model.evaluate(X, y)["loss"], rel=1e-14)
        z = [one.arrays["z"] for one in found.steps if "z" in one.arrays][-1]
        np.testing.assert_allclose(z, model.logits(X), rtol=1e-14)
    else:
        mask = next(one.arrays["mask"] for one in found.steps if "mask" in one.arrays)
        assert set(mask.ravel()) <= {0.0, 2.0}


def test_a_unit_that_is_0_is_not_dropped_for_that():
    """Its mask is the layer's, and does not follow from what went in and came out."""
    model = nn.Sequential([nn.Dense(64), nn.ReLU(), nn.Dropout(0.5), nn.Dense(2)], nn.Categorical(),
                          "float64").build(2, seed=1)
    found = nn.explain(model, np.ones((8, 2)), [0] * 8, step=3)
    before, after = (one.arrays for one in found.steps if one.title.endswith(("ReLU()", "Dropout(0.5)"))
                     and one.part == "forward")
    zeros = before["a"] == 0
    assert zeros.any() and set(after["mask"][zeros]) == {0.0, 2.0}
    np.testing.assert_array_equal(after["a"], before["a"] * after["mask"])


@pytest.mark.parametrize("head, units, y", [
    (nn.Categorical(temperature=2.0), 2, [1]), (nn.Bernoulli(), 1, [1]), (nn.Gaussian(), 1, [0.5]),
    (nn.Laplace(), 1, [0.5]), (nn.Huber(), 1, [0.5]), (nn.Poisson(), 1, [2]), (nn.Ordinal(3), 1, [2])])
def test_every_head_is_explained(head, units, y):
    found = nn.explain(small(head, units), [[1.0, 2.0]], y)
    text = str(found)
    assert [one.part for one in found.steps if one.part != "forward"][:4] == ["input", "loss", "loss", "loss"]
    assert "12. " in text and "SGD(learning_rate=0.1" in text and "nan" not in text
    assert found._repr_html_().count("<details") == len(found.steps)


def test_what_cannot_be_explained():
    unbuilt = nn.Sequential([nn.Dense(2)], nn.Categorical())
    with pytest.raises(ValueError, match="model: not built yet; call fit"):
        nn.explain(unbuilt, [[1.0]], [0])
    check_refused(ValueError, "y: got ", nn.explain, small(), [[1.0, 2.0]], [7])


def test_a_trained_model_steps_with_its_optimizer():
    model = small()
    model.fit([[1.0, 2.0], [3.0, 4.0]], [0, 1], nn.Adam(0.01), 2, verbose=0)
    steps = model.optimizer.iterations
    assert str(nn.explain(model, [[1.0, 2.0]], [1])).count("Adam(") == 1
    assert model.optimizer.iterations == steps
