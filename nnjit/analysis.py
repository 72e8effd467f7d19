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


def calibration(p: np.ndarray, right: np.ndarray, bins: int = 10) -> dict:
    """Return how far probabilities ``p`` (N,) of the answers agree with how often these are ``right``.

    ``{"bins": [{"from", "to", "confidence", "accuracy", "count"}], "error": ...}``: the expected calibration
    error is the mean of |accuracy - confidence| over all rows (Guo et al., ICML 2017).
    """
    place = np.minimum((p * bins).astype(int), bins - 1)
    found = []
    for k in np.unique(place):
        here = place == k
        found.append({"from": k / bins, "to": (k + 1) / bins, "confidence": float(p[here].mean()),
                      "accuracy": float(right[here].mean()), "count": int(here.sum())})
    error = sum(each["count"] * abs(each["accuracy"] - each["confidence"]) for each in found) / len(p)
    return {"bins": found, "error": float(error)}
