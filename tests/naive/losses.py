"""The twins of losses: l and dl/dz, from SciPy's distributions and without regard to overflow."""
import numpy as np
from scipy import special, stats


def one_hot(labels, K):
    return np.eye(K)[labels]


def categorical(z, y, w):
    """Return (L, accuracy, dL/dz) for rows ``y`` of probabilities, a row at a time."""
    loss, hits, delta = 0.0, 0.0, np.zeros(z.shape)
    for i in np.flatnonzero(w):
        log_p = special.log_softmax(z[i].astype(float))
        loss -= w[i] * y[i] @ log_p
        hits += w[i] * (log_p.argmax() == y[i].argmax())
        delta[i] = w[i] * (np.exp(log_p) - y[i])
    return loss / w.sum(), hits / w.sum(), delta / w.sum()


def squared_error(z, y):
    return -2 * stats.norm.logpdf(y, z) - np.log(2 * np.pi), 2 * (z - y)


def absolute_error(z, y):
    return -stats.laplace.logpdf(y, z) - np.log(2), np.sign(z - y)


def huber(z, y, delta):
    return special.huber(delta, z - y), np.clip(z - y, -delta, delta)


def poisson(z, y):
    """From counts ``y``, which are whole."""
    return -stats.poisson.logpmf(y, np.exp(z)) - special.gammaln(y + 1), np.exp(z) - y


def bernoulli(z, y, pos_weight=1.0):
    p = special.expit(z)
    loss = -pos_weight * y * special.log_expit(z) - (1 - y) * special.log_expit(-z)
    return loss, p * (1 - y + pos_weight * y) - pos_weight * y


def sigmoid_squared_error(z, y):
    p = special.expit(z)
    return (p - y) ** 2, 2 * (p - y) * special.expit(z) * special.expit(-z)


def weighted(losses, slopes, w):
    """Return (L, dL/dz) for the mean over each row's units and the weighted mean over the rows."""
    rows = np.flatnonzero(w)
    delta = np.zeros(slopes.shape)
    delta[rows] = w[rows, None] * slopes[rows] / slopes.shape[1] / w.sum()
    return np.average(losses[rows].mean(axis=1), weights=w[rows]), delta


def softmax_squared_error(z, y):
    """Return l (N,) and dl/dz (N, K), which goes through the whole Jacobian of each row's softmax."""
    p = special.softmax(z, axis=1)
    jacobians = [np.diag(row) - np.outer(row, row) for row in p]
    return ((p - y) ** 2).mean(axis=1), np.array([J @ (2 * (a - t)) / len(a) for J, a,
                                                  t in zip(jacobians, p, y)])


def ordinal(score, b, y):
    """CORAL as published, cut points descending: l (N,), dl/dscore (N,) and dl/db (N, K - 1)."""
    losses, slopes = np.zeros(len(y)), np.zeros((len(y), len(b)))
    for i in range(len(y)):
        for k in range(len(b)):
            level = float(y[i] > k)
            p = special.expit(score[i] + b[k])
            losses[i] -= np.log(p) * level + np.log(1 - p) * (1 - level)
            slopes[i, k] = p - level
    return losses, slopes.sum(axis=1), slopes


def pairwise_squared_error(y, p):
    """TensorFlow 1's definition, pair by pair."""
    values = []
    for e in p - y:
        pairs = [(e[i] - e[j]) ** 2 for i in range(len(e)) for j in range(i)]
        values.append(sum(pairs) / len(pairs))
    return np.array(values)
