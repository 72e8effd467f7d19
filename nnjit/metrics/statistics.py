"""Statistics: what metrics are computed from, added up batch by batch, or kept row by row."""
from typing import NamedTuple

import numpy as np

from .formulas import SCORES

BINS = 15    # of confidences, for the calibration error: as Guo et al. have it


class Answers(NamedTuple):
    """The answers to some rows, of positive weight, as the statistics take them.

    For classes and ranks: ``truth`` and ``given`` (N,) int64. For labels: (N, K) bool. For numbers: (N, K)
    float64. ``p`` (N, K) are the probabilities and ``y`` the targets that the head stored; w (N,) float64.
    """

    truth: np.ndarray
    given: np.ndarray
    w: np.ndarray
    p: np.ndarray | None
    y: np.ndarray


class Statistic:
    """Sums over rows: `of` some, and `joined` of several batches, an array.

    ``is_small`` is False where the array has all the rows, which are joined in the end.
    """

    is_small = True

    def of(self, answers: Answers) -> np.ndarray:
        """Return the sums over these rows."""
        raise NotImplementedError

    def joined(self, parts: list[np.ndarray]) -> np.ndarray:
        """Return the sums over the rows of all parts, which are added up in order."""
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total

    def __eq__(self, other):
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self):
        return hash((type(self), *vars(self).values()))


class Confusion(Statistic):
    """(K, K): the weight of the rows of class i that were taken for class j."""

    def of(self, answers):
        K = answers.p.shape[1]
        pairs = answers.truth * K + answers.given
        return np.bincount(pairs, answers.w, minlength=K * K).reshape(K, K)


class Decisions(Statistic):
    """Of labels, (3, K): the weights of true positives, of positive answers, of positive targets."""

    def of(self, answers):
        y, p, w = answers.truth, answers.given, answers.w
        return np.stack([w @ (y & p), w @ p, w @ y])


class PerRow(Statistic):
    """Of labels, `PER_ROW`: the weights of rows and of those that are all right, the sums of the wrong
    fractions, of precision, recall and f1.
    """

    def of(self, answers):
        y, p, w = answers.truth, answers.given, answers.w
        wrong = y ^ p
        counts = np.stack([(y & p).sum(axis=1), p.sum(axis=1), y.sum(axis=1)]).astype(float)
        scores = [w @ score(*counts) for score in SCORES.values()]
        return np.array([w.sum(), w @ ~wrong.any(axis=1), w @ wrong.mean(axis=1), *scores])


class Moments(Statistic):
    """Of numbers, (5, K): weight, mean and squared deviations of the targets, squared and absolute errors.

    Parts are joined as in T. Chan, G. Golub, R. LeVeque, "Algorithms for computing the sample variance", The
    American Statistician 37, 1983: nothing cancels.
    """

    def of(self, answers):
        y, error, w = answers.truth, answers.given - answers.truth, answers.w
        weight = w.sum()
        mean = w @ y / weight
        return np.stack([np.full_like(mean, weight), mean, w @ (y - mean)**2, w @ error**2, w @ abs(error)])

    def joined(self, parts):
        total = parts[0]
        for part in parts[1:]:
            weight = total[0] + part[0]
            apart = part[1] - total[1]
            total = np.stack([weight, total[1] + apart * (part[0] / weight),
                              total[2] + part[2] + apart**2 * (total[0] * part[0] / weight),
                              total[3] + part[3], total[4] + part[4]])
        return total


class TopK(Statistic):
    """(2,): the weight of the rows whose class is among the k most probable, of equals the last; and all."""

    def __init__(self, k):
        self.k = k

    def of(self, answers):
        p, truth = answers.p, answers.truth[:, None]
        own = np.take_along_axis(p, truth, axis=1)
        before = (p > own) | ((p == own) & (np.arange(p.shape[1]) > truth))
        return np.array([answers.w @ (before.sum(axis=1) < self.k), answers.w.sum()])


class LogLoss(Statistic):
    """(2,): the sum of -log p of the target, and the weight. p is held within the dtype's precision of 0 and
    1, as scikit-learn holds it.
    """

    def of(self, answers):
        y, eps = answers.y, np.finfo(answers.p.dtype).eps
        log_p = np.log(np.clip(answers.p, eps, 1 - eps).astype(float))
        if y.ndim == 1:
            losses = -log_p[np.arange(len(y)), y]
        elif y.shape[1] == 1:    # a question
            losses = -(y[:, 0] * log_p[:, 1] + (1 - y[:, 0]) * log_p[:, 0])
        elif answers.truth.ndim == 1:
            losses = -(y * log_p).sum(axis=1)
        else:    # labels, of which each is a question
            log_q = np.log(np.clip(1 - answers.p.astype(float), eps, 1 - eps))
            losses = -(y * log_p + (1 - y) * log_q).mean(axis=1)
        return np.array([answers.w @ losses, answers.w.sum()])


class Calibration(Statistic):
    """(3, BINS): the weight of the rows by the probability of their decision; that probability; the right."""

    def of(self, answers):
        confidence = answers.p[np.arange(len(answers.given)), answers.given].astype(float)
        bins = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
        right = answers.truth == answers.given
        return np.stack([np.bincount(bins, answers.w * values, minlength=BINS)
                         for values in (np.ones(len(bins)), confidence, right)])


class Scores(Statistic):
    """Every row: its weight, its class or its labels, its probabilities."""

    is_small = False

    def of(self, answers):
        truth = answers.truth if answers.truth.ndim == 2 else answers.truth[:, None]
        return np.column_stack([answers.w, truth, answers.p])

    def joined(self, parts):
        return np.concatenate(parts)
