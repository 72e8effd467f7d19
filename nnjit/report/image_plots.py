"""Pictures of images: filters, what the layers make of an image, which class is taken for which, mistakes.

Each function draws one picture under a title into ``path``, a name that ends in .png or .svg
(ValueError for another one), and returns the path. An image is (H, W, C), grey or in colour, of
bytes or of numbers from 0 to 1.
"""
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from ..plots.axes import draw_confusion
from ..plots.drawing import DPI, GLOW, STYLES, Figure, save, save_axes

# ---- layers ------------------------------------------------------------------------------------------------

def filters(path: str | Path, W: ArrayLike, title: str) -> str | Path:
    """Draw the weights of a first convolution as small images.

    Parameters
    ----------
    W : array_like, (k, k, C, O)
        With 3 channels in the colours that they respond to: grey is 0, red is more red, cyan less.

    Raises
    ------
    ValueError
        A W of another shape or with NaN or infinity.
    """
    W = np.asarray(W, float)
    if W.ndim != 4 or not (W.size and np.isfinite(W).all()):
        raise ValueError(f"W: got shape {W.shape}, expected (k, k, C, O), all finite")
    limit = np.abs(W).max() or 1
    if W.shape[2] == 3:
        tiles = [[0.5 + W[..., o] / 2 / limit for o in range(W.shape[3])]]
    else:
        tiles = [[W[:, :, c, o] for o in range(W.shape[3])] for c in range(W.shape[2])]
    figure, squares = _rows_of_squares([len(row) for row in tiles])
    for ax, tile in zip(squares, (tile for row in tiles for tile in row)):
        ax.imshow(tile, GLOW, vmin=-limit, vmax=limit, interpolation="none")
    return save(path, figure, title)


def feature_maps(path: str | Path, image: np.ndarray, stages: list[tuple[str, np.ndarray]], title: str,
                 most: int = 16) -> str | Path:
    """Draw what an image becomes from layer to layer.

    Parameters
    ----------
    image : (H, W, C) array
    stages : list of (name, (H, W, C) array), drawn as a row each, with an image for each channel
    most : channels drawn of a stage at most

    Raises
    ------
    ValueError
        No stages.
    """
    if not stages:
        raise ValueError("stages: got none, expected at least one (name, array)")
    figure, squares = _rows_of_squares([1, *(min(a.shape[-1], most) for _, a in stages)], labels=True)
    ax = next(squares)
    _show(ax, image)
    _label_row(ax, "input", image.shape)
    for name, a in stages:
        brightest = np.abs(a).max() or 1
        for c in range(min(a.shape[-1], most)):
            ax = next(squares)
            ax.imshow(a[..., c], GLOW, vmin=-brightest, vmax=brightest, interpolation="none")
            if c == 0:
                _label_row(ax, name, a.shape)
    return save(path, figure, title)


def _label_row(ax, name, shape):
    """Write a stage's name and shape on the left of its first image."""
    ax.set_ylabel(f"{name}\n{' × '.join(map(str, shape))}", rotation=0, ha="right", va="center", size=8)


def _rows_of_squares(counts, labels=False):
    """Return a figure with rows of square axes, ``counts[i]`` in row i, and an iterator over the axes."""
    margin = 1.5 if labels else 0.1
    width, height = 0.75 * max(counts) + margin, 0.75 * len(counts) + 0.1
    figure = Figure(figsize=(width, height), dpi=DPI)

    def squares():
        for i, count in enumerate(counts):
            for j in range(count):
                left, bottom = margin + 0.75 * j, height - 0.75 * (i + 1)
                ax = figure.add_axes((left / width, bottom / height, 0.7 / width, 0.7 / height))
                _make_bare(ax)
                yield ax
    return figure, squares()


# ---- a classifier ------------------------------------------------------------------------------------------

def confusion(path: str | Path, counts: ArrayLike, classes: Sequence[str], title: str) -> str | Path:
    """Draw how often each class was taken for each other.

    Parameters
    ----------
    counts : (K, K) array, how many of the row's class were taken for the column's
    classes : K names

    Raises
    ------
    ValueError
        Counts of another shape.
    """
    ax = draw_confusion(counts, classes)
    return save_axes(path, ax, title)


def mistakes(path: str | Path, images: Sequence[np.ndarray], truths: Sequence[str],
             answers: Sequence[list[tuple[str, float]]], title: str) -> str | Path:
    """Draw images that were taken for something else, each with the three most probable answers as bars.

    Parameters
    ----------
    images : sequence of (H, W, C) arrays, at least one
    truths : the names of their classes
    answers : for each a list of (class's name, probability), the most probable first

    Raises
    ------
    ValueError
        No images.
    """
    columns, rows = _grid(images, 6)
    figure = Figure(figsize=(1.75 * columns, 2.45 * rows + 0.5), dpi=DPI)
    for k, (image, truth, given) in enumerate(zip(images, truths, answers, strict=True)):
        # In fractions of a cell, the image takes the upper part, and the bars the lower one.
        left, bottom = (k % columns + 0.08) / columns, 1 - (k // columns + 0.62) / rows
        ax = figure.add_axes((left, bottom, 0.84 / columns, 0.5 / rows))
        _show(ax, image)
        ax.set_title(f"true: {truth}", size=9, pad=3, weight="bold")
        bars = figure.add_axes((left, bottom - 0.29 / rows, 0.84 / columns, 0.25 / rows))
        _draw_probabilities(bars, given[:3], truth)
    return save(path, figure, title)


def _draw_probabilities(ax, answers, truth):
    """Draw (name, probability) pairs as bars, that of the truth in another colour."""
    for i, (name, probability) in enumerate(answers):
        colour = STYLES["test" if name == truth else "train"][0]
        ax.barh(i, probability, color=colour, alpha=0.45, height=0.8)
        ax.text(0.02, i, f"{name} {probability:.1%}", va="center", size=7.5)
    ax.set(xlim=(0, 1), ylim=(2.5, -0.5))
    _make_bare(ax)


def answers(path: str | Path, images: Sequence[np.ndarray], truths: Sequence[str], given: Sequence[str],
            title: str, columns: int = 10, width: float = 0.95) -> str | Path:
    """Draw images with what was answered; a wrong answer is orange, with the truth in brackets.

    Parameters
    ----------
    images : sequence of (H, W, C) arrays, at least one
    truths, given : the names of their classes, and those that were answered
    columns, width : images in a row at most, and inches for each

    Raises
    ------
    ValueError
        No images.
    """
    columns, rows = _grid(images, columns)
    figure = Figure(figsize=(width * columns, 1.2 * rows + 0.2), dpi=DPI)
    for k, (image, truth, answer) in enumerate(zip(images, truths, given, strict=True)):
        left, bottom = (k % columns + 0.06) / columns, 1 - (k // columns + 0.98) / rows
        ax = figure.add_axes((left, bottom, 0.88 / columns, 0.72 / rows))
        _show(ax, image)
        if answer == truth:
            ax.set_title(answer, size=9, pad=2, color="#222222")
        else:
            ax.set_title(f"{answer} (is {truth})", size=9, pad=2, weight="bold", color=STYLES["train"][0])
    return save(path, figure, title)


def _grid(images, most):
    """Return the numbers of columns, at most ``most``, and of rows for all images; ValueError without any."""
    if not len(images):
        raise ValueError("images: got none, expected at least one")
    columns = min(most, len(images))
    return columns, -(-len(images) // columns)


# ---- one image ---------------------------------------------------------------------------------------------

def _show(ax, image):
    image = np.asarray(image) / (255 if image.dtype == np.uint8 else 1)
    shown = image if image.shape[-1] == 3 else image[..., 0]
    ax.imshow(shown, "gray_r", vmin=0, vmax=1, interpolation="none")
    _make_bare(ax)


def _make_bare(ax):
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
