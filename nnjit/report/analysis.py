"""The numbers behind a classifier's pictures: which class is taken for which, and its surest mistakes."""
import numpy as np
from numpy.typing import ArrayLike


def confusion_matrix(y: ArrayLike, answers: ArrayLike, K: int) -> np.ndarray:
    """Return how many of the class i (``y``) were taken for the class j (``answers``), (K, K) int64."""
    counts = np.zeros((K, K), np.int64)
    np.add.at(counts, (y, answers), 1)
    return counts


def surest_mistakes(p: np.ndarray, y: np.ndarray, most: int) -> np.ndarray:
    """Return the indices of the rows of ``p`` (N, K) that are wrong about ``y`` (N,), the most certain first.

    They are at most ``most``.
    """
    answers = p.argmax(axis=1)
    wrong = np.flatnonzero(answers != y)
    return wrong[np.argsort(-p[wrong, answers[wrong]], kind="stable")[:most]]
