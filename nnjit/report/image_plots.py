"""Pictures of images: filters, an image's way through the layers, who is taken for whom, mistakes."""
import numpy as np

from .plots import DPI, GLOW, STYLES, Figure, save, save_axes


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
    return save(path, figure, title)


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
    return save(path, figure, title)


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
    return save_axes(path, ax, title)


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
    return save(path, figure, title)


def answers(path, images, truths, given, title, across=10):
    """Draw images with what was answered, in orange where it was wrong, with the truth in brackets; return ``path``.

    Parameters
    ----------
    path : str or Path, ending in .png or .svg
    images : sequence of (H, W, C) arrays, at least one
    truths, given : their classes' names, and those that were answered
    title : str
    across : int, images in a row

    Raises
    ------
    ValueError
        Another suffix, or no images.
    """
    if not len(images):
        raise ValueError("images: got none, expected at least one")
    across = min(across, len(images))
    down = -(-len(images) // across)
    figure = Figure(figsize=(0.95 * across, 1.2 * down + 0.2), dpi=DPI)
    for k, (image, truth, answer) in enumerate(zip(images, truths, given, strict=True)):
        ax = figure.add_axes(((k % across + 0.06) / across, 1 - (k // across + 0.98) / down, 0.88 / across, 0.72 / down))
        _show(ax, image)
        right = answer == truth
        ax.set_title(answer if right else f"{answer} (is {truth})", size=9, pad=2, weight="normal" if right else "bold",
                     color="#222222" if right else STYLES["train"][0])
    return save(path, figure, title)


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
