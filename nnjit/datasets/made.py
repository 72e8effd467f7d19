"""Data made of other data: images in pairs, of several labels; numbers with outliers."""
import numpy as np
from numpy.typing import ArrayLike

from ..inputs.checks import as_numbers, check_count, check_real
from ..inputs.targets import count_classes


def paste_pairs(images: np.ndarray, labels: ArrayLike, count: int,
                seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Paste images side by side in pairs, each of any two: which classes are present?

    Parameters
    ----------
    images : ndarray, (N, height, width)
    labels : (N,) class numbers 0 .. K - 1
    count : int
        How many pairs.
    seed : int
        From 0 to 2^32 - 1: the same seed gives the same pairs.

    Returns
    -------
    pairs : ndarray, (count, height, 2 width), of the images' dtype
    present : ndarray, (count, K) uint8
        1 for the classes that a pair shows, one or two of them.

    Raises
    ------
    TypeError, ValueError
        ``count`` is not an integer of at least 1; ``images`` have another shape;
        ``labels`` are no class numbers.
    """
    count, K = check_count("count", count), count_classes("labels", labels)
    labels, images = as_numbers("labels", labels).astype(np.int64), as_numbers("images", images)
    if images.ndim != 3 or len(images) != len(labels):
        raise ValueError(f"images: got shape {images.shape}, expected ({len(labels)}, height, width), "
                         "one for each label")
    # RandomState, since its stream never changes with NumPy's version
    chosen = np.random.RandomState(seed).randint(len(images), size=(count, 2), dtype=np.int64)
    present = np.zeros((count, K), np.uint8)
    present[np.arange(count)[:, None], labels[chosen]] = 1
    return np.concatenate([images[chosen[:, 0]], images[chosen[:, 1]]], axis=2), present


def with_outliers(y: ArrayLike, share: float = 0.1, shift: float = 5.0, seed: int = 0) -> np.ndarray:
    """Return a copy of the numbers ``y`` (N,), of which a fraction ``share`` is too large by ``shift``.

    The seed says which ones. They pull a mean away, and hardly a median. TypeError or ValueError where
    ``share`` is no number from 0 to 1, or ``y`` no array of numbers.
    """
    y = np.array(as_numbers("y", y), np.float64)
    if y.ndim != 1:
        raise ValueError(f"y: got shape {y.shape}, expected (N,)")
    count = round(check_real("share", share, 0, 1, "[]") * len(y))
    y[np.random.RandomState(seed).permutation(len(y))[:count]] += shift
    return y
