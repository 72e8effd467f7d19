"""Pictures of a training run, drawn without pyplot: they need no display, and any thread may draw them."""
import numpy as np

from .inputs.checks import check_count

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
    _count_along_x(ax, iteration)
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
    _count_along_x(ax, iteration)
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


def _count_along_x(ax, iteration):
    ax.locator_params(axis="x", integer=True)
    if len(iteration) == 1:    # between a single one's neighbours there are no whole numbers
        ax.set_xticks(iteration)


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
    return _save(path, figure, title)


# ---- images ---------------------------------------------------------------------------------------------------------

def filters(path, W, title):
    """Draw the weights of a first convolution as small images; return ``path``.

    Parameters
    ----------
    path : str or Path, ending in .png or .svg
    W : array_like, (k, k, C, O); with 3 channels in the colours that they answer to: grey is 0, red more red, cyan less
    title : str

    Raises
    ------
    ValueError
        Another suffix, or a W of another shape or with NaN or infinity.
    """
    W = np.asarray(W, float)
    if W.ndim != 4 or not (W.size and np.isfinite(W).all()):
        raise ValueError(f"W: got shape {W.shape}, expected (k, k, C, O), all finite")
    limit = np.abs(W).max() or 1
    if W.shape[2] == 3:
        tiles = [[0.5 + W[..., o] / 2 / limit for o in range(W.shape[3])]]
    else:
        tiles = [[W[:, :, c, o] for o in range(W.shape[3])] for c in range(W.shape[2])]
    figure, places = _grid([len(row) for row in tiles])
    for ax, tile in zip(places, (tile for row in tiles for tile in row)):
        ax.imshow(tile, GLOW, vmin=-limit, vmax=limit, interpolation="none")
    return _save(path, figure, title)


def feature_maps(path, image, stages, title, most=16):
    """Draw what an image becomes from layer to layer; return ``path``.

    Parameters
    ----------
    path : str or Path, ending in .png or .svg
    image : (H, W, C) array, grey or colours: bytes, or 0 to 1
    stages : list of (name, (H, W, C) array): a row of the picture each, an image for each channel
    title : str
    most : int, channels drawn of a stage

    Raises
    ------
    ValueError
        Another suffix, or no stages.
    """
    if not stages:
        raise ValueError("stages: got none, expected at least one (name, array)")
    figure, places = _grid([1, *(min(a.shape[-1], most) for _, a in stages)], labels=True)
    ax = next(places)
    _show(ax, image)
    ax.set_ylabel(f"input\n{' × '.join(map(str, image.shape))}", **_BESIDE)
    for name, a in stages:
        brightest = np.abs(a).max() or 1
        for c in range(min(a.shape[-1], most)):
            ax = next(places)
            ax.imshow(a[..., c], GLOW, vmin=-brightest, vmax=brightest, interpolation="none")
            if c == 0:
                ax.set_ylabel(f"{name}\n{' × '.join(map(str, a.shape))}", **_BESIDE)
    return _save(path, figure, title)


def confusion(path, counts, classes, title):
    """Draw how often each class was taken for each other; return ``path``.

    Parameters
    ----------
    path : str or Path, ending in .png or .svg
    counts : (K, K) array of how many of the class of the row were taken for that of the column
    classes : K names
    title : str

    Raises
    ------
    ValueError
        Another suffix, or counts of another shape.
    """
    counts, K = np.asarray(counts), len(classes)
    if counts.shape != (K, K):
        raise ValueError(f"counts: got shape {counts.shape}, expected ({K}, {K}) for {K} classes")
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = 2.2 + 0.55 * K
    ax = Figure(figsize=(size, size), dpi=DPI, layout="constrained").add_subplot()
    ax.imshow(np.sqrt(shares), "Blues", vmin=0, vmax=1)    # the root, or errors of a few percent would be white
    for i in range(K):
        for j in range(K):
            if counts[i, j]:
                ax.text(j, i, counts[i, j], ha="center", va="center", size=8, color="white" if shares[i, j] > 0.4 else "#222222",
                        weight="bold" if i == j else "normal")
    ax.set(xticks=range(K), yticks=range(K), yticklabels=classes, xlabel="taken for", ylabel="is")
    ax.set_xticks(range(K), classes, rotation=45, ha="right", rotation_mode="anchor")
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    return _write(path, ax, title)


def mistakes(path, images, truths, answers, title):
    """Draw images that were taken for something else; return ``path``.

    Parameters
    ----------
    path : str or Path, ending in .png or .svg
    images : sequence of (H, W, C) arrays, at least one
    truths : their classes' names
    answers : for each a list of (class's name, probability), the most probable first
    title : str

    Raises
    ------
    ValueError
        Another suffix, or no images.
    """
    if not len(images):
        raise ValueError("images: got none, expected at least one")
    across = min(6, len(images))
    down = -(-len(images) // across)
    figure = Figure(figsize=(1.75 * across, 2.45 * down + 0.5), dpi=DPI)
    for k, (image, truth, given) in enumerate(zip(images, truths, answers, strict=True)):
        # a column is 1 wide; an image takes the upper part of its place, and bars the rest
        left, bottom = (k % across + 0.08) / across, 1 - (k // across + 0.62) / down
        ax = figure.add_axes((left, bottom, 0.84 / across, 0.5 / down))
        _show(ax, image)
        ax.set_title(truth, size=9, pad=3, weight="bold")
        bars = figure.add_axes((left, bottom - 0.29 / down, 0.84 / across, 0.25 / down))
        names, shares = zip(*given[:3])
        colours = [STYLES["test" if name == truth else "train"][0] for name in names]
        bars.barh(range(len(names)), shares, color=colours, alpha=0.45, height=0.8)
        for i, (name, share) in enumerate(zip(names, shares)):
            bars.text(0.02, i, f"{name} {share:.1%}", va="center", size=7.5)
        bars.set(xlim=(0, 1), ylim=(2.5, -0.5), xticks=[], yticks=[])
        bars.spines[:].set_visible(False)
    return _save(path, figure, title)


_BESIDE = {"rotation": 0, "ha": "right", "va": "center", "size": 8}


def _grid(widths, labels=False):
    """Return a figure with a row of as many square places as each width says, and an iterator over them."""
    across, down = max(widths), len(widths)
    margin = 1.5 if labels else 0.1
    width, height = 0.75 * across + margin, 0.75 * down + 0.1
    figure = Figure(figsize=(width, height), dpi=DPI)

    def places():
        for i, many in enumerate(widths):
            for j in range(many):
                ax = figure.add_axes(((margin + 0.75 * j) / width, 1 - (0.75 * (i + 1)) / height, 0.7 / width, 0.7 / height))
                _bare(ax)
                yield ax
    return figure, places()


def _bare(ax):
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


def _show(ax, image):
    image = np.asarray(image) / (255 if image.dtype == np.uint8 else 1)
    ax.imshow(image if image.shape[-1] == 3 else image[..., 0], "gray_r", vmin=0, vmax=1, interpolation="none")
    _bare(ax)


def _save(path, figure, title):
    _check_suffix(path)
    figure.suptitle(title, x=0.02, ha="left", va="bottom", y=1.0 + 0.1 / figure.get_figheight(), size=12, weight="bold")
    figure.savefig(path, dpi=DPI, bbox_inches="tight", pad_inches=0.15)
    return path


def _check_suffix(path):
    if not str(path).lower().endswith((".png", ".svg")):
        raise ValueError(f"path: got {str(path)!r}, expected a name that ends in .png or .svg")


def _write(path, ax, title):
    _check_suffix(path)
    ax.set_title(title, loc="left", size=13, weight="bold", pad=12)
    ax.figure.savefig(path, dpi=DPI, bbox_inches="tight", pad_inches=0.15)
    return path
