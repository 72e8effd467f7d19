"""Formulas of the metrics: from the sums of a statistic to a figure.

Sources: scikit-learn's user guide, "Metrics and scoring"; J. Cohen, "Weighted kappa", Psychological Bulletin
70, 1968; C. Guo et al., "On calibration of modern neural networks", ICML 2017; D. Hand, R. Till, "A simple
generalisation of the area under the ROC curve for multiple class classification problems", Machine Learning
45, 2001.
"""
import math

import numpy as np


def _ratio(a, b):
    """Return a / b, and 0 where b is 0."""
    return np.divide(a, b, out=np.zeros(np.broadcast(a, b).shape), where=np.asarray(b) != 0)


def ratio_of_sums(sums):
    """Return the mean over rows, from a sum and the weight."""
    return float(sums[0] / sums[1])


# ---- precision, recall, f1 ---------------------------------------------------------------------------------

SCORES = {    # of true positives, positive answers and positive targets
    "precision": lambda hits, given, true: _ratio(hits, given),
    "recall": lambda hits, given, true: _ratio(hits, true),
    "f1": lambda hits, given, true: _ratio(2 * hits, given + true),
}
PER_ROW = ("rows", "right", "wrong", *SCORES)    # what `PerRow` adds up


def over_labels(score, average, counts):
    """Return the average of a score over labels, from `Decisions`: their hits, answers and targets (3, K)."""
    hits, given, true = counts
    if average == "micro":
        return float(score(hits.sum(), given.sum(), true.sum()))
    scores = score(hits, given, true)
    return float(scores.mean() if average == "macro" else _ratio(scores @ true, true.sum()))


def over_classes(score, average, C):
    """Return the average of a score over the classes that occur, from the confusion matrix."""
    counts = np.stack([C.diagonal(), C.sum(axis=0), C.sum(axis=1)])
    return over_labels(score, average, counts[:, counts[1:].any(axis=0)])


def of_one_class(score, C):
    """Return the score of class 1 of two, from the confusion matrix."""
    return float(score(C[1, 1], C[:, 1].sum(), C[1].sum()))


def mean_over_rows(name, sums):
    """Return the mean of one of `PER_ROW`."""
    return float(sums[PER_ROW.index(name)] / sums[0])


# ---- other formulas of the confusion matrix ----------------------------------------------------------------

def accuracy(C):
    """Return the fraction of right decisions."""
    return float(C.trace() / C.sum())


def balanced_accuracy(C):
    """Return the mean recall of the classes that occur among the targets."""
    true = C.sum(axis=1)
    return float((C.diagonal()[true > 0] / true[true > 0]).mean())


def quadratic_kappa(C):
    """Return 1 - sum d² C / sum d² E, with the distance d of two ranks, and what E would be by chance."""
    ranks = np.arange(len(C))
    distances = (ranks[:, None] - ranks)**2
    by_chance = np.outer(C.sum(axis=1), C.sum(axis=0)) / C.sum()
    expected = (distances * by_chance).sum()
    return 1 - float((distances * C).sum() / expected) if expected else math.nan


# ---- of probabilities --------------------------------------------------------------------------------------

def calibration_error(bins):
    """Return the mean distance of confidence and accuracy over the bins of `Calibration`."""
    weight, confidence, right = bins
    return float(abs(confidence - right).sum() / weight.sum())


def areas(K, rows):
    """Return the area under the ROC curve from `Scores`: of a question, else the mean over K labels, or over
    each of K classes and the rest.
    """
    w, truth, p = rows[:, 0], rows[:, 1:-K], rows[:, -K:]
    if truth.shape[1] == 1 and K == 2:
        return _area(truth[:, 0] == 1, p[:, 1], w)
    positive = truth > 0 if truth.shape[1] > 1 else truth == np.arange(K)
    return float(np.mean([_area(positive[:, k], p[:, k], w) for k in range(K)]))


def areas_of_pairs(K, rows):
    """Return the mean area over all pairs of K classes, each from both sides."""
    truth, found = rows[:, 1], []
    for i in range(K):
        for j in range(K):
            pair = rows[(truth == i) | (truth == j)]
            if i != j:
                found.append(_area(pair[:, 1] == i, pair[:, 2 + i], pair[:, 0]))
    return float(np.mean(found))


def _area(positive, score, w):
    """Return the area under a ROC curve, NaN where one of the two classes is missing.

    It is the probability that a positive row has the higher score, and equal scores count half.
    """
    values, place = np.unique(score, return_inverse=True)
    hits, others = (np.bincount(place, w * kind, minlength=len(values)) for kind in (positive, ~positive))
    pairs = hits.sum() * others.sum()
    return float(hits @ (np.cumsum(others) - others / 2) / pairs) if pairs else math.nan


# ---- of numbers, from `Moments` ----------------------------------------------------------------------------

def mae(moments):
    """Return the mean absolute error, over rows and units."""
    return float((moments[4] / moments[0]).mean())


def mse(moments):
    """Return the mean squared error, over rows and units."""
    return float((moments[3] / moments[0]).mean())


def rmse(moments):
    """Return the root of the mean squared error over rows, its mean over units."""
    return float(np.sqrt(moments[3] / moments[0]).mean())


def r2(moments):
    """Return 1 - squared errors / squared deviations, its mean over units.

    Without deviations it is 1 where there is no error, else 0, as scikit-learn has it.
    """
    _, _, deviations, errors, _ = moments
    return float(np.where(deviations > 0, 1 - _ratio(errors, deviations), errors == 0).mean())
