"""What all pictures share: matplotlib without pyplot, colours, the look of the axes, files.

Without pyplot they need no display, and any thread may draw them.
"""
from pathlib import Path
from typing import Any

try:
    from matplotlib.axes import Axes as Axes
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure as Figure
    from matplotlib.legend_handler import HandlerTuple  # noqa: F401 (for `plots`)
except ImportError as error:
    raise ImportError(f"nnjit's pictures: {error}; pip install nnjit[plots]") from None

from ..replacing import replacing

DPI = 160
# The curves' colours and markers. Okabe's and Ito's colours: the colour-blind tell them apart.
STYLES = {"train": ("#D55E00", "s"), "test": ("#0072B2", "o")}
# Dark at 0 and as bright at either end: small weights recede, large ones of both signs glow.
GLOW = LinearSegmentedColormap.from_list(
    "glow", "#a6dcff #3d9be0 #0d4f94 #07090f #9a3206 #f0842a #ffdc96".split())


def make_plain(ax: Axes) -> None:
    """Give axes horizontal grid lines, and no frame above and on the right."""
    ax.grid(axis="y", color="#e4e4e4")
    ax.spines[["top", "right"]].set_visible(False)


def save(path: str | Path, figure: Figure, title: str) -> str | Path:
    """Write a figure under a title; return ``path``, which ends in .png or .svg, or else a ValueError."""
    _check_suffix(path)
    figure.suptitle(title, x=0.02, ha="left", va="bottom", y=1.0 + 0.1 / figure.get_figheight(), size=12,
                    weight="bold")
    write(path, figure, bbox_inches="tight", pad_inches=0.15)
    return path


def save_axes(path: str | Path, ax: Axes, title: str) -> str | Path:
    """As `save`, of the figure of a single axes, whose title it is."""
    _check_suffix(path)
    ax.set_title(title, loc="left", size=13, weight="bold", pad=12)
    figure: Any = ax.figure    # and no part of one
    write(path, figure, bbox_inches="tight", pad_inches=0.15)
    return path


def write(path: str | Path, figure: Figure, **options) -> None:
    """Write a figure to a file, whose name's ending says in which format."""
    with replacing(path) as file:
        figure.savefig(file, format=Path(path).suffix[1:].lower(), **{"dpi": DPI, **options})


def _check_suffix(path):
    if not str(path).lower().endswith((".png", ".svg")):
        raise ValueError(f"path: got {str(path)!r}, expected a name that ends in .png or .svg")
