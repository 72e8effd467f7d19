"""Pictures: the files, the data in the artists, that nothing covers anything, and what is refused."""
import importlib
import struct
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import nnjit as nn
from nnjit import book

matplotlib = pytest.importorskip("matplotlib", reason="pictures need matplotlib: pip install nnjit[plots]")

from nnjit.plots import axes, drawing  # noqa: E402 (they need matplotlib)
from nnjit.report import bench_plots  # noqa: E402
from nnjit.report import run_plots as plots  # noqa: E402

ITERATION = list(range(30))
TRAIN = [0.97 - 0.8 * 0.8 ** i for i in ITERATION]
TEST = [0.87 - 0.5 * 0.8 ** i for i in ITERATION]
PRINTED = [{"iteration": i, "train": TRAIN[i] - 0.01, "test": TEST[i] + 0.01} for i in (0, 10, 20)]
SPREAD = [{"iteration": i, "train_min": TRAIN[i] - 0.03, "train_max": TRAIN[i] + 0.02,
           "test_min": TEST[i] - 0.02, "test_max": TEST[i] + 0.01} for i in (0, 10, 20, 29)]
W = np.random.default_rng(5).normal(0, 0.1, (6, 23))


@pytest.fixture
def drawn(monkeypatch):
    """Let the functions return what they would write: the Axes."""
    def titled(path, ax, title):
        ax.set_title(title, loc="left")
        return ax

    monkeypatch.setattr(plots, "save_axes", titled)


def curves(**options):
    return plots.learning_curves("unwritten.png", ITERATION, TRAIN, TEST, "A run", **options)


def size_of_png(path):
    content = path.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n" and content[12:16] == b"IHDR" and content[-8:-4] == b"IEND"
    return struct.unpack(">II", content[16:24])


# ---- files -------------------------------------------------------------------------------------------------

def test_learning_curves_are_written_as_png(tmp_path):
    path = tmp_path / "curves.png"
    assert plots.learning_curves(path, ITERATION, TRAIN, TEST, "A run", PRINTED, SPREAD, 12) is path
    assert np.allclose(size_of_png(path), (8 * 160, 5 * 160), rtol=0.05)
    assert path.stat().st_size > 20_000


def test_first_layer_is_written_as_png(tmp_path):
    path = tmp_path / "weights.PNG"
    assert plots.first_layer(path, np.tile(W, (1, 2)), "Weights", (2, 3)) is path
    width, height = size_of_png(path)
    assert 10 * 120 < width < 10 * 120 * 1.6 and 3 * 80 < height < 800
    assert path.stat().st_size > 5_000


def test_svg_by_suffix_and_str_path(tmp_path):
    for name, write in {
        "curves.svg": lambda path: plots.learning_curves(path, ITERATION, TRAIN, TEST, "A run"),
        "weights.svg": lambda path: plots.first_layer(path, W, "Weights", (2, 3)),
    }.items():
        path = str(tmp_path / name)
        assert write(path) == path
        assert "<svg" in (tmp_path / name).read_text(encoding="utf-8")


def test_any_thread_draws_without_pyplot(tmp_path):
    program = ("import sys, threading; from nnjit.report import run_plots as plots\n"
               "arguments = sys.argv[1], [0, 1], [0.1, 0.9], [0.2, 0.8], 'A run'\n"
               "thread = threading.Thread(target=plots.learning_curves, args=arguments)\n"
               "thread.start(); thread.join(); assert 'matplotlib.pyplot' not in sys.modules")
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "a.png")], check=True)
    size_of_png(tmp_path / "a.png")


# ---- learning curves ---------------------------------------------------------------------------------------

def test_lines_and_points_hold_the_data(drawn):
    train, printed_train, test, printed_test = curves(printed=PRINTED, spread=SPREAD).lines
    for line, x, y in [(train, ITERATION, TRAIN), (test, ITERATION, TEST),
                       (printed_train, [0, 10, 20], [row["train"] for row in PRINTED]),
                       (printed_test, [0, 10, 20], [row["test"] for row in PRINTED])]:
        assert list(line.get_xdata()) == x and list(line.get_ydata()) == y
    assert train.get_color() == printed_train.get_color() != test.get_color() == printed_test.get_color()
    assert printed_train.get_marker() != printed_test.get_marker()
    assert printed_train.get_linestyle() == printed_test.get_linestyle() == "None"


def test_band_reaches_from_min_to_max(drawn):
    bars_and_bands = curves(spread=SPREAD).collections
    for name, bar, band in zip(("train", "test"), bars_and_bands[::2], bars_and_bands[1::2], strict=True):
        rows = [(row["iteration"], row[f"{name}_min"], row[f"{name}_max"]) for row in SPREAD]
        (x, low, high), *others = rows
        assert np.array_equal(bar.get_segments(), [[[x, low], [x, high]]])
        corners = {tuple(corner) for corner in band.get_paths()[0].vertices}
        assert corners == {(x, end) for x, *ends in others for end in ends}


@pytest.mark.parametrize("options, texts", [
    ({"printed": PRINTED}, ["this run", "printed in the book"]),
    ({"spread": SPREAD}, ["this run", "min to max over seeds"]),
    ({"printed": PRINTED, "spread": SPREAD, "seeds": 12},
     ["this run", "printed in the book", "min to max over 12 seeds"]),
])
def test_legend_says_what_is_drawn(drawn, options, texts):
    legend, = curves(**options).figure.legends
    assert [text.get_text() for text in legend.get_texts()] == texts


def test_curves_alone_need_no_legend(drawn):
    ax = curves()
    assert not ax.figure.legends and ax.get_legend() is None
    assert ax.get_title("left") == "A run" and ax.get_xlabel() == "epoch (train: measured during it)"
    assert "accuracy" in ax.get_ylabel()


def test_nothing_covers_the_data(drawn):
    figure = (ax := curves(printed=PRINTED, spread=SPREAD, seeds=12)).figure
    figure.draw_without_rendering()
    inside = ax.get_window_extent()
    for artist in [*figure.legends, *ax.texts]:
        assert not inside.overlaps(artist.get_window_extent())
        assert figure.bbox.fully_contains(*artist.get_window_extent().min)
        assert figure.bbox.fully_contains(*artist.get_window_extent().max)


@pytest.mark.parametrize("train, test", [(0.9, 0.9), (0.9, 0.9001), (0.95, 0.94), (0.99, 0.2), (0.3, 0.9)])
def test_names_stand_beside_the_ends_and_apart(drawn, train, test):
    ax = plots.learning_curves("unwritten.png", [0, 1], [0.1, train], [0.1, test], "A run")
    ax.figure.draw_without_rendering()
    names = {text.get_text(): text.get_window_extent() for text in ax.texts}
    assert set(names) == {f"train {train:.1%}", f"test {test:.1%}"}
    first, second = names.values()
    assert not first.overlaps(second)
    for (name, box), end in zip(sorted(names.items()), (test, train), strict=True):
        height = ax.transData.transform((1, end))[1]
        assert abs((box.y0 + box.y1) / 2 - height) < box.height, name
    if train > test:
        assert names[f"train {train:.1%}"].y0 > names[f"test {test:.1%}"].y0


@pytest.mark.parametrize("key", ["tanh_softmax", "relu_dropout"])
@pytest.mark.parametrize("gradient", ["literal", "exact"])
def test_the_book_fits_in_view(drawn, key, gradient):
    published = book.published()[key]
    printed, rows = published["printed"], published[gradient]["rows"]
    x, train, test = ([row[column] for row in rows] for column in ("iteration", "train_mean", "test_mean"))
    ax = plots.learning_curves("unwritten.png", x, train, test, "The book", printed, rows,
                               published[gradient]["seeds"])
    values = [row[column] for row in printed for column in ("train", "test")]
    values += [row[f"{name}_{end}"] for row in rows for name in ("train", "test") for end in ("min", "max")]
    low, high = ax.get_ylim()
    assert 0 < low < min(values) and max(values) < high < 1.02
    assert ax.get_xlim()[0] < 0 and x[-1] < ax.get_xlim()[1]


def test_scale_gives_the_plateau_room_and_is_inverted_exactly(drawn):
    ax = curves()
    forward = ax.yaxis.get_transform()
    a = np.linspace(0, 1, 101)
    assert (np.diff(forward.transform(a)) > 0).all() and np.isfinite(forward.transform(a)).all()
    np.testing.assert_allclose(forward.inverted().transform(forward.transform(a)), a, atol=1e-14)
    heights = ax.transData.transform([(0, 0.17), (0, 0.8), (0, 0.97)])
    low, middle, high = ax.transAxes.inverted().transform(heights)[:, 1]
    assert 0 < low < 0.1 and 0.3 < middle < 0.5 and 0.9 < high < 1


@pytest.mark.parametrize("ends", [(0.1, 0.98), (0.96, 0.975), (0.08, 0.12), (0.1, 0.4), (0, 1), (0.5, 0.5)])
def test_axis_always_has_ticks(drawn, ends):
    ax = plots.learning_curves("unwritten.png", [0, 1], ends, ends, "A run")
    ax.figure.draw_without_rendering()
    low, high = ax.get_ylim()
    shown = [label.get_text() for label in ax.get_yticklabels() if low <= label.get_position()[1] <= high]
    assert len(shown) == len(set(shown)) >= 3 and all(text.endswith("%") for text in shown)


def test_a_single_iteration_is_visible(drawn):
    train, test = plots.learning_curves("unwritten.png", [0], [0.2], [0.3], "A run").lines
    assert train.get_marker() == test.get_marker() == "."
    assert {line.get_marker() for line in curves().lines} == {"None"}


def test_arrays_are_as_good_as_lists(drawn):
    ax = plots.learning_curves("unwritten.png", np.arange(30), np.array(TRAIN, "float32"), np.array(TEST),
                               "A run")
    assert np.array_equal(ax.lines[1].get_ydata(), TEST)


@pytest.mark.parametrize("change, message", [
    ({"iteration": ITERATION[:-1]}, "train_accuracy: got 30 for 29 iterations, expected as many"),
    ({"test_accuracy": TEST[:-2]}, "test_accuracy: got 28 for 30 iterations, expected as many"),
    ({"iteration": [], "train_accuracy": [], "test_accuracy": []}, "got 0 for 0 iterations, .* at least 1"),
    ({"train_accuracy": [100 * a for a in TRAIN]}, "train_accuracy: got 17 to 96.8762, expected fractions"),
    ({"test_accuracy": [*TEST[:-1], np.nan]}, "test_accuracy: got .*, expected fractions"),
    ({"test_accuracy": [-0.1, *TEST[1:]]}, "test_accuracy: got -0.1 to .*, expected fractions"),
    ({"printed": [*PRINTED, {"iteration": 29, "test": 0.9}]},
     "printed: got a row .*, expected iteration, train in"),
    ({"spread": [{"iteration": 0, "train_min": 0.1, "train_max": 0.2}]},
     "spread: got a row .*, expected .*test_max"),
    ({"path": "curves.gif"}, r"path: got .*curves.gif', expected .* \.png or \.svg"),
    ({"path": "png"}, r"path: got .*png', expected .* \.png or \.svg"),
])
def test_learning_curves_errors(tmp_path, change, message):
    arguments = {"path": "curves.png", "iteration": ITERATION, "train_accuracy": TRAIN, "test_accuracy": TEST,
                 "title": "A run", **change}
    arguments["path"] = tmp_path / arguments["path"]
    with pytest.raises(ValueError, match=message):
        plots.learning_curves(**arguments)
    assert not list(tmp_path.iterdir())


# ---- error curves ------------------------------------------------------------------------------------------

RUN = SimpleNamespace(iteration=ITERATION, train_accuracy=TRAIN, test_accuracy=TEST)
OTHER = SimpleNamespace(iteration=ITERATION, train_accuracy=TEST, test_accuracy=TRAIN)


def test_the_comparison_has_the_book_and_both_gradients_of_test_and_train(monkeypatch):
    monkeypatch.setattr(plots, "save", lambda path, figure, title: figure)
    experiments = {"tanh": {"printed": PRINTED, "literal": RUN, "exact": OTHER},
                   "relu": {"printed": None, "literal": RUN, "exact": OTHER}}
    found = plots.comparison("unwritten.png", experiments, "A title")
    titles = [ax.get_title("left") for ax in found.axes]
    assert titles == [f"{name}: {part} accuracy" for name in ("tanh", "relu") for part in ("test", "train")]
    for ax, part in zip(found.axes[:2], ("test", "train")):
        literal, exact, printed = (list(line.get_ydata()) for line in ax.lines)
        assert (literal, exact) == ((TEST, TRAIN) if part == "test" else (TRAIN, TEST))
        assert printed == [row[part] for row in PRINTED]
    assert [len(ax.lines) for ax in found.axes] == [3, 3, 2, 2]
    legend, = found.legends
    assert [text.get_text() for text in legend.get_texts()] == ["literal gradient", "exact gradient",
                                                                "printed in the book"]


def test_speed_bars_are_times_numpy(monkeypatch, tmp_path):
    monkeypatch.setattr(bench_plots, "save", lambda path, figure, title: figure)
    speeds = {"a work": {"nnjit": (4.0, 0.5), "numpy": (1.0, 2.0), "numpy, literal loop": (0.25, 8.0)}}
    ax, = bench_plots.speed_bars("unwritten.png", speeds, "A title").axes
    assert [bar.get_width() for bar in ax.patches] == [4, 1, 0.25]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["nnjit", "NumPy, vectorised",
                                                                     "NumPy, the book's loop"]
    assert [text.get_text() for text in ax.texts] == ["4 times as fast, 0.5 s", "2 s", "4 times slower, 8 s"]


@pytest.mark.parametrize("draw", [plots.comparison, bench_plots.speed_bars])
def test_pictures_of_nothing_are_refused(draw, tmp_path):
    with pytest.raises(ValueError, match="got none, expected at least one"):
        draw(tmp_path / "a.png", {}, "A title")


def test_error_curves_hold_the_data_from_zero_on(drawn):
    ax = plots.error_curves("unwritten.png", [0, 1, 2], [3.0, 2.0, 1.5], [3.5, 2.5, 1.49], "A run")
    assert [list(line.get_ydata()) for line in ax.lines] == [[3.0, 2.0, 1.5], [3.5, 2.5, 1.49]]
    assert ax.get_ylim()[0] == 0 and ax.get_ylabel() == "mean absolute error"
    assert [text.get_text() for text in ax.texts] == ["test 1.49", "train 1.5"]
    ax.figure.draw_without_rendering()
    test, train = (text.get_window_extent() for text in ax.texts)
    assert not test.overlaps(train)


@pytest.mark.parametrize("train, test, message", [
    ([1.0], [1.0, 2.0], "train_error: got 1 for 2 iterations"), ([1.0, 2.0], [], "test_error: got 0 for 2"),
    ([1.0, -1.0], [1.0, 2.0], "train_error: got -1 to 1, expected finite, non-negative numbers"),
    ([1.0, 2.0], [1.0, np.inf], "test_error: got 1 to inf"), ([1.0, np.nan], [1.0, 2.0], "train_error: got")])
def test_error_curves_errors(tmp_path, train, test, message):
    with pytest.raises(ValueError, match=message):
        plots.error_curves(tmp_path / "curves.png", [0, 1], train, test, "A run")
    assert not list(tmp_path.iterdir())


# ---- the first layer ---------------------------------------------------------------------------------------

def tile(ax, unit, shape):
    """Return the part of the picture that shows a unit."""
    (h, w), (row, column) = shape, divmod(unit, 10)
    gap = max(1, w // 14)
    return ax.images[0].get_array()[row * (h + gap):row * (h + gap) + h,
                                    column * (w + gap):column * (w + gap) + w]


@pytest.mark.parametrize("shape", [(2, 3), (3, 2), (6, 1)])
def test_every_unit_is_an_image(drawn, shape):
    ax = plots.first_layer("unwritten.png", W, "Weights", shape)
    h, w = shape
    assert ax.images[0].get_array().shape == (3 * (h + 1) - 1, 10 * (w + 1) - 1)
    for unit in range(23):
        assert np.array_equal(tile(ax, unit, shape), W[:, unit].reshape(shape))
    assert ax.images[0].get_array().count() == W.size    # gaps and the free places of the last row are masked
    assert ax.get_title("left") == "Weights"
    assert [label.get_text() for label in ax.get_yticklabels()] == ["0", "10", "20"]


def test_gaps_are_two_weights_wide_for_mnist(drawn):
    W = np.random.default_rng(6).random((784, 100), "float32")
    picture = plots.first_layer("unwritten.png", W, "Weights").images[0].get_array()
    assert picture.shape == (298, 298) and picture.mask[28:30].all() and picture.mask[:, 28:30].all()
    assert np.array_equal(picture[270:, 270:], W[:, 99].reshape(28, 28))


def test_scale_is_symmetric_and_explained_by_a_bar(drawn):
    ax = plots.first_layer("unwritten.png", W + 1, "Weights", (2, 3))
    low, high = ax.images[0].get_clim()
    assert low == -high and np.mean(np.abs(W + 1) > high) <= 0.01 and high <= np.abs(W + 1).max()
    bar = ax.images[0].colorbar
    assert bar.mappable is ax.images[0] and bar.extend == "both"
    assert bar.ax.get_ylabel().startswith("weight: ")


def test_colours_are_dark_in_the_middle_and_even_to_both_sides():
    brightness = drawing.GLOW(np.linspace(0, 1, 101))[:, :3] @ (0.2126, 0.7152, 0.0722)
    assert brightness.argmin() == 50 and (np.diff(brightness)[:50] < 0).all()
    assert (np.diff(brightness)[50:] > 0).all()
    assert np.abs(brightness - brightness[::-1]).max() < 0.12


@pytest.mark.parametrize("shape", [(28, 28), (8, 8), (7, 20), (200, 1)])
def test_every_weight_is_a_square_of_whole_pixels(drawn, shape):
    ax = plots.first_layer("unwritten.png", np.ones((shape[0] * shape[1], 11)), "Weights", shape)
    ax.figure.draw_without_rendering()
    box, picture = ax.get_window_extent(), ax.images[0].get_array()
    scale = np.divide((box.height, box.width), picture.shape)
    assert np.allclose(scale, np.round(scale)) and scale[0] == pytest.approx(scale[1]) and scale[0] > 0.9


@pytest.mark.parametrize("units, shown", [(1, 1), (10, 10), (12, 12), (23, 23), (100, 23)])
def test_at_most_that_many_units(drawn, units, shown):
    picture = plots.first_layer("unwritten.png", W, "Weights", (2, 3), units).images[0].get_array()
    assert picture.count() == 6 * shown and len(picture) == 3 * -(-shown // 10) - 1


@pytest.mark.parametrize("weight", [0.0, 1e-3])
def test_weights_of_which_nearly_all_are_zero(drawn, weight):
    W = np.zeros((6, 1000))
    W[0, 0] = weight
    low, high = plots.first_layer("unwritten.png", W, "Weights", (2, 3)).images[0].get_clim()
    assert -low == high == (weight or 1)


@pytest.mark.parametrize("change, message", [
    ({"W": W[:5]}, r"W: got shape \(5, 23\), expected \(6, H\) for images of 2 by 3"),
    ({"image_shape": (28, 28)}, r"W: got shape \(6, 23\), expected \(784, H\) for images of 28 by 28"),
    ({"W": W[:, 0]}, r"W: got shape \(6,\), expected \(6, H\)"),
    ({"W": W[:, :0]}, r"W: got shape \(6, 0\), expected \(6, H\)"),
    ({"W": np.where(W == W.max(), np.nan, W)}, "W: got .* finite"),
    ({"W": np.where(W == W.max(), np.inf, W)}, "W: got .* finite"),
    ({"units": 0}, "units: got 0, expected at least 1"),
    ({"path": "weights.jpg"}, r"path: got .*weights.jpg', expected .* \.png or \.svg"),
])
def test_first_layer_errors(tmp_path, change, message):
    arguments = {"path": "weights.png", "W": W, "title": "Weights", "image_shape": (2, 3), **change}
    arguments["path"] = tmp_path / arguments["path"]
    with pytest.raises(ValueError, match=message):
        plots.first_layer(**arguments)
    assert not list(tmp_path.iterdir())


# ---- without matplotlib ------------------------------------------------------------------------------------

def test_import_without_matplotlib_says_what_to_install(monkeypatch):
    monkeypatch.delitem(sys.modules, "nnjit.plots.drawing")
    monkeypatch.setitem(sys.modules, "matplotlib.colors", None)
    with pytest.raises(ImportError, match=r"pip install nnjit\[plots\]") as caught:
        importlib.import_module("nnjit.plots.drawing")
    assert "\n" not in str(caught.value) and caught.value.__suppress_context__


# ---- into an axes that is given ----------------------------------------------------------------------------

@pytest.fixture(scope="module")
def trained():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, 3)).astype(np.float32)
    y = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0.5)
    model = nn.Sequential([nn.Dense(8), nn.Tanh(), nn.Dense(3)], nn.Categorical())
    model.fit(X, y, nn.Adam(0.05), 5, validation_split=0.2, verbose=0)
    return model, X, y


@pytest.fixture(scope="module")
def fitted():
    x = np.linspace(0, 1, 40, dtype=np.float32)[:, None]
    model = nn.Sequential([nn.Dense(1)], nn.Gaussian())
    model.fit(x, 2 * x[:, 0], nn.Adam(0.1), 50, verbose=0)
    return model, x, 2 * x[:, 0]


DRAW = {
    "curves": lambda trained, fitted, ax: axes.curves(trained[0].history, "accuracy", ax),
    "weights": lambda trained, fitted, ax: axes.weights(W, (2, 3), ax=ax),
    "confusion": lambda trained, fitted, ax: axes.confusion(
        trained[2], trained[0].predict(trained[1]), ax=ax),
    "calibration": lambda trained, fitted, ax: axes.calibration(
        trained[2], trained[0].predict_proba(trained[1]), ax=ax),
    "decision_regions": lambda trained, fitted, ax: axes.decision_regions(*trained, list("abc"), ax=ax),
    "predictions": lambda trained, fitted, ax: axes.predictions(fitted[2], fitted[0].predict(fitted[1]), ax),
    "fitted_line": lambda trained, fitted, ax: axes.fitted_line(*fitted, ax),
}


@pytest.mark.parametrize("name", DRAW)
def test_the_axes_that_is_given_is_drawn_into_and_returned(trained, fitted, name):
    given = matplotlib.figure.Figure().add_subplot()
    assert DRAW[name](trained, fitted, given) is given and given.has_data()
    new = DRAW[name](trained, fitted, None)
    assert new is not given and new.has_data()
    assert given.get_xlabel() == new.get_xlabel() and (given.get_xlabel() or name == "weights")
    assert set(nn.plots.__all__) == set(DRAW)


def test_confusion_says_what_is_what():
    ax = axes.confusion([0, 0, 1, 1], [0, 1, 1, 1], ["cat", "dog"])
    texts = [text.get_text() for text in ax.texts]
    assert ax.get_ylabel() == "true class" and "accuracy 75.0% of 4" in ax.get_xlabel()
    assert {"50.0%", "100.0%", "recall"} <= set(texts)
    with pytest.raises(ValueError, match=r"counts: got shape \(2, 3\)"):
        axes.draw_confusion(np.ones((2, 3)), ["a", "b"])


def test_curves_of_what_was_not_measured(trained):
    with pytest.raises(ValueError, match="figure: got 'f1', expected one of loss, accuracy"):
        axes.curves(trained[0].history, "f1")
