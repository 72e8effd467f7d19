"""The numbers behind the pictures of a classifier: which class is taken for which, and its surest mistakes."""
import numpy as np


def confusion_matrix(y, answers, K: int) -> np.ndarray:
    """Return how many of the class i (``y``) were taken for the class j (``answers``), (K, K) int64."""
    counts = np.zeros((K, K), np.int64)
    np.add.at(counts, (y, answers), 1)
    return counts


def surest_mistakes(p, y, most: int) -> np.ndarray:
    """Return the numbers of the rows that ``p`` (N, K) answers wrong, the most certain first, at most ``most``."""
    answers = p.argmax(axis=1)
    wrong = np.flatnonzero(answers != y)
    return wrong[np.argsort(-p[wrong, answers[wrong]], kind="stable")[:most]]
