"""The figures of docs/outputs-and-losses.md and docs/sequences.md, drawn with the package's own networks.

Nothing is computed a second way: change a head, and its figure changes. ``draw(folder)`` draws them all.
"""
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import special

from .. import datasets, losses
from .._numba.threads import parallel_region
from ..heads import Bernoulli, Categorical, Gaussian, Huber, Laplace, Ordinal, Poisson, SquaredError
from ..inputs.batches import Batch
from ..kernels import activations
from ..layers import GRU, Dense, ReLU
from ..model import Sequential
from ..optimizers import SGD, Adam
from ..plots.drawing import GLOW, Figure, write

# Close to Okabe's and Ito's colours, which the colour-blind tell apart.
BLUE, RED, GREEN, PURPLE, ORANGE, GREY = "#0072B2", "#D55E00", "#009E73", "#A64D79", "#C08A00", "#767676"
DPI = 200    # twice what a page shows them at


# ---- what a head computes ----------------------------------------------------------------------------------

def loss_and_slope(head, z: Sequence[float], y: float) -> np.ndarray:
    """Return l and dl/dz, (2, n), of a head with a single unit for the logits z (n,) and the target y."""
    head.build((1,))
    target, one, delta = head.targets([y], 1, 1, np.dtype(np.float64)), np.ones(1), np.empty((1, 1))
    found = [(head.loss_and_delta(np.array([[logit]]), target, one, 1.0, delta)[0], delta[0, 0])
             for logit in z]
    return np.array(found).T


def _squared_error_of_a_sigmoid():
    with warnings.catch_warnings():    # the figures are about what it warns of
        warnings.simplefilter("ignore")
        return SquaredError("sigmoid")


# ---- how a figure looks ------------------------------------------------------------------------------------

def _new_figure(*titles, height=3.0):
    """Return a figure and its axes side by side, one for each title."""
    figure = Figure(figsize=(7.2, height), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.08, wspace=0.04)
    axes = figure.subplots(1, len(titles), squeeze=False)[0]
    for ax, title in zip(axes, titles):
        ax.set_title(title, loc="left", size=9.5, weight="bold")
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(color="#ececec")
        ax.set_axisbelow(True)
        ax.tick_params(labelsize=8)
        ax.xaxis.label.set_size(9)
        ax.yaxis.label.set_size(9)
    return figure, axes


def _note(ax, text, place, colour=GREY, align="left", arrow_to=None):
    """Write a text that begins at ``place`` ("right": ends there), with an arrow to a point, if any."""
    arrow = None if arrow_to is None else {"arrowstyle": "->", "color": colour, "shrinkA": 0, "shrinkB": 5}
    ax.annotate(text, arrow_to or place, place, color=colour, size=8.5, va="center", ha=align,
                arrowprops=arrow, annotation_clip=False)


# ---- yes or no ---------------------------------------------------------------------------------------------

def sigmoid() -> Figure:
    """The sigmoid, its slope, and where it saturates."""
    z = np.linspace(-8, 8, 401)
    p = Bernoulli().activate(z[:, None])[:, 0]
    slope = np.empty_like(p)
    activations.sigmoid_backward(p, np.ones_like(p), slope)
    edge = z[slope >= 0.02].max()
    figure, axes = _new_figure("p = sigmoid(z)", "its slope, dp/dz")
    for ax, y in zip(axes, (p, slope)):
        ax.plot(z, y, color=BLUE, linewidth=2)
        ax.set(xlabel="z, the logit", xlim=(-8, 8))
        for sign in (-1, 1):
            ax.axvspan(sign * edge, sign * 8, color=RED, alpha=0.1, linewidth=0)
    _note(axes[0], "saturated:\nall but flat", (-7.7, 0.5), RED)
    _note(axes[1], f"below 0.02 where\n|z| > {edge:.1f}", (-7.8, 0.125), RED)
    _note(axes[1], "at most 1/4", (1.2, 0.243), BLUE)
    return figure


def surprise() -> Figure:
    """The cost of a probability: -log p, against the squared error (1 - p)²."""
    p = np.linspace(0.005, 1, 400)
    figure, (ax,) = _new_figure("the cost of having given the truth the probability p", height=3.4)
    cost = losses.binary_crossentropy(np.ones_like(p), p)
    ax.plot(p, cost, color=BLUE, linewidth=2)
    ax.plot(p, losses.mean_squared_error(np.ones_like(p), p), color=RED, linewidth=2)
    ax.set(xlabel="p, the probability that was given to what turned out to be true")
    ax.set(xlim=(0, 1), ylim=(0, 5.4))
    _note(ax, "cross-entropy, −log p", (0.2, 1.85), BLUE)
    _note(ax, "squared error, (1 − p)²", (0.03, 0.42), RED)
    for at, text, place in [(0.01, "sure and wrong: {:.1f} at p = 0.01", (0.1, 4.6)),
                            (0.5, "no idea: {:.2f} at p = ½", (0.52, 1.3)),
                            (0.99, "sure and right: {:.2f} at p = 0.99", (0.98, 0.65))]:
        value = float(losses.binary_crossentropy([1], [at])[0])
        ax.plot(at, value, "o", color=BLUE)
        _note(ax, text.format(value), place, "black", "right" if at > 0.9 else "left", (at, value))
    return figure


def gradients() -> Figure:
    """Loss and gradient by the logit for a target of 1: cross-entropy and squared error of a sigmoid."""
    z = np.linspace(-10, 6, 161)
    figure, axes = _new_figure("the loss for a target of 1", "its gradient by the logit, dl/dz")
    for head, colour in [(Bernoulli(), BLUE), (_squared_error_of_a_sigmoid(), RED)]:
        for ax, y in zip(axes, loss_and_slope(head, z, 1)):
            ax.plot(z, y, color=colour, linewidth=2)
            ax.set(xlabel="z, the logit; p = sigmoid(z)", xlim=(-10, 6))
    _note(axes[0], "cross-entropy", (-5.2, 6.2), BLUE)
    _note(axes[0], "squared error", (-9.6, 1.9), RED)
    _note(axes[1], "cross-entropy: p − 1,\nlargest where\nit is wrong", (-9.6, -0.8), BLUE)
    _note(axes[1], "squared error:\nnothing where it is\nsure and wrong", (-9.6, -0.27), RED,
          arrow_to=(-7, -0.002))
    return figure


def saturated_start() -> Figure:
    """Learning curves of a network that begins sure of one answer: cross-entropy against squared error."""
    (x, y), _ = datasets.load_digits().only(3, 8).rows()
    figure, (ax,) = _new_figure("is it a 3 or an 8? The network begins sure that it is a 3: p(8) = 0.002")
    for head, colour, text, place in [
            (Bernoulli(), BLUE, "sigmoid and cross-entropy", (3.6, 0.9)),
            (_squared_error_of_a_sigmoid(), RED, "sigmoid and squared error", (19.5, 0.75))]:
        model = Sequential([Dense(20), ReLU(), Dense(1)], head=head).build(x.shape[1], seed=3)
        model.parameters()["2.b"][:] = -6
        history = model.fit(x, y, SGD(0.1), epochs=35, batch_size=20, seed=3, verbose=0).history
        ax.plot(np.arange(1, 36), history["accuracy"], color=colour, linewidth=2)
        _note(ax, text, place, colour)
    ax.set(xlabel="epoch", ylabel="training accuracy", ylim=(0.45, 1.02), xlim=(1, 35))
    ax.yaxis.set_major_formatter(lambda tick, _: f"{100 * tick:.0f}%")
    return figure


# ---- one of several ----------------------------------------------------------------------------------------

RAW = np.array([1.2, -0.6, 2.8, 0.4, -1.5, 2.1, 0.0, -0.3, 3.4, 1.0])


def softmax() -> Figure:
    """Ten raw outputs, and their softmax at three temperatures."""
    titles = ["raw outputs z", "temperature ½", "temperature 1", "temperature 2"]
    figure, axes = _new_figure(*titles, height=2.6)
    shown = [RAW] + [Categorical(temperature=T).probabilities(RAW[None])[0] for T in (0.5, 1.0, 2.0)]
    for ax, values in zip(axes, shown):
        ax.bar(range(10), values, color=[RED if k == RAW.argmax() else BLUE for k in range(10)])
        ax.set(xlabel="class", xticks=range(10))
        ax.tick_params(axis="x", labelsize=7, length=0)
        ax.grid(axis="x", visible=False)
    axes[0].axhline(0, color="black", linewidth=0.8)
    for ax, p in zip(axes[1:], shown[1:]):
        ax.set(ylim=(0, 0.9))
        ax.annotate(f"{p.max():.2f}", (p.argmax(), p.max()), (0, 3), textcoords="offset points", ha="center",
                    size=8.5, color=RED)
    for ax in axes[2:]:
        ax.set_yticklabels([])
    return figure


def first_layers() -> Figure:
    """What each output looks for: the weights of ten sigmoids and of a softmax, trained from weights of 0."""
    (x, y), _ = datasets.load().rows(train_size=1000)
    figure = Figure(figsize=(7.2, 1.75), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.015, h_pad=0.03, wspace=0, hspace=0)
    axes = figure.subplots(2, 11)
    # The sigmoids' loss is the mean of ten: as large a step takes ten times the rate.
    for row, head, targets, rate, name in [(axes[0], Bernoulli(), np.eye(10)[y], 1.0, "sigmoid"),
                                           (axes[1], Categorical(), y, 0.1, "softmax")]:
        model = Sequential([Dense(10, init=lambda rng, shape: np.zeros(shape))], head=head)
        model.fit(x, targets, SGD(rate), epochs=40, batch_size=100, verbose=0)
        W = model.parameters()["0.W"]
        limit = np.quantile(np.abs(W), 0.995)
        for ax, weights in zip(row, [*W.T, W.mean(axis=1)]):
            ax.imshow(weights.reshape(28, 28), GLOW, vmin=-limit, vmax=limit, interpolation="none")
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
        row[0].set_ylabel(name, size=9.5, weight="bold")
    for ax, text in zip(axes[0], [*range(10), "mean"]):
        ax.set_title(text, size=9)
    return figure


# ---- numbers -----------------------------------------------------------------------------------------------

def numbers() -> Figure:
    """Squared, absolute and Huber's error, and how hard an error pulls."""
    error = np.linspace(-3, 3, 241)
    figure, axes = _new_figure("the loss of an error", "how hard the error pulls, dl/dz")
    for head, colour in [(Gaussian(), BLUE), (Laplace(), RED), (Huber(), GREEN)]:
        for ax, y in zip(axes, loss_and_slope(head, error, 0)):
            ax.plot(error, y, color=colour, linewidth=2)
            ax.set(xlabel="z − y, the error", xlim=(-3, 3))
    axes[0].set(ylim=(0, 6))
    axes[1].set(ylim=(-4, 4))
    _note(axes[0], "squared", (-2.1, 5.4), BLUE)
    _note(axes[0], "absolute", (2.95, 3.4), RED, "right")
    _note(axes[0], "Huber's,\ndelta = 1", (2.95, 0.8), GREEN, "right")
    _note(axes[1], "squared: the more, the farther", (1.55, 3.5), BLUE, "right")
    _note(axes[1], "absolute:\nalways\nthe same", (-2.9, -1.9), RED)
    _note(axes[1], "Huber's:\nup to delta", (2.95, 0.35), GREEN, "right")
    return figure


def mean_and_median() -> Figure:
    """Iris, sepal width by sepal length with outliers: squared against absolute error."""
    iris = datasets.load_iris()
    x, y = iris.x[:, :1] - iris.x[:, 0].mean(), datasets.with_outliers(iris.x[:, 1], share=0.1, shift=5.0)
    figure, (ax,) = _new_figure("sepal width by length of 150 iris flowers; one in ten went wrong by 5 cm",
                                height=3.4)
    ax.plot(iris.x[:, 0], y, "o", color=GREY, markersize=3.5, alpha=0.6, markeredgewidth=0)
    order = np.argsort(x[:, 0])
    for head, colour, text, place in [(Gaussian(), BLUE, "squared error: the mean", (6.55, 4.35)),
                                      (Laplace(), RED, "absolute error: the median", (6.55, 1.95))]:
        model = Sequential([Dense(32), Dense(1)], head=head)
        model.fit(x, y, Adam(0.01), epochs=50, verbose=0)
        ax.plot(iris.x[order, 0], model.predict(x[order]), color=colour, linewidth=2)
        _note(ax, text, place, colour)
    ax.set(xlabel="sepal length, cm", ylabel="sepal width, cm", xlim=(4.2, 8.0))
    return figure


def poisson() -> Figure:
    """Poisson's distribution for three rates, and its loss by the logit for three counts."""
    counts, z = np.arange(16), np.linspace(-2.5, 3.2, 115)
    figure, axes = _new_figure("what is assumed: p(y) at the rate $e^z$", "the loss by the logit, $e^z − "
                                                                          "z\\,y$")
    for rate, colour in [(1, BLUE), (3, GREEN), (8, RED)]:
        loss = losses.poisson(counts, np.full(16, float(rate)))
        p = np.exp(-loss - special.gammaln(counts + 1))
        axes[0].plot(counts, p, "o-", color=colour, markersize=3.5, linewidth=1.2)
        _note(axes[0], f"rate {rate}", (rate + 0.5, p[rate] + 0.015), colour)
    axes[0].set(xlabel="y, the count", ylim=(0, 0.41))
    for y, colour, place in [(0, BLUE, (-2.3, 1.2)), (3, GREEN, (-2.3, 8.4)), (8, RED, (-1.2, 12.5))]:
        loss = loss_and_slope(Poisson(), z, y)[0]
        axes[1].plot(z, loss, color=colour, linewidth=2)
        if y:
            axes[1].plot(z[loss.argmin()], loss.min(), "o", color=colour)
        _note(axes[1], f"y = {y}", place, colour)
    axes[1].set(xlabel="z, the logit: the logarithm of the rate", xlim=(-2.5, 3.2), ylim=(-9.5, 16))
    _note(axes[1], "least where the\nrate $e^z$ is y", (-2.2, -6), "black")
    return figure


# ---- ranks -------------------------------------------------------------------------------------------------

def ordinal() -> Figure:
    """Five ordered classes by one score: the cumulative sigmoids, and the probabilities of the classes."""
    K, z = 5, np.linspace(-6, 6, 241)[:, None]
    head = Ordinal(K)
    head.build((1,))
    head.parameters = {"b": np.array([3.0, 1.2, -0.8, -3.2])}
    figure, axes = _new_figure("the questions: p(y > k) = sigmoid(z + $b_k$)", "the answer: p(y = k)")
    colours = [BLUE, GREEN, PURPLE, ORANGE, RED]
    for k, p in enumerate(head.activate(z).T):
        axes[0].plot(z, p, color=colours[k], linewidth=2)
        _note(axes[0], f"> {k}", (z[np.argmin(abs(p - 0.5)), 0] - 0.2, 0.62), colours[k], "right")
    for k, p in enumerate(head.probabilities(z).T):
        axes[1].plot(z, p, color=colours[k], linewidth=2)
        at = z[p.argmax(), 0] * (1 if 0 < k < K - 1 else 0.93)    # the first and last are largest at an end
        _note(axes[1], str(k), (at, p.max() + 0.04), colours[k], "center")
    for ax in axes:
        ax.set(xlabel="z, the score that all classes share", xlim=(-6, 6), ylim=(0, 1.1))
    return figure


# ---- sequences ---------------------------------------------------------------------------------------------

def _gates(model, x):
    """Return the gates z (T, H) that the GRU of a model, its first layer, has along a sequence x (T, D)."""
    graph, T = model.graph, len(x)
    workspace, mask = graph.workspaces()[1], np.arange(graph.input_shape[0])[None] < T
    padded = np.zeros((1, *graph.input_shape), graph.dtype)
    padded[0, :T] = x
    with parallel_region():
        graph.forward(padded, workspace, None, Batch(padded, None, None, mask))
    return workspace.contexts[0].scratch["gates"][0, :T, :model.layers[0].units]


def sequences() -> Figure:
    """Vowels: the gates of a GRU along one utterance, and the test loss with and without the mask."""
    vowels = datasets.load_vowels()
    padded, lengths = (np.zeros((len(vowels.x_train), 29, 12)), np.zeros((len(vowels.x_test), 29, 12))), []
    for rows, xs in zip(padded, (vowels.x_train, vowels.x_test)):
        lengths.append(np.array([len(x) for x in xs]))
        for row, x in zip(rows, xs):
            row[:len(x)] = x
    figure, axes = _new_figure("how much of its state each unit keeps", "the loss of 370 other utterances")
    for masks, colour, text, place in [((None, None), RED, "padding is read, too", (14, 1.55)),
                                       (lengths, BLUE, "masked", (6, 0.12))]:
        model = Sequential([GRU(16), Dense(9)], Categorical(), "float64")
        loss = model.fit(padded[0], vowels.y_train, Adam(0.005), epochs=40, seed=1, verbose=0, mask=masks[0],
                         validation_data=(padded[1], vowels.y_test, None, masks[1])).history["val_loss"]
        axes[1].plot(np.arange(1, 41), loss, color=colour, linewidth=2)
        _note(axes[1], text, place, colour)
    x = vowels.x_test[int(np.argmin(abs(lengths[1] - 15)))]
    axes[0].plot(np.arange(1, len(x) + 1), _gates(model, x)[:, :8], color=BLUE, linewidth=1)
    axes[0].axvspan(len(x) + 0.5, 29.5, color="#ececec")
    _note(axes[0], "masked: the state\nstays as it is", (len(x) + 1.2, 0.47))
    axes[0].set(xlabel="frame of an utterance", ylabel="z", xlim=(0.5, 29.5), ylim=(0, 1))
    axes[1].set(xlabel="epoch", xlim=(1, 40), ylim=(0, 2.3))
    return figure


FIGURES = {"sigmoid": sigmoid, "surprise": surprise, "gradients": gradients,
           "saturated-start": saturated_start, "softmax": softmax, "first-layers": first_layers,
           "numbers": numbers, "mean-and-median": mean_and_median, "poisson": poisson, "ordinal": ordinal,
           "sequences": sequences}


def draw(folder: str | Path) -> list[Path]:
    """Draw all figures into a folder, as PNG; return their paths."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.png" for name in FIGURES]
    for path, figure in zip(paths, FIGURES.values()):
        write(path, figure(), dpi=DPI, pil_kwargs={"optimize": True})
    return paths
