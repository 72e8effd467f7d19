"""The figures of the explanation: they hold what the heads compute, and the page shows all of them."""
from pathlib import Path

import numpy as np
import pytest

import nnjit as nn
from nnjit import cli, datasets

pytest.importorskip("matplotlib", reason="figures need matplotlib: pip install nnjit[plots]")

from matplotlib.text import Text

from nnjit.report import figures

DOCS = Path(__file__).resolve().parents[1] / "docs"
TRAINED = {"saturated-start", "first-layers", "mean-and-median", "sequences"}


def lines(figure, i):
    """Return the (x, y) of the curves in axes number i."""
    return [(np.ravel(line.get_xdata()), np.ravel(line.get_ydata())) for line in figure.axes[i].lines]


def test_sigmoid():
    (z, p), = lines(figures.sigmoid(), 0)
    (_, slope), = lines(figures.sigmoid(), 1)
    assert np.allclose(p, 1 / (1 + np.exp(-z))) and np.allclose(slope, p * (1 - p))


def test_surprise():
    (p, cost), (_, squared), *_ = lines(figures.surprise(), 0)
    assert np.allclose(cost, -np.log(p), atol=1e-6) and np.allclose(squared, (1 - p) ** 2)


def test_gradients():
    """For a target of 1: p - 1 against 2 (p - 1) p (1 - p), which vanishes on both sides."""
    figure = figures.gradients()
    (z, cross), (_, squared) = lines(figure, 0)
    (_, cross_slope), (_, squared_slope) = lines(figure, 1)
    p = 1 / (1 + np.exp(-z))
    assert np.allclose(cross, -np.log(p)) and np.allclose(squared, (1 - p) ** 2)
    assert np.allclose(cross_slope, p - 1) and np.allclose(squared_slope, 2 * (p - 1) * p * (1 - p))
    assert cross_slope[0] < -0.99 and abs(squared_slope[0]) < 1e-3


def test_softmax_with_its_temperatures():
    figure = figures.softmax()
    for ax, T in zip(figure.axes[1:], (0.5, 1, 2)):
        heights = [bar.get_height() for bar in ax.patches]
        powers = np.exp(figures.RAW / T)
        assert np.allclose(heights, powers / powers.sum())


def test_numbers():
    figure = figures.numbers()
    (e, squared), (_, absolute), (_, huber) = lines(figure, 0)
    assert np.allclose(squared, e ** 2) and np.allclose(absolute, abs(e))
    assert np.allclose(huber, np.where(abs(e) < 1, e ** 2 / 2, abs(e) - 0.5))
    for (_, slope), exact in zip(lines(figure, 1), (2 * e, np.sign(e), np.clip(e, -1, 1))):
        assert np.allclose(slope, exact)


def test_poisson():
    for (y, p), rate in zip(lines(figures.poisson(), 0), (1, 3, 8)):
        assert abs(p.sum() - 1) < 0.01 and (p * y).sum() == pytest.approx(rate, rel=0.02)


def test_ordinal():
    above = np.array([p for _, p in lines(figures.ordinal(), 0)])
    classes = np.array([p for _, p in lines(figures.ordinal(), 1)])
    assert (np.diff(above, axis=0) <= 0).all() and np.allclose(classes.sum(axis=0), 1)
    assert np.allclose(classes[1:][::-1].cumsum(axis=0)[::-1], above)


@pytest.mark.compiled
def test_what_is_trained(monkeypatch):
    monkeypatch.setattr(datasets, "load", lambda: datasets.load_digits())
    (_, cross), (_, squared) = lines(figures.saturated_start(), 0)
    assert cross[10] > 0.98 and squared[10] < 0.6 and squared[-1] > 0.98
    _, (_, mean), (_, median) = lines(figures.mean_and_median(), 0)
    assert (mean - median).min() > 0.1
    images = [ax.images[0].get_array() for ax in figures.first_layers().axes]
    assert len(images) == 22 and all(image.shape == (28, 28) for image in images)
    # The means of the softmax's, and of the sigmoids' weights.
    assert np.abs(images[21]).max() < 1e-5 < 1e-2 < np.abs(images[10]).max()


@pytest.mark.compiled
def test_sequences():
    """Gates between 0 and 1, a curve a unit; and the masked training has the lower loss in the end."""
    figure = figures.sequences()
    gates = [z for _, z in lines(figure, 0)]
    (_, read), (_, masked) = lines(figure, 1)
    assert len(gates) == 8 and all((0 < z).all() and (z < 1).all() for z in gates)
    assert masked[-1] < read[-1] and masked[10] < read[10]


@pytest.mark.parametrize("name", sorted(set(figures.FIGURES) - TRAINED))
def test_no_text_lies_outside_or_on_another(name):
    figure = figures.FIGURES[name]()
    figure.set_dpi(figures.DPI)
    figure.draw_without_rendering()
    for ax in figure.axes:
        texts = [text for text in [*ax.texts, ax.title, ax.xaxis.label] if text.get_text()]
        boxes = [Text.get_window_extent(text) for text in texts]    # without the arrows
        for i, box in enumerate(boxes):
            assert figure.bbox.fully_contains(*box.min) and figure.bbox.fully_contains(*box.max)
            assert not any(box.overlaps(other) for other in boxes[:i])


@pytest.mark.compiled
def test_the_command_draws_them_all(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(figures, "FIGURES", {"sigmoid": figures.sigmoid, "softmax": figures.softmax})
    assert cli.main(["figures", "--out-dir", str(tmp_path / "here")]) == 0
    assert capsys.readouterr().out == f"saved    sigmoid.png, softmax.png in {tmp_path / 'here'}\n"
    assert all((tmp_path / "here" / name).read_bytes().startswith(b"\x89PNG")
               for name in ("sigmoid.png", "softmax.png"))


def test_the_page_shows_every_figure():
    text = "".join((DOCS / page).read_text(encoding="utf-8") for page in ("outputs-and-losses.md",
                                                                         "sequences.md"))
    assert {path.stem for path in (DOCS / "figures").iterdir()} == set(figures.FIGURES)
    for name in figures.FIGURES:
        assert f"(figures/{name}.png)" in text
        assert (DOCS / "figures" / f"{name}.png").stat().st_size < 150_000


def test_the_table_names_every_head():
    table = (DOCS / "outputs-and-losses.md").read_text(encoding="utf-8")
    for name in ("Gaussian", "Laplace", "Huber", "Poisson", "Bernoulli", "Categorical", "Ordinal", "Heads",
                 "SquaredError"):
        assert f"{name}(" in table and hasattr(nn, name)
