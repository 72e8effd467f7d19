"""Pictures of a training run, drawn without pyplot: they need no display, and any thread may draw them."""
import numpy as np

from .arrays import check_count

try:
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure
    from matplotlib.legend_handler import HandlerTuple
except ImportError as error:
    raise ImportError(f"nnjit.plots: {error}; pip install nnjit[plots]") from None

DPI, COLUMNS, UNIT_PIXELS = 160, 10, 120
STYLES = {"train": ("#D55E00", "s"), "test": ("#0072B2", "o")}    # Okabe and Ito's: the colour-blind tell them apart
TICKS = 0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99, 1
# Dark at 0 and as bright at either end: small weights recede, large ones of both signs glow.
GLOW = LinearSegmentedColormap.from_list("glow", "#a6dcff #3d9be0 #0d4f94 #07090f #9a3206 #f0842a #ffdc96".split())
CLIPPED = 0.005    # of the weights lie beyond the colour scale; the few largest would darken all the others


def learning_curves(path, iteration, train_accuracy, test_accuracy, title, printed=None, spread=None, seeds=None):
    """Draw a run's accuracy, the points that the book prints and the spread over seeds; return ``path``.

    Parameters
    ----------
    path : str or Path, ending in .png or .svg
    iteration, train_accuracy, test_accuracy : (n,) sequences, the accuracies as fractions of 1
    title : str
    printed : list of dict with ``iteration``, ``train`` and ``test``, optional
    spread : list of dict with ``iteration``, ``train_min``, ``train_max``, ``test_min`` and ``test_max``, optional
    seeds : int, how many ``spread`` covers, for the legend, optional

    Raises
    ------
    ValueError
        Another suffix, no or unequal numbers of values, an accuracy outside 0 to 1, a row that lacks an entry.
    """
    ax = Figure(figsize=(7.8, 4.8), dpi=DPI, layout="constrained").add_subplot()
    # Nearly linear in the error below 5 %, logarithmic above: the plateau gets as much room as the climb to it.
    ax.set_yscale("function", functions=(lambda a: -np.arcsinh((1 - a) / 0.05), lambda v: 1 + 0.05 * np.sinh(v)))
    curves = {"train": train_accuracy, "test": test_accuracy}
    drawn = [_draw_curve(ax, name, iteration, values, printed, spread, seeds) for name, values in curves.items()]
    if printed or spread:
        ax.figure.legend(list(zip(*map(dict.values, drawn), strict=True)), list(drawn[0]), ncols=3, frameon=False,
                         loc="outside lower center", handlelength=3.5, handler_map={tuple: HandlerTuple(ndivide=None)})
    ax.set(xlabel="iteration", ylabel="accuracy, stretched towards 100%", xmargin=0.02)
    ax.locator_params(axis="x", integer=True)
    ax.yaxis.set_major_formatter(lambda tick, _: f"{100 * tick:.4g}%")
    low, high = ax.get_ylim()
    if sum(low < tick < high for tick in TICKS) > 3:    # a narrow range has ticks of its own
        ax.set(yticks=TICKS, ylim=(low, high))
    _name_ends(ax, curves, "{:.1%}")
    _plain(ax)
    return _write(path, ax, title)


def error_curves(path, iteration, train_error, test_error, title):
    """Draw a run's mean absolute error, from 0 on; return ``path``.

    Parameters
    ----------
    path : str or Path, ending in .png or .svg
    iteration, train_error, test_error : (n,) sequences
    title : str

    Raises
    ------
    ValueError
        Another suffix, no or unequal numbers of values, an error below 0 or without a value.
    """
    ax = Figure(figsize=(7.8, 4.8), dpi=DPI, layout="constrained").add_subplot()
    curves = {"train": train_error, "test": test_error}
    for name, y in curves.items():
        if not 0 < len(y) == len(iteration):
            raise ValueError(f"{name}_error: got {len(y)} for {len(iteration)} iterations, expected as many, at least 1")
        if not all(0 <= value < np.inf for value in y):
            raise ValueError(f"{name}_error: got {min(y):g} to {max(y):g}, expected finite numbers from 0 on")
        ax.plot(iteration, y, color=STYLES[name][0], marker="." if len(y) == 1 else None)
    ax.set(xlabel="iteration", ylabel="mean absolute error", xmargin=0.02)
    ax.set_ylim(bottom=0)
    ax.locator_params(axis="x", integer=True)
    _name_ends(ax, curves, "{:.3g}")
    _plain(ax)
    return _write(path, ax, title)


def _name_ends(ax, curves, form):
    """Write its name and last value beside a curve's end. Where the two would touch, they are moved 15 points apart."""
    ends = sorted((values[-1], name) for name, values in curves.items())
    apart = np.diff(ax.transData.transform([(0, end) for end, _ in ends])[:, 1])[0] * 72 / DPI
    for (end, name), side in zip(ends, (-0.5, 0.5), strict=True):
        ax.annotate(f"{name} {form.format(end)}", (1, end), (5, side * max(0, 15 - apart)), ax.get_yaxis_transform(),
                    "offset points", va="center", color=STYLES[name][0], weight="bold", annotation_clip=False)


def _plain(ax):
    ax.grid(axis="y", color="#e4e4e4")
    ax.spines[["top", "right"]].set_visible(False)


def _draw_curve(ax, name, iteration, y, printed, spread, seeds):
    """Draw all that belongs to the curve "train" or "test", and return {text of the legend: artist}."""
    if not 0 < len(y) == len(iteration):
        raise ValueError(f"{name}_accuracy: got {len(y)} for {len(iteration)} iterations, expected as many, at least 1")
    if not all(0 <= value <= 1 for value in y):
        raise ValueError(f"{name}_accuracy: got {min(y):g} to {max(y):g}, expected fractions from 0 to 1")
    colour, marker = STYLES[name]
    artists = {"this run": ax.plot(iteration, y, color=colour, marker="." if len(y) == 1 else None)[0]}
    if printed:
        artists["printed in the book"] = ax.plot(*_columns("printed", printed, "iteration", name), marker, color=colour,
                                                 markersize=5.5, markerfacecolor="white", markeredgewidth=1.5)[0]
    if spread:
        x, low, high = _columns("spread", spread, "iteration", f"{name}_min", f"{name}_max")
        # The climb from the first row to the second is too steep for a straight edge: the first stands alone.
        ax.vlines(x[:1], low[:1], high[:1], color=colour, alpha=0.25, linewidth=6, zorder=1)
        label = f"min to max over {seeds} seeds" if seeds else "min to max over seeds"
        artists[label] = ax.fill_between(x[1:], low[1:], high[1:], color=colour, alpha=0.25, linewidth=0)
    return artists


def _columns(name, rows, *keys):
    if any(key not in row for row in rows for key in keys):
        raise ValueError(f"{name}: got a row that lacks an entry, expected {', '.join(keys)} in each row")
    return [[row[key] for row in rows] for key in keys]


def first_layer(path, W, title, image_shape=(28, 28), units=100):
    """Draw the weights that lead to each hidden unit as an image, ten units a row; return ``path``.

    Parameters
    ----------
    path : str or Path, ending in .png or .svg
    W : array_like, (D, H), a column for each hidden unit
    title : str
    image_shape : (rows, columns) of an input, D = rows · columns
    units : int, how many to draw at most

    Raises
    ------
    ValueError
        Another suffix, a W of another shape or with NaN or infinity, fewer than 1 unit.
    """
    W, (h, w) = np.asarray(W, float), image_shape
    if W.ndim != 2 or len(W) != h * w or not (W.size and np.isfinite(W).all()):
        raise ValueError(f"W: got shape {W.shape}, expected ({h * w}, H) for images of {h} by {w}, all finite")
    W, gap = W[:, :check_count("units", units)], max(1, w // 14)
    tiles = np.pad(W.T.reshape(-1, h, w), ((0, -W.shape[1] % COLUMNS), (0, gap), (0, gap)), constant_values=np.nan)
    tiles = tiles.reshape(-1, COLUMNS, h + gap, w + gap).swapaxes(1, 2)
    mosaic = tiles.reshape(-1, COLUMNS * (w + gap))[:-gap, :-gap]
    # Whole pixels for a weight, or some would come out larger than others.
    height, width = np.multiply(mosaic.shape, max(1, UNIT_PIXELS // max(h, w)))
    ax = Figure(figsize=(width / DPI, height / DPI), dpi=DPI).add_axes((0, 0, 1, 1))
    limit = np.quantile(np.abs(W), 1 - CLIPPED) or np.abs(W).max() or 1
    image = ax.imshow(mosaic, GLOW, vmin=-limit, vmax=limit, interpolation="none")
    ax.set(xticks=[], yticks=np.arange(h / 2 - 0.5, len(mosaic), h + gap), yticklabels=range(0, W.shape[1], COLUMNS))
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    beside = ax.inset_axes((1 + 25 / width, 0, 20 / width, 1))
    ax.figure.colorbar(image, beside, extend="both", extendfrac=0.02, label="weight").outline.set_visible(False)
    return _write(path, ax, title)


PEERS = {"nnjit": "#0072B2", "torch": "#D55E00", "jax": "#009E73", "sklearn": "#CC79A7", "numpy": "#666666"}
SCALE_TITLES = {"width": "hidden width", "batch": "batch size", "density": "share of inputs that are not 0", "rows": "rows"}


def scaling_curves(path, curves):
    """Draw how the seconds of an epoch follow from a quantity, one beside the other; return ``path``.

    Parameters
    ----------
    path : str or Path, ending in .png or .svg
    curves : {quantity: {contender: (values, seconds)}}, of the quantities "width", "batch", "density" and "rows"
    """
    panels = Figure(figsize=(3.6 * len(curves), 3.8), dpi=DPI, layout="constrained").subplots(1, len(curves), squeeze=False)[0]
    for ax, (quantity, lines) in zip(panels, curves.items()):
        for contender, (values, seconds) in lines.items():
            ax.plot(values, seconds, color=PEERS[contender], marker=".", linewidth=2 if contender == "nnjit" else 1.2,
                    label=contender)
        ax.set(xscale="log", yscale="log", xlabel=SCALE_TITLES[quantity])
        ax.grid(color="#e4e4e4")
        _plain(ax)
    panels[0].set_ylabel("seconds an epoch")
    panels[0].figure.legend(*panels[0].get_legend_handles_labels(), ncols=5, frameon=False, loc="outside lower center")
    return _write(path, panels[0], "an epoch of training")


def _write(path, ax, title):
    if not str(path).lower().endswith((".png", ".svg")):
        raise ValueError(f"path: got {str(path)!r}, expected a name that ends in .png or .svg")
    ax.set_title(title, loc="left", size=13, weight="bold", pad=12)
    ax.figure.savefig(path, dpi=DPI, bbox_inches="tight", pad_inches=0.15)
    return path
