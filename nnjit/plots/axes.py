"""Pictures that are drawn into an ``ax`` that is given, or into a new one, which they return.

As scikit-learn's displays do: ``fig, ax = plt.subplots(); nnjit.plots.confusion(y, answers, ax=ax)``.
"""
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import analysis
from ..inputs import targets
from ..inputs.checks import as_numbers, check_count
from ..model import Sequential
from ..training import History
from .drawing import DPI, GLOW, STYLES, Axes, Figure, make_plain

COLUMNS = 10       # images in a row
MOST_CLASSES = 1000    # that a picture may have
CLIPPED = 0.005    # of the weights lie beyond their colour scale; the few largest would darken all the others
_TINTS = "#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#F0E442", "#0072B2", "#D55E00"    # of classes
_SIDE = 200        # points of a decision region, along each side


def new_axes(width: float = 5.6, height: float = 4.2) -> Axes:
    """Return the axes of a new figure, without pyplot: its ``figure.savefig(path)`` writes it."""
    return Figure(figsize=(width, height), dpi=DPI, layout="constrained").add_subplot()


def _labels(name: str, y: Any, N: int | None = None) -> np.ndarray:
    """Return class numbers (N,) as int64; TypeError or ValueError where they are none."""
    y = targets.as_numeric(name, y, N)
    if y.ndim != 1 or not y.size:
        raise ValueError(f"{name}: got shape {y.shape}, expected class numbers (N,), at least one")
    return targets.as_labels(name, y, MOST_CLASSES, "there is no room in a picture")


def _finite(name: str, values: Any, dimensions: int = 1, N: int | None = None) -> np.ndarray:
    """Return numbers, all finite, as float64 with so many dimensions; TypeError or ValueError otherwise."""
    values = targets.as_numeric(name, values, N)
    if values.ndim != dimensions or not values.size:
        expected = "(N,)" if dimensions == 1 else "(N, D)"
        raise ValueError(f"{name}: got shape {values.shape}, expected {expected}, at least one number")
    return targets.as_finite(name, values, np.float64)


# ---- training ----------------------------------------------------------------------------------------------

def curves(history: History, figure: str = "loss", ax: Axes | None = None) -> Axes:
    """Draw a figure of a `History` by epoch: "loss", "accuracy", or another one that it has.

    The training curve is measured while the epoch runs, with dropout, where there is some.

    Raises
    ------
    ValueError
        The history has no such figure.
    """
    log = history.history
    if figure not in log:
        raise ValueError(f"figure: got {figure!r}, expected one of {', '.join(log)}")
    ax = ax or new_axes()
    ax.plot(history.epochs, log[figure], "--", color=STYLES["train"][0], label="train, during the epoch")
    if f"val_{figure}" in log:
        ax.plot(history.validated, log[f"val_{figure}"], color=STYLES["test"][0], label="validation")
    ax.set(xlabel="epoch", ylabel=figure.replace("_", " "))
    ax.locator_params(axis="x", integer=True)
    ax.legend(frameon=False)
    make_plain(ax)
    return ax


def weights(W: ArrayLike, image_shape: tuple[int, int] = (28, 28), units: int = 100,
            ax: Axes | None = None) -> Axes:
    """Draw the weights W (D, H) that lead to each hidden unit as an image, ten in a row.

    Orange speaks for a unit, blue against it, dark is 0. The last of the figure's axes is the scale.

    Raises
    ------
    ValueError
        A W of another shape or with NaN or infinity, fewer than 1 unit.
    """
    picture, limit = mosaic_of_weights(W, image_shape, units)
    ax = ax or new_axes()
    draw_mosaic(ax, picture, limit, image_shape)
    ax.figure.colorbar(ax.images[0], ax=ax, extend="both", label="weight: orange for, blue against the unit")
    return ax


def mosaic_of_weights(W: ArrayLike, image_shape: tuple[int, int], units: int) -> tuple[np.ndarray, float]:
    """Return the weights to the first so many units as one image, `COLUMNS` in a row, with NaN in the gaps
    and after the last; and where their colours end. Errors as of `weights`.
    """
    W, (h, w) = as_numbers("W", W).astype(float), image_shape
    if W.ndim != 2 or len(W) != h * w or not (W.size and np.isfinite(W).all()):
        raise ValueError(f"W: got shape {W.shape}, expected ({h * w}, H) for images of {h} by {w}, all "
                         "finite")
    W, gap = W[:, :check_count("units", units)], _gap(w)
    tiles = np.pad(W.T.reshape(-1, h, w), ((0, -W.shape[1] % COLUMNS), (0, gap), (0, gap)),
                   constant_values=np.nan)
    rows = tiles.reshape(-1, COLUMNS, h + gap, w + gap).swapaxes(1, 2)
    limit = np.quantile(np.abs(W), 1 - CLIPPED) or np.abs(W).max() or 1
    return rows.reshape(-1, COLUMNS * (w + gap))[:-gap, :-gap], limit


def _gap(width):
    """Return how many pixels lie between two images of a mosaic."""
    return max(1, width // 14)


def draw_mosaic(ax: Axes, picture: np.ndarray, limit: float, image_shape: tuple[int, int]) -> None:
    """Draw what `mosaic_of_weights` returned; the first unit of every row has its number on the left."""
    h, w = image_shape
    ax.imshow(picture, GLOW, vmin=-limit, vmax=limit, interpolation="none")
    places = np.arange(h / 2 - 0.5, len(picture), h + _gap(w))
    ax.set(xticks=[], yticks=places, yticklabels=range(0, COLUMNS * len(places), COLUMNS),
           ylabel="hidden unit")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


# ---- classes -----------------------------------------------------------------------------------------------

def confusion(y: ArrayLike, answers: ArrayLike, classes: Sequence[str] | None = None,
              ax: Axes | None = None) -> Axes:
    """Draw how often each class (row) was taken for each other (column), with the recall of every row.

    ``y`` and ``answers`` are class numbers (N,); ``classes`` are their names. TypeError or ValueError where
    they are no such numbers.
    """
    y = _labels("y", y)
    answers = _labels("answers", answers, len(y))
    K = len(classes) if classes is not None else int(max(y.max(), answers.max())) + 1
    counts = analysis.confusion_matrix(y, answers, K)
    return draw_confusion(counts, list(map(str, classes if classes is not None else range(K))), ax)


def draw_confusion(counts: np.ndarray, classes: Sequence[str], ax: Axes | None = None) -> Axes:
    """As `confusion`, of the counts (K, K).

    ValueError for counts of another shape.
    """
    counts, K = np.asarray(counts), len(classes)
    if counts.shape != (K, K):
        raise ValueError(f"counts: got shape {counts.shape}, expected ({K}, {K}) for {K} classes")
    rows = counts.sum(axis=1)
    fractions = counts / np.maximum(rows[:, None], 1)
    size = 2.2 + 0.55 * K
    ax = ax or new_axes(size + 0.6, size)
    ax.imshow(np.sqrt(fractions), "Blues", vmin=0, vmax=1)    # the root, or a few percent would look white
    for i, j in np.argwhere(counts):
        ax.text(j, i, counts[i, j], ha="center", va="center", size=8, weight="bold" if i == j else "normal",
                color="white" if fractions[i, j] > 0.4 else "#222222")
    for i in range(K):
        ax.text(K - 0.4, i, f"{fractions[i, i]:.1%}" if rows[i] else "–", va="center", size=8)
    ax.text(K - 0.4, -0.7, "recall", size=8, weight="bold")
    right = np.trace(counts) / max(1, counts.sum())
    ax.set(yticks=range(K), yticklabels=classes, ylabel="true class",
           xlabel=f"predicted class; accuracy {right:.1%} of {counts.sum():,}")
    ax.set_xticks(range(K), classes, rotation=45, ha="right", rotation_mode="anchor")
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    return ax


def calibration(y: ArrayLike, p: ArrayLike, bins: int = 10, ax: Axes | None = None) -> Axes:
    """Draw how often answers are right by how sure they are: probabilities ``p`` (N, K), truths ``y`` (N,).

    On the diagonal a network is as sure as it should be; below it, too sure.
    """
    p = as_numbers("p", p)
    if p.ndim != 2 or not p.size or not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"p: got shape {p.shape}, expected probabilities (N, K), all from 0 to 1")
    y = _labels("y", y, len(p))
    found = analysis.calibration(p.max(axis=1), p.argmax(axis=1) == y, bins)
    ax = ax or new_axes(4.4, 4.2)
    ax.plot((0, 1), (0, 1), ":", color="#767676", label="as sure as it should be")
    x, height = ([each[name] for each in found["bins"]] for name in ("confidence", "accuracy"))
    ax.plot(x, height, "o-", color=STYLES["test"][0], label="how often it is right")
    ax.set(xlabel="its probability of the answer", ylabel="fraction that is right", xlim=(0, 1), ylim=(0, 1),
           title=f"expected calibration error {found['error']:.1%}")
    ax.legend(frameon=False)
    make_plain(ax)
    return ax


def decision_regions(model: Sequential, X: ArrayLike, y: ArrayLike, classes: Sequence[str] | None = None,
                     features: tuple[int, int] = (0, 1), ax: Axes | None = None) -> Axes:
    """Draw which class a model answers with, by two of the features, with the points X (N, D) of truths y.

    The other features have their mean.
    """
    X = _finite("X", X, 2)
    y, (i, j) = _labels("y", y, len(X)), features
    margins = 0.05 * np.ptp(X, axis=0)
    spans = [np.linspace(X[:, k].min() - margins[k], X[:, k].max() + margins[k], _SIDE) for k in features]
    across, up = np.meshgrid(*spans)
    rows = np.tile(X.mean(axis=0), (across.size, 1)).astype(X.dtype)
    rows[:, i], rows[:, j] = across.ravel(), up.ravel()
    answers = np.asarray(model.predict(rows)).reshape(across.shape)
    ax = ax or new_axes()
    K = int(max(y.max(), answers.max())) + 1
    for k in range(K):
        colour = _TINTS[k % len(_TINTS)]
        ax.contourf(across, up, answers == k, levels=(0.5, 1.5), colors=[colour], alpha=0.3)
        here = y == k
        ax.plot(X[here, i], X[here, j], "osD^v<>"[k % 7], color=colour, markeredgecolor="#222222",
                markersize=5, label=str(classes[k]) if classes is not None else f"class {k}")
    ax.set(xlabel=f"feature {i}", ylabel=f"feature {j}")
    ax.legend(frameon=True, title="true class; behind it, the answer")
    return ax


# ---- numbers -----------------------------------------------------------------------------------------------

def predictions(y: ArrayLike, predicted: ArrayLike, ax: Axes | None = None) -> Axes:
    """Draw predicted against true numbers, both (N,)."""
    y = _finite("y", y)
    predicted = _finite("predicted", predicted, N=len(y))
    low, high = min(y.min(), predicted.min()), max(y.max(), predicted.max())
    ax = ax or new_axes(4.4, 4.2)
    ax.plot((low, high), (low, high), ":", color="#767676")
    ax.plot(y, predicted, "o", color=STYLES["test"][0], alpha=0.5, markersize=4)
    ax.set(xlabel="true", ylabel="predicted")
    make_plain(ax)
    return ax


def fitted_line(model: Sequential, x: ArrayLike, y: ArrayLike, ax: Axes | None = None) -> Axes:
    """Draw what a model of one input predicts, as a line, with the points x (N, 1) and y (N,)."""
    x = _finite("x", x, 2)
    if x.shape[1] != 1:
        raise ValueError(f"x: got shape {x.shape}, expected ({len(x)}, 1), a single input")
    y = _finite("y", y, N=len(x))
    line = np.linspace(x.min(), x.max(), _SIDE).astype(x.dtype)
    ax = ax or new_axes()
    ax.plot(x[:, 0], y, "o", color=STYLES["train"][0], alpha=0.5, markersize=4, label="true")
    ax.plot(line, model.predict(line[:, None]), color=STYLES["test"][0], linewidth=2, label="predicted")
    ax.set(xlabel="input", ylabel="output")
    ax.legend(frameon=False)
    make_plain(ax)
    return ax
