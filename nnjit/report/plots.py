"""Pictures of a training run, drawn without pyplot: they need no display, and any thread may draw them."""
import numpy as np

from ..arrays import check_count

try:
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure
    from matplotlib.legend_handler import HandlerTuple
except ImportError as error:
    raise ImportError(f"nnjit.report.plots: {error}; pip install nnjit[plots]") from None

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
        Another suffix, no or unequal numbers of values, an accuracy outside 0
        to 1, a row that lacks an entry.
    """
    ax = Figure(figsize=(7.8, 4.8), dpi=DPI, layout="constrained").add_subplot()
    curves = {"train": train_accuracy, "test": test_accuracy}
    drawn = [_draw_curve(ax, name, iteration, values, printed, spread, seeds) for name, values in curves.items()]
    if printed or spread:
        ax.figure.legend(list(zip(*map(dict.values, drawn), strict=True)), list(drawn[0]), ncols=3, frameon=False,
                         loc="outside lower center", handlelength=3.5, handler_map={tuple: HandlerTuple(ndivide=None)})
    ax.set(xlabel="iteration", ylabel="accuracy, stretched towards 100%", xmargin=0.02)
    _count_along_x(ax, iteration)
    _stretch(ax)
    _name_ends(ax, curves, "{:.1%}")
    _plain(ax)
    return save_axes(path, ax, title)


def error_curves(path, iteration, train_error, test_error, title, ylabel="mean absolute error"):
    """Draw a run's error, or another figure that is better the smaller it is, from 0 up; return ``path``.

    Parameters
    ----------
    path : str or Path, ending in .png or .svg
    iteration, train_error, test_error : (n,) sequences
    title, ylabel : str

    Raises
    ------
    ValueError
        Another suffix, no or unequal numbers of values, an error below 0 or without a value.
    """
    ax = Figure(figsize=(7.8, 4.8), dpi=DPI, layout="constrained").add_subplot()
    curves = {"train": train_error, "test": test_error}
    for name, y in curves.items():
        _check_length(f"{name}_error", y, iteration)
        if not all(0 <= value < np.inf for value in y):
            raise ValueError(f"{name}_error: got {min(y):g} to {max(y):g}, expected finite, non-negative numbers")
        ax.plot(iteration, y, color=STYLES[name][0], marker="." if len(y) == 1 else None)
    ax.set(xlabel="iteration", ylabel=ylabel, xmargin=0.02)
    ax.set_ylim(bottom=0)
    _count_along_x(ax, iteration)
    _name_ends(ax, curves, "{:.3g}")
    _plain(ax)
    return save_axes(path, ax, title)


RUN_STYLES = {"literal": ("#0072B2", "literal gradient"), "exact": ("#D55E00", "exact gradient")}


def comparison(path, experiments, title):
    """Draw the book's experiments: the points that it prints, and our runs with either gradient; return ``path``.

    A row of panels for each experiment, test accuracy on the left, train accuracy on the right.

    Parameters
    ----------
    path : str or Path, ending in .png or .svg
    experiments : {name: {"printed": rows or None, "literal": run, "exact": run}}
        A row has ``iteration``, ``test`` and ``train``; a run the lists ``iteration``, ``test_accuracy`` and
        ``train_accuracy``, accuracies as fractions of 1.
    title : str

    Raises
    ------
    ValueError
        Another suffix, or no experiments.
    """
    if not experiments:
        raise ValueError("experiments: got none, expected at least one")
    figure = Figure(figsize=(10.5, 3.6 * len(experiments) + 0.6), dpi=DPI, layout="constrained")
    drawn = {}
    for axes, (name, found) in zip(figure.subplots(len(experiments), 2, squeeze=False), experiments.items()):
        for ax, part in zip(axes, ("test", "train")):
            for key, (colour, label) in RUN_STYLES.items():
                accuracy = getattr(found[key], f"{part}_accuracy")
                drawn[label], = ax.plot(found[key].iteration, accuracy, color=colour, linewidth=1.3)
            if found["printed"]:
                drawn["printed in the book"], = ax.plot(
                    *_columns("printed", found["printed"], "iteration", part), "o", color="#222222", markersize=4.5,
                    markerfacecolor="white", markeredgewidth=1.2)
            _stretch(ax)
            ax.set_title(f"{name}: {part} accuracy", loc="left", size=10)
            ax.set(xlabel="iteration", xmargin=0.02)
            _count_along_x(ax, found[key].iteration)
            _plain(ax)
    figure.legend(drawn.values(), drawn, ncols=3, frameon=False, loc="outside lower center")
    return save(path, figure, title)


def _stretch(ax):
    """Give an accuracy axis its scale: nearly linear in the error below 5 %, logarithmic above.

    So the plateau gets as much room as the climb to it.
    """
    ax.set_yscale("function", functions=(lambda a: -np.arcsinh((1 - a) / 0.05), lambda v: 1 + 0.05 * np.sinh(v)))
    ax.yaxis.set_major_formatter(lambda tick, _: f"{100 * tick:.4g}%")
    low, high = ax.get_ylim()
    if sum(low < tick < high for tick in TICKS) > 3:    # a narrow range has ticks of its own
        ax.set(yticks=TICKS, ylim=(low, high))


def _check_length(name, values, iteration):
    if not 0 < len(values) == len(iteration):
        raise ValueError(f"{name}: got {len(values)} for {len(iteration)} iterations, expected as many, at least 1")


def _name_ends(ax, curves, form):
    """Write its name and last value beside a curve's end. Where the two would touch, they are moved 15 points apart."""
    ends = sorted((values[-1], name) for name, values in curves.items())
    apart = np.diff(ax.transData.transform([(0, end) for end, _ in ends])[:, 1])[0] * 72 / DPI
    for (end, name), side in zip(ends, (-0.5, 0.5), strict=True):
        ax.annotate(f"{name} {form.format(end)}", (1, end), (5, side * max(0, 15 - apart)), ax.get_yaxis_transform(),
                    "offset points", va="center", color=STYLES[name][0], weight="bold", annotation_clip=False)


def _count_along_x(ax, iteration):
    ax.locator_params(axis="x", integer=True)
    if len(iteration) == 1:    # between a single one's neighbours there are no whole numbers
        ax.set_xticks(iteration)


def _plain(ax):
    ax.grid(axis="y", color="#e4e4e4")
    ax.spines[["top", "right"]].set_visible(False)


def _draw_curve(ax, name, iteration, y, printed, spread, seeds):
    """Draw all that belongs to the curve "train" or "test", and return {text of the legend: artist}."""
    _check_length(f"{name}_accuracy", y, iteration)
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
    return save_axes(path, ax, title)


# ---- the benchmark -----------------------------------------------------------------------------------------

PEERS = {"nnjit": "#0072B2", "torch": "#D55E00", "torch, channels last": "#E69F00", "jax": "#009E73", "sklearn": "#CC79A7",
         "numpy": "#666666"}
SCALE_TITLES = {"width": "an epoch, by hidden width", "batch": "an epoch, by batch size",
                "density": "an epoch, by the share of inputs that are not 0", "rows": "an epoch, by rows",
                "channels": "a convolution, by channels", "side": "a convolution, by the image's side"}


def scaling_curves(path, curves, title):
    """Draw how the seconds of a work follow from a quantity, a panel for each, three in a row; return ``path``.

    Parameters
    ----------
    path : str or Path, ending in .png or .svg
    curves : {quantity: {contender: (values, seconds)}}, of the quantities of `SCALE_TITLES`
    title : str
    """
    across = min(3, len(curves))
    down = -(-len(curves) // across)
    figure = Figure(figsize=(3.7 * across, 3.1 * down + 0.6), dpi=DPI, layout="constrained")
    named = {}
    for ax, (quantity, lines) in zip(figure.subplots(down, across, squeeze=False).flat, curves.items()):
        for contender, (values, seconds) in lines.items():
            wide = 2.2 if contender == "nnjit" else 1.2
            named[contender], = ax.plot(values, seconds, color=PEERS[contender], marker=".", linewidth=wide)
        ax.set(xscale="log", yscale="log")
        ax.set_title(SCALE_TITLES[quantity], loc="left", size=9)
        _plain(ax)
        ax.grid(axis="x", color="#e4e4e4")
    figure.supylabel("seconds", size=9)
    figure.legend(named.values(), named, ncols=len(named), frameon=False, loc="outside lower center")
    return save(path, figure, title)


def speed_bars(path, speeds, title):
    """Draw how many times as fast as vectorised NumPy each contender is, a panel for each work; return ``path``.

    Parameters
    ----------
    path : str or Path, ending in .png or .svg
    speeds : {work: {contender: (times, seconds)}}
        A contender's speed over NumPy's, and its seconds.
    title : str

    Raises
    ------
    ValueError
        Another suffix, or no works.
    """
    if not speeds:
        raise ValueError("speeds: got none, expected at least one work")
    rows = [len(contenders) for contenders in speeds.values()]
    figure = Figure(figsize=(8.5, 0.48 * sum(rows) + 0.7 * len(rows) + 0.5), dpi=DPI, layout="constrained")
    largest = max(times for contenders in speeds.values() for times, _ in contenders.values())
    panels = figure.subplots(len(speeds), 1, squeeze=False, height_ratios=rows)[:, 0]
    for ax, (work, contenders) in zip(panels, speeds.items()):
        for i, (name, (times, seconds)) in enumerate(contenders.items()):
            ax.barh(i, times, color=PEERS.get(name, "#999999"), height=0.68)
            ax.text(times + 0.012 * largest, i, f"{times:.2g} × NumPy, {seconds:.3g} s", va="center", size=8.5)
        ax.set(yticks=range(len(contenders)), yticklabels=list(contenders), xlim=(0, 1.3 * largest), xticks=[])
        ax.invert_yaxis()
        ax.axvline(1, color="#888888", linewidth=0.8, linestyle=":")
        ax.set_title(work, loc="left", size=9.5)
        ax.spines[["top", "right", "bottom"]].set_visible(False)
    return save(path, figure, title)


# ---- files -------------------------------------------------------------------------------------------------

def save(path, figure, title):
    _check_suffix(path)
    figure.suptitle(title, x=0.02, ha="left", va="bottom", y=1.0 + 0.1 / figure.get_figheight(), size=12, weight="bold")
    figure.savefig(path, dpi=DPI, bbox_inches="tight", pad_inches=0.15)
    return path


def _check_suffix(path):
    if not str(path).lower().endswith((".png", ".svg")):
        raise ValueError(f"path: got {str(path)!r}, expected a name that ends in .png or .svg")


def save_axes(path, ax, title):
    _check_suffix(path)
    ax.set_title(title, loc="left", size=13, weight="bold", pad=12)
    ax.figure.savefig(path, dpi=DPI, bbox_inches="tight", pad_inches=0.15)
    return path
