"""Pictures of the benchmark, as of `plots`: seconds by a quantity, speeds beside NumPy's."""
from pathlib import Path

from ..plots.drawing import DPI, Figure, make_plain, save

PEERS = {"nnjit": "#0072B2", "torch": "#D55E00", "torch, channels last": "#E69F00", "jax": "#009E73",
         "sklearn": "#CC79A7", "numpy": "#666666", "numpy, literal loop": "#999999"}
NAMES = {"numpy": "NumPy, vectorised", "numpy, literal loop": "NumPy, the book's loop"}
SCALE_TITLES = {"width": "an epoch, by hidden width", "batch": "an epoch, by batch size",
                "density": "an epoch, by the fraction of inputs that are not 0", "rows": "an epoch, by rows",
                "channels": "a convolution, by channels", "side": "a convolution, by the image's side"}


def scaling_curves(path: str | Path, curves: dict, title: str) -> str | Path:
    """Draw how the seconds of a workload follow from a quantity: axes for each quantity, three in a row.

    Parameters
    ----------
    curves : {quantity: {contender: (values, seconds)}}, of the quantities of `SCALE_TITLES`
    """
    columns = min(3, len(curves))
    rows = -(-len(curves) // columns)
    figure = Figure(figsize=(3.7 * columns, 3.1 * rows + 0.6), dpi=DPI, layout="constrained")
    named = {}
    for ax, (quantity, lines) in zip(figure.subplots(rows, columns, squeeze=False).flat, curves.items()):
        for contender, (values, seconds) in lines.items():
            wide = 2.2 if contender == "nnjit" else 1.2
            named[contender], = ax.plot(values, seconds, color=PEERS[contender], marker=".", linewidth=wide)
        ax.set(xscale="log", yscale="log")
        ax.set_title(SCALE_TITLES[quantity], loc="left", size=9)
        make_plain(ax)
        ax.grid(axis="x", color="#e4e4e4")
    figure.supylabel("seconds", size=9)
    figure.legend(named.values(), named, ncols=len(named), frameon=False, loc="outside lower center")
    return save(path, figure, title)


def speed_bars(path: str | Path, speeds: dict, title: str) -> str | Path:
    """Draw how many times as fast as vectorised NumPy each contender is: axes for each workload.

    Parameters
    ----------
    speeds : {workload: {contender: (times, seconds)}}
        A contender's speed over NumPy's, and its seconds.

    Raises
    ------
    ValueError
        No workloads.
    """
    if not speeds:
        raise ValueError("speeds: got none, expected at least one workload")
    rows = [len(contenders) for contenders in speeds.values()]
    figure = Figure(figsize=(8.5, 0.48 * sum(rows) + 0.7 * len(rows) + 0.5), dpi=DPI, layout="constrained")
    largest = max(times for contenders in speeds.values() for times, _ in contenders.values())
    all_axes = figure.subplots(len(speeds), 1, squeeze=False, height_ratios=rows)[:, 0]
    for ax, (workload, contenders) in zip(all_axes, speeds.items()):
        for i, (name, (times, seconds)) in enumerate(contenders.items()):
            ax.barh(i, times, color=PEERS.get(name, "#999999"), height=0.68)
            compared = f"{times:.2g} times as fast" if times > 1 else f"{1 / times:.2g} times slower"
            label = f"{compared}, {seconds:.3g} s" if times != 1 else f"{seconds:.3g} s"
            ax.text(times + 0.012 * largest, i, label, va="center", size=8.5)
        names = [NAMES.get(name, name) for name in contenders]
        ax.set(yticks=range(len(contenders)), yticklabels=names, xticks=[])
        ax.set_xlim(0, 1.3 * largest)
        ax.invert_yaxis()
        ax.set_title(workload, loc="left", size=9.5)
        ax.spines[["top", "right", "bottom"]].set_visible(False)
    return save(path, figure, title)
