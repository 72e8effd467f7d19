"""Pictures of a training run: learning curves, the book's experiments, the weights of the first layer.

Each function draws one picture under a title into ``path``, a name that ends in .png or .svg (ValueError for
another one), and returns the path.
"""
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from ..plots.axes import draw_mosaic, mosaic_of_weights
from ..plots.drawing import DPI, STYLES, Figure, HandlerTuple, make_plain, save, save_axes

RUN_STYLES = {"literal": ("#0072B2", "literal gradient"), "exact": ("#D55E00", "exact gradient")}
TICKS = 0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99, 1    # of an accuracy
UNIT_PIXELS = 120    # of an image of `first_layer`


# ---- learning curves ---------------------------------------------------------------------------------------

def learning_curves(path: str | Path, iteration: Sequence[int], train_accuracy: Sequence[float],
                    test_accuracy: Sequence[float], title: str, printed: list[dict] | None = None,
                    spread: list[dict] | None = None, seeds: int | None = None,
                    drops: bool = False, part: str = "test") -> str | Path:
    """Draw a run's accuracy, the points that the book prints and the spread over seeds.

    Parameters
    ----------
    iteration, train_accuracy, test_accuracy : (n,) sequences, the accuracies as fractions of 1
    printed : rows with ``iteration``, ``train`` and ``test``, optional
    spread : rows with ``iteration``, ``train_min``, ``train_max``, ``test_min`` and ``test_max``, optional
    seeds : how many of them ``spread`` covers, for the legend, optional
    drops : whether the network has dropout, with which the training accuracy is measured
    part : what the curve that is no training is called

    Raises
    ------
    ValueError
        No or unequal numbers of values, an accuracy outside 0 to 1, a row that lacks an entry.
    """
    ax = _new_axes()
    curves = {"train": train_accuracy, "test": test_accuracy}
    drawn = [_draw_accuracy(ax, name, iteration, y, printed, spread, seeds) for name, y in curves.items()]
    if printed or spread:
        _add_legend(ax.figure, drawn)
    curves = {"train": train_accuracy, part: test_accuracy}
    ax.set(xlabel=_during(drops), ylabel="accuracy, stretched towards 100%", xmargin=0.02)
    _count_along_x(ax, iteration)
    _stretch(ax)
    _name_ends(ax, curves, "{:.1%}")
    make_plain(ax)
    return save_axes(path, ax, title)


def error_curves(path: str | Path, iteration: Sequence[int], train_error: Sequence[float],
                 test_error: Sequence[float], title: str, ylabel: str = "mean absolute error",
                 drops: bool = False, part: str = "test") -> str | Path:
    """Draw a run's error, or another figure that is better the smaller it is, on an axis from 0 up.

    Parameters
    ----------
    iteration, train_error, test_error : (n,) sequences
    part : what the curve that is no training is called

    Raises
    ------
    ValueError
        No or unequal numbers of values, an error that is negative, infinite or NaN.
    """
    ax = _new_axes()
    curves = {"train": train_error, part: test_error}
    for name, y in curves.items():
        _check_length(f"{name}_error", y, iteration)
        if not all(0 <= value < np.inf for value in y):
            raise ValueError(f"{name}_error: got {min(y):g} to {max(y):g}, expected finite, non-negative "
                             "numbers")
        ax.plot(iteration, y, color=_colour(name), marker="." if len(y) == 1 else None)
    ax.set(xlabel=_during(drops), ylabel=ylabel, xmargin=0.02)
    ax.set_ylim(bottom=0)
    _count_along_x(ax, iteration)
    _name_ends(ax, curves, "{:.3g}")
    make_plain(ax)
    return save_axes(path, ax, title)


def small_multiples(path: str | Path, panels: dict, title: str) -> str | Path:
    """Draw many small axes with the same scales: ``panels`` are {name: [(x, y), ...]}, curves of each.

    ValueError without any.
    """
    if not panels:
        raise ValueError("panels: got none, expected at least one")
    columns = min(4, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(2.7 * columns, 2.0 * rows + 0.4), dpi=DPI, layout="constrained")
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for ax, (name, curves) in zip(axes, panels.items()):
        for x, y in curves:
            ax.plot(x, y, color=STYLES["test"][0], alpha=0.6, linewidth=1,
                    marker="." if len(y) == 1 else None)
        ax.set_title(name, size=8, loc="left")
        ax.tick_params(labelsize=7)
        make_plain(ax)
    for ax in axes[len(panels):]:
        ax.set_visible(False)
    figure.supxlabel("epoch", size=9)
    return save(path, figure, title)


def comparison(path: str | Path, experiments: dict, title: str) -> str | Path:
    """Draw the book's experiments: the points that it prints, and our runs with either gradient.

    Each experiment has a row of two axes, test accuracy on the left, train accuracy on the right.

    Parameters
    ----------
    experiments : {name: {"printed": rows or None, "literal": run, "exact": run}}
        A row has ``iteration``, ``test`` and ``train``; a run is a `book.Run`.

    Raises
    ------
    ValueError
        No experiments.
    """
    if not experiments:
        raise ValueError("experiments: got none, expected at least one")
    figure = Figure(figsize=(10.5, 3.6 * len(experiments) + 0.6), dpi=DPI, layout="constrained")
    drawn = {}
    rows = figure.subplots(len(experiments), 2, squeeze=False)
    for row, (name, found) in zip(rows, experiments.items()):
        for ax, part in zip(row, ("test", "train")):
            drawn |= _draw_experiment(ax, part, found)
            ax.set_title(f"{name}: {part} accuracy", loc="left", size=10)
    figure.legend(drawn.values(), drawn, ncols=3, frameon=False, loc="outside lower center")
    return save(path, figure, title)


def _draw_experiment(ax, part, found):
    """Draw the "test" or "train" accuracy of one experiment; return {text of the legend: artist}."""
    drawn = {}
    for key, (colour, label) in RUN_STYLES.items():
        accuracy = getattr(found[key], f"{part}_accuracy")
        drawn[label], = ax.plot(found[key].iteration, accuracy, color=colour, linewidth=1.3)
    if found["printed"]:
        points = _columns("printed", found["printed"], "iteration", part)
        drawn["printed in the book"], = ax.plot(*points, "o", color="#222222", markersize=4.5,
                                                markerfacecolor="white", markeredgewidth=1.2)
    _stretch(ax)
    ax.set(xlabel="epoch", xmargin=0.02)
    _count_along_x(ax, found["exact"].iteration)
    make_plain(ax)
    return drawn


def _during(drops):
    """Return the name of the epochs' axis, which says how the training curve is measured."""
    return f"epoch (train: measured during it{', with dropout' * drops})"


def _new_axes():
    return Figure(figsize=(7.8, 4.8), dpi=DPI, layout="constrained").add_subplot()


def _draw_accuracy(ax, name, iteration, y, printed, spread, seeds):
    """Draw all that belongs to the curve "train" or "test"; return {text of the legend: artist}."""
    _check_length(f"{name}_accuracy", y, iteration)
    if not all(0 <= value <= 1 for value in y):
        raise ValueError(f"{name}_accuracy: got {min(y):g} to {max(y):g}, expected fractions from 0 to 1")
    colour, marker = STYLES[name]
    artists = {"this run": ax.plot(iteration, y, color=colour, marker="." if len(y) == 1 else None)[0]}
    if printed:
        points = _columns("printed", printed, "iteration", name)
        artists["printed in the book"] = ax.plot(*points, marker, color=colour, markersize=5.5,
                                                 markerfacecolor="white", markeredgewidth=1.5)[0]
    if spread:
        x, low, high = _columns("spread", spread, "iteration", f"{name}_min", f"{name}_max")
        # The climb from the first row to the second is too steep for a straight edge: the first is a bar.
        ax.vlines(x[:1], low[:1], high[:1], color=colour, alpha=0.25, linewidth=6, zorder=1)
        label = f"min to max over {seeds} seeds" if seeds else "min to max over seeds"
        artists[label] = ax.fill_between(x[1:], low[1:], high[1:], color=colour, alpha=0.25, linewidth=0)
    return artists


def _add_legend(figure, drawn):
    """Add a legend with an entry for each text, which shows the artists of all curves."""
    artists = list(zip(*map(dict.values, drawn), strict=True))
    figure.legend(artists, list(drawn[0]), ncols=3, frameon=False, loc="outside lower center",
                  handlelength=3.5, handler_map={tuple: HandlerTuple(ndivide=None)})


def _columns(name, rows, *keys):
    """Return the entries of rows of a table as a list for each key."""
    if any(key not in row for row in rows for key in keys):
        raise ValueError(f"{name}: got a row that lacks an entry, expected {', '.join(keys)} in each row")
    return [[row[key] for row in rows] for key in keys]


def _check_length(name, values, iteration):
    if not 0 < len(values) == len(iteration):
        raise ValueError(f"{name}: got {len(values)} for {len(iteration)} iterations, expected as many, at "
                         "least 1")


def _stretch(ax):
    """Give an accuracy axis its scale: nearly linear in the error below 5 %, logarithmic above.

    So the plateau gets as much room as the climb to it.
    """
    ax.set_yscale("function", functions=(lambda a: -np.arcsinh((1 - a) / 0.05),
                                         lambda v: 1 + 0.05 * np.sinh(v)))
    ax.yaxis.set_major_formatter(lambda tick, _: f"{100 * tick:.4g}%")
    low, high = ax.get_ylim()
    if sum(low < tick < high for tick in TICKS) > 3:    # a narrow range has ticks of its own
        ax.set(yticks=TICKS, ylim=(low, high))


def _name_ends(ax, curves, form):
    """Write its name and last value beside each curve's end, 15 points apart where they would touch."""
    ends = sorted((values[-1], name) for name, values in curves.items())
    apart = np.diff(ax.transData.transform([(0, end) for end, _ in ends])[:, 1])[0] * 72 / DPI
    for (end, name), sign in zip(ends, (-0.5, 0.5), strict=True):
        ax.annotate(f"{name} {form.format(end)}", (1, end), (5, sign * max(0, 15 - apart)),
                    ax.get_yaxis_transform(), "offset points", va="center", color=_colour(name),
                    weight="bold", annotation_clip=False)


def _colour(name):
    return STYLES["train" if name == "train" else "test"][0]


def _count_along_x(ax, iteration):
    ax.locator_params(axis="x", integer=True)
    if len(iteration) == 1:    # between a single one's neighbours there are no whole numbers
        ax.set_xticks(iteration)


# ---- weights -----------------------------------------------------------------------------------------------

def first_layer(path: str | Path, W: ArrayLike, title: str, image_shape: tuple[int, int] = (28, 28),
                units: int = 100) -> str | Path:
    """Draw the weights that lead to each hidden unit as an image, ten units a row.

    Parameters
    ----------
    W : array_like, (D, H), a column for each hidden unit
    image_shape : (rows, columns) of an input, D = rows · columns
    units : how many to draw at most

    Raises
    ------
    ValueError
        A W of another shape or with NaN or infinity, fewer than 1 unit.
    """
    picture, limit = mosaic_of_weights(W, image_shape, units)
    # Whole pixels for a weight, or some would come out larger than others.
    height, width = np.multiply(picture.shape, max(1, UNIT_PIXELS // max(image_shape)))
    ax = Figure(figsize=(width / DPI, height / DPI), dpi=DPI).add_axes((0, 0, 1, 1))
    draw_mosaic(ax, picture, limit, image_shape)
    beside = ax.inset_axes((1 + 25 / width, 0, 20 / width, 1))
    bar = ax.figure.colorbar(ax.images[0], beside, extend="both", extendfrac=0.02,
                             label="weight: orange for the unit, blue against it")
    bar.outline.set_visible(False)
    return save_axes(path, ax, title)
